"""Many tasks at once: batches of new ones, and operations on those that are there."""
