"""Command line: one file per command, which parses options, calls one function and prints."""

from eibench.cli.app import app, main

__all__ = ["app", "main"]
