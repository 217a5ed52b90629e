"""The scan server of the built-in host semgrep-mcp: many engines, one answer."""
