"""The orchestrator as one MCP server."""
