"""How a host is asked whether it lives and what it can do."""
