"""The OpenAPI document of the HTTP API and the page that shows it.

Measured against Litestar 2.25 alone, which is why the rest is here:
types      it fails on a Struct with a mutable default (unhashable); with that mended it has no
           texts of fields (here 137 of 451), no examples, no unions' discriminators, loses a lower
           bound of 0, and names generics by their modules, so that a move renames components that
           clients are generated from. msgspec has all but texts and examples: `types` adds those
document   no bodies (0 of 10: routes take bytes, so that our errors name the place), no access, no
           summaries but the functions' names, null as a value of what may be left out
errors     81 answers of 356, and its own shape of a 400, which we never send
page       its pages run scripts from elsewhere, which ours may not
"""
