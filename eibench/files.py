"""Safe reading of files from elsewhere: regular files only, of bounded size.

Reading a device or a FIFO in place of a file could block or never end.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
from pathlib import Path

from eibench.errors import UserError

MEBIBYTE = 2**20
LARGEST_TEXT = 64 * MEBIBYTE
"""Default of the largest text file that is read, in bytes."""
MOST_NAMES = 1000
_FLAGS = sum(
    getattr(os, flag, 0) for flag in ("O_RDONLY", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
)


def read_bytes(path: Path, largest: int = LARGEST_TEXT, *, follow_links: bool = True) -> bytes:
    """Return the content of the regular file at `path`.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it cannot be read, is no regular file, or has more than `largest` bytes.
    """
    try:
        handle = os.open(path, _FLAGS | (0 if follow_links else getattr(os, "O_NOFOLLOW", 0)))
        try:
            _check_regular(handle)
            with os.fdopen(handle, "rb", closefd=False) as file:
                content = file.read(largest + 1)
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, follow_links) from None
    if len(content) > largest:
        raise UserError(f"{path}: cannot be read: it is larger than {_in_words(largest)}")
    return content


def read_text(path: Path, largest: int = LARGEST_TEXT, *, follow_links: bool = True) -> str:
    """Return the UTF-8 text of the regular file at `path`, line ends as `\\n`; see `read_bytes`."""
    content = read_bytes(path, largest, follow_links=follow_links)
    try:
        return content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise UserError(f"{path}: cannot be read: it is not UTF-8 text") from None


def names_beside(path: Path, pattern: str) -> list[str]:
    """Return the sorted names, at most `MOST_NAMES`, that match `pattern` in the folder of
    `path`."""
    if not path.parent.is_dir():
        return []
    return sorted(p.name for p in itertools.islice(path.parent.glob(pattern), MOST_NAMES))


def check_path(path: Path) -> Path:
    """Return `path`; raise `UserError` when no file can have this name."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no file can have this name: {_reason(error)}") from None
    return path


def _in_words(size: int) -> str:
    """Return a size with its unit."""
    for unit, count in (("MiB", MEBIBYTE), ("KiB", 1024)):
        if size >= count:
            return f"{size / count:g} {unit}"
    return f"{size} bytes"


def _check_regular(handle: int) -> None:
    mode = os.fstat(handle).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file")


def _unreadable(path: Path, error: OSError | ValueError, follow_links: bool) -> UserError:
    is_link = not follow_links and isinstance(error, OSError) and error.errno == errno.ELOOP
    reason = "it is a link, and links are not followed here" if is_link else _reason(error)
    return UserError(f"{path}: cannot be read: {reason}")


def _reason(error: OSError | ValueError) -> str:
    """Return the system's reason; a `ValueError` means a name with NUL or a lone surrogate."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "its name has a character that no file name can have"
