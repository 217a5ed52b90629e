"""What runs in the engine's own environment: parsers, lizard, ast-grep, and nothing else of ours.

Imports the standard library and the packages of `constraints/code.txt` only. Every part works on
text in memory; a file that breaks a parser breaks one process, which the server replaces.
"""

from __future__ import annotations
