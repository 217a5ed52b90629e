"""Failures of disks, clocks, views and hosts, each tried on the running product under load."""
