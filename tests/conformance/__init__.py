"""The MCP conformance suite against the MCP server `/mcp` and against the executor as a client."""
