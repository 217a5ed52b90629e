"""The command line `metamcp`."""
