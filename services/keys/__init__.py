"""What must not leak: permit keys, the vault, linked accounts and secrets."""
