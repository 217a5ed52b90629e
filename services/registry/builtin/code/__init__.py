"""The built-in host code-mcp: what source files are made of, in many languages."""

from __future__ import annotations
