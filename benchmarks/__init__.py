"""Measurements, each run by a command of its own. Nothing here is a test: times are noisy, and no time is asserted."""
