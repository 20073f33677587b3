"""Mutation of the conditions that writes carry: each is taken out in turn, and a test must fail.

`conditions.py` finds them in the source, `writes.py` takes one out of a write as it is made, `plugin.py` runs the
tests. Nothing of it is part of what is deployed. `make mutate` runs it.
"""
