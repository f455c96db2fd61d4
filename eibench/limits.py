"""Bounds of numbers, without the libraries that check them: the command line names them at once."""

LARGEST = 2**31 - 1
LARGEST_NUMBER = 1e100
"""Bound of options and results; squares of such numbers are finite."""
LARGEST_SEED = 2**63 - 1
NUMBERS = {"timesteps": (4, 1, 100_000), "seed": (0, 0, LARGEST_SEED)}
"""Numbers of a run that belong to no section: default, least and largest value."""
