"""MCP clients of others: their exact packages, and small programs that use them as agents do.

The programs run in installations of their own, import nothing of ours, and print one JSON object.
"""
