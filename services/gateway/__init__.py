"""The gateway faces the world: HTTP, websocket streams, and tasks published on NATS from outside.

Writes `task.created`, `task.cancelled`. Reads the whole log, once per process (`projection.py`,
`hub.py`), and answers single tasks from the log itself, so that what was accepted is found at once.

domain      what is accepted, and who may see which fact (pure)
actor       the desk: accepted tasks go into the log, and only what is on disk is called accepted
intake      tasks from outside publishers: the INTAKE queue, and requests on `submit.<user>`
hub         the live feed: recent facts in memory, each encoded once for all its readers
history     a reader's way from its last sequence to the live feed, without gap or repeat
streams     the websocket protocol `metamcp.v1`; `socket` is the connection under it
app, http_* the HTTP API; identity: who a token stands for
"""
