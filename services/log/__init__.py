"""The log of facts, the only truth: port, JetStream, memory, and views built from it."""
