"""Results: where every task's outcome lies, and that its bytes are the right ones.

Reads `job.done`, `job.failed` and `result.*`; small results stand in the log, big ones in the
object store.
Writes `result.stored` when a big one has moved to its user's Dataset, and `result.deleted`.
Answers `cmd.results.get`, `list`, `read`, `verify`, `delete` and `tasks`.

`domain` decides and is pure; `actor` answers and looks up, `mover` moves, `sweeper` deletes and
drops; `sources` are the places of bytes, `copies` the ones at hand, `listing` a Dataset's own list.
"""
