"""The emulator on one machine: `python -m local up` runs the whole stack from the template that deploys to AWS.

Everything that knows of the emulator is in this package. No function, layer file or template condition does.
"""
