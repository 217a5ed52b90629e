"""Calls to strangers: addresses that may be called, MCP children, MCP over HTTP."""
