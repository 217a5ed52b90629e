"""The router: decides which host runs each attempt, and ends what nobody else can.

Follows the whole log: `task.*`, `job.*`, `mcp.*`, `log.router.*`; hears `beat.executor.*`.
Writes `log.router.<term>` when it becomes active, `task.routed`, `job.failed` of kind `lost`, and
`job.done` for every end but success and cancellation of a running attempt.
Owns the lease `router` in METAMCP_LEASES: one router is active, the others follow and stand by.

`state` folds the log, `domain` says what a task is owed, `select` which host, `queue` who is next,
`plan` makes rounds of all that; `actor` is the shell. All but actor, projection, service are pure.
"""
