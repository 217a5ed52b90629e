"""The hosts we ship and how they are installed."""
