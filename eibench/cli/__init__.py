"""The command line: one small file per verb, which parses, calls one function and prints."""

from eibench.cli.app import app, main

__all__ = ["app", "main"]
