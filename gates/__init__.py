"""The rules of this repository that no linter has, as checks. `python -m gates` runs them all.

A rule is a function that takes the repository's folder and yields what it finds. Shell scripts in this folder
are another kind of gate: they drive a running deployment as a caller does.
"""
