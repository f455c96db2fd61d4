"""Measurements of a network that is not trained: signal propagation, balance."""
