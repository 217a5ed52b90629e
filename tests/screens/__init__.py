"""Pictures of every page of the console, before the real system: `make screens`."""
