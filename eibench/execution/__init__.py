"""Runs are executed here: one process, one device, each failure a record."""
