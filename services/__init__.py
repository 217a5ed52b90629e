"""The five services and the ground they stand on.

Clients talk to the gateway; it appends `task.created`. The router follows the log and, when a host
has a free slot, appends `task.routed`. An executor claims the route with `job.signed`, calls the
host with the permit and appends `job.failed` or, at the end, `job.done`. The registry says which
hosts exist and how healthy they are. Results keeps outputs that are too big for the log.

They never import each other: they meet in `contracts/` and in the log. The other folders are the
rooms below and above them; README has the map, `tests/test_house.py` the floors.
"""
