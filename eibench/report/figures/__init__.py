"""Figures: a function for each kind, and the figures of a suite by name."""
