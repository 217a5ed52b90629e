"""The words the services share: what crosses a process border, and nothing else.

Names are stored for ever: new fields have defaults, nothing is renamed or removed.
This package imports msgspec and the standard library only.
"""
