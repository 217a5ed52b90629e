"""How hosts are declared: manifests, commands and the mcp.json of Spaces."""
