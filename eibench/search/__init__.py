"""Hyper-parameter search: studies of a suite, run with Optuna under one budget, and their winners
confirmed under fresh seeds."""
