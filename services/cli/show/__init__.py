"""How the command line shows tasks, hosts and results to a person."""
