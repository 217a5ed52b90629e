"""The key that signs permits, and its rotation."""
