"""Entry point of `python -m eibench`."""

from eibench.cli import main

main()
