"""`python -m eibench` is the `eibench` command."""

from eibench.cli import main

main()
