"""Check the types of the console's modules: `python -m tests.support.typescript`."""
