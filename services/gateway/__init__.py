"""The gateway faces the world: HTTP, websocket streams, and tasks published on NATS from outside.

Writes `task.created`, `task.cancelled`, `task.answered`, `task.tagged`. Reads the whole log, once
per process (`projection`, `stream.feed`), and answers single tasks from the log itself, so that
what was accepted is found.

domain      what is accepted, and who may see which fact (pure)
asks        what tasks ask of people, and who may answer (pure)
actor       the desk: accepted tasks go into the log, and only what is on disk is called accepted
intake      tasks from outside publishers: the INTAKE queue, and requests on `submit.<user>`
site        one gateway, put together; service connects it, listener and server let clients in
app         the outermost layer of HTTP and websockets; access: who may come in, and how often
http        the HTTP API; openapi describes it. mcp: the same for agents
stream      the live feed of facts, the way to it, and the websocket protocol `metamcp.v1`
projection  the tables behind lists, and the `rows` they hold; peers: the other services
"""
