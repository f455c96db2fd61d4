"""Entry point of `eibench` and `python -m eibench`."""

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command; an interrupt while it is loaded ends it without a traceback."""
    try:
        from eibench.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
