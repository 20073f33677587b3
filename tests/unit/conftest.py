"""How hard the properties are tried."""

from hypothesis import settings

# No deadline: a machine that is busy with something else would fail a test for its own slowness.
settings.register_profile("unit", max_examples=40, deadline=None)
settings.load_profile("unit")
