"""The built-in host git-mcp: reads git repositories, changes nothing, and trusts none of them."""
