"""Results: where every task's outcome lies, and that its bytes are the right ones.

Reads `job.done` and `result.*`; small results stand in the log, big ones in the object store.
`result.stored`, `result.deleted` and `log.sealed` are its facts; it has no reason yet to write any.
Answers `cmd.results.get`, `cmd.results.list` and `cmd.results.verify`.
"""
