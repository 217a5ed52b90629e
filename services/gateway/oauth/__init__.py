"""Lets programs act for people: `/mcp` as a resource of OAuth 2.1, and an authorization server.

`rules` decides and has no clock and no I/O; `grants`, `clients` and `keys` hold what all gateways
share; `authorize` and `token` are the endpoints, `server` says which is where.
"""
