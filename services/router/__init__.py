"""The router: decides which host runs each attempt, and ends what nobody else can.

Follows the whole log: `task.*`, `job.*`, `mcp.*`, `log.router.*`; hears `beat.executor.*`.
Writes `log.router.<term>` when it becomes active, `task.routed`, `task.asked` where a person has to
allow a tool, `job.failed` of kind `lost`, and `job.done` for every end but success and cancellation
of a running attempt. Nothing of it is taken once a later term has begun: routes are guarded by that
themselves; questions and ends, whose guard is the job head, are stored in one batch with a
`log.router` of their own (`again`), which carries the guard.
Owns the lease `router` in METAMCP_LEASES: one router is active, the others follow and stand by.

`state` folds the log, `domain` says what a task is owed, `select` which host, `queue` who is next,
`plan` makes rounds of all that; `actor` is the shell, `appends` its hand that writes. All others
but projection and service are pure.
"""
