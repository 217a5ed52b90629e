"""The executor: runs tasks on hosts, each attempt at most once.

Reads routes from the shared work queue (`task.routed`), tasks (`task.created`), hosts
(`mcp.registered`, `mcp.removed`), wishes to cancel (`task.cancelled`), and what people were asked
and have answered (`task.asked`, `task.answered`).
Writes `log.key`, then for each attempt `job.signed` (the claim) and, after the call, `job.done` or
`job.failed`; `task.asked` behind that or before it, where a host asks. Beats every second on
`beat.executor.<instance>`; progress goes out on `progress.>`.

One attempt: `domain.decide`, sign, append the claim, ack (`actor`); then `plan`, `hosts`, `output`,
append the end (`attempt`).
"""
