"""What git prints, as data: one module for each of its formats. Pure."""
