"""Checks of one task against the log: order, one outcome, permits, digests, its route."""
