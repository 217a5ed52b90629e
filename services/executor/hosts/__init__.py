"""The kinds of hosts, one file each; `kinds` is the table that finds them."""
