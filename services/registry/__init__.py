"""The registry: which hosts there are, what they can do and how healthy they are.

Owns `mcp.registered`, `mcp.removed` and `mcp.health`; reads nothing else of the log. Hosts come
from `builtin/builtin.toml` and the operator's manifests. Answers `cmd.registry.list` and
`cmd.registry.probe`; hears the circuit breakers of executors on `breaker.*.*`.
"""
