"""Ten abusers: what a user, a publisher, a host or somebody outside may try against all others."""
