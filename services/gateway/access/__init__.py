"""Who may come in, and how often: tokens, tickets, limits, origins."""
