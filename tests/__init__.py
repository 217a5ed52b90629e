"""Tests of the MetaMCP Orchestrator; support code is imported as `tests.support`."""
