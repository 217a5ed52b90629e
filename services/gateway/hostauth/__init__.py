"""Sign-in at hosts: people's tokens for MCP servers that ask for OAuth, kept and renewed here."""
