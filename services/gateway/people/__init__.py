"""People: users, how they come in, what is theirs. Their state lies in NATS KV."""
