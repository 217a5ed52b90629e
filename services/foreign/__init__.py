"""Files in which other MCP clients name their servers, and what becomes of them here."""
