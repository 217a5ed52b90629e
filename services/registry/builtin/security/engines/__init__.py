"""The engines of the scan server, one module each: what it is for, how it runs, what it found.

Each runs as a child process (`child.py`) on copies of the files that are all UTF-8 (`mirror.py`).
"""
