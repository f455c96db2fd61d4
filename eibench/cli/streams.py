"""Standard input, output and error: closed, full, cut off, or of another encoding."""

from __future__ import annotations

import errno
import os
import sys

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
"""Errors of a disk that takes no more; of others the file's name shows that it was the user's."""
FAILED = 2


def is_mendable(error: OSError) -> bool:
    """Whether a user can mend `error`: it is about a file, or about a disk."""
    return error.filename is not None or error.errno in DISK


def prepare() -> None:
    """Make the streams writable whatever is printed, and fill in those that are closed.

    A file that is opened later must not get the number of a standard stream: what is printed would
    be written into it.
    """
    closed = [number for number in (0, 1, 2) if _is_closed(number)]
    for _ in closed:
        os.open(os.devnull, os.O_RDWR)  # takes the least number that is free
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    if sys.stdout is None or 1 in closed:
        text = "error: standard output is closed; redirect it to a file or to /dev/null"
        print(text, file=sys.stderr)
        sys.exit(FAILED)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _is_closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False


def flush() -> None:
    """Write what is left; a reader that has gone (`| head`) is no error, a full disk is."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python tries again, and complains
        if error.errno != errno.EPIPE:
            print(f"error: standard output: {error.strerror}", file=sys.stderr)
            sys.exit(FAILED)
