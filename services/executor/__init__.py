"""The executor: runs tasks on hosts, each attempt at most once.

Reads routes from the shared work queue (`task.routed`), tasks (`task.created`), hosts
(`mcp.registered`, `mcp.removed`) and wishes to cancel (`task.cancelled`).
Writes `log.key`, then for each attempt `job.signed` (the claim) and, after the call, `job.done` or
`job.failed`. Beats every second on `beat.executor.<instance>`; progress goes out on `progress.>`.

One attempt: `domain.decide`, sign, append the claim, ack (`actor`); then `plan`, `hosts`, `output`,
append the end (`attempt`).
"""
