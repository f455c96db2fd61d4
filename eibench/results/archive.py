"""Packed results: plan, runs and search of one suite in a single compressed file.

A folder that holds a pack (`results/evidence/NAME/runs.tar.xz`) reads as if it were unpacked there;
see `eibench.results.paths`. Packs may come from strangers: nothing is extracted, members are kept
in memory, and names, types, sizes and counts are checked.
"""

from __future__ import annotations

import io
import lzma
import os
import re
import tarfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from eibench.errors import UserError
from eibench.files import MEBIBYTE, read_bytes

PACK = "runs.tar.xz"
SUFFIX = ".tar.xz"
LARGEST = 64 * MEBIBYTE
"""Bytes of a packed file, and of a member."""
LARGEST_CONTENT = 128 * MEBIBYTE
"""Bytes of all that a pack holds."""
KEPT = LARGEST_CONTENT
"""Bytes of contents of packs that are kept in memory; the last one read is kept in any case."""
MOST_MEMBERS = 200_000
MEMORY = 256 * MEBIBYTE
"""Bytes that the decompressor may use."""
DEEPEST = 3
"""Folders between a pack and a member: `search/RUN/record.json`."""
_RUN = r"[A-Za-z0-9_.-]{1,80}_[0-9a-f]{8}"
_FILE = rf"plan\.json|{_RUN}/(?:spec\.yaml|epochs\.jsonl|record\.json)"
_MEMBER = re.compile(rf"(?:search/)?(?:{_FILE})|search/journal\.log")

DAMAGE = (lzma.LZMAError, tarfile.TarError, ValueError, EOFError, OverflowError)

EXTENSIONS = (
    tarfile.XGLTYPE,
    tarfile.XHDTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
"""Types of headers that `tarfile` applies to other members."""

Files = Mapping[str, bytes]
"""Contents by name within the suite's folder."""


def is_packable(name: str) -> bool:
    """Return whether a pack holds files of this name, which is relative to the suite's folder."""
    return _MEMBER.fullmatch(name) is not None


def to_pack(files: Files) -> bytes:
    """Return a pack of `files`; equal files give equal bytes, whatever their times and owners."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            tar.addfile(member, io.BytesIO(files[name]))
    return lzma.compress(buffer.getvalue(), preset=9)


def read_pack(path: Path) -> Files:
    """Return the files in the pack at `path`.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it is a link, no pack, or holds anything but regular files of results.
    """
    found = os.stat(path)
    key = (path.absolute(), found.st_mtime_ns, found.st_size)
    with _lock:
        if (kept := _kept.pop(key, None)) is None:
            files = _read_pack(path)
            kept = sum(map(len, files.values())), files
        _kept[key] = kept  # behind all others
        while len(_kept) > 1 and sum(size for size, _ in _kept.values()) > KEPT:
            del _kept[next(iter(_kept))]
    return kept[1]


_kept: dict[tuple[Path, int, int], tuple[int, Files]] = {}
"""Size and contents of packs, the one used last behind all others."""
_lock = threading.Lock()


def _read_pack(path: Path) -> Files:
    content = read_bytes(path, LARGEST, follow_links=False)
    try:
        return unpacked(content)
    except DAMAGE as error:
        raise UserError(f"{path}: damaged ({error}); it is no pack of results") from None


def unpacked(content: bytes) -> Files:
    """Return the files in a pack; raise one of `DAMAGE` where it is none, or exceeds a bound."""
    if len(content) > LARGEST:
        raise ValueError(f"more than {LARGEST // MEBIBYTE} MiB")
    found = _decompressed(content)
    _refuse_extensions(found)
    return dict(_members(found))


def _decompressed(content: bytes) -> bytes:
    """Return what one xz stream holds, within the bounds of memory and size."""
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY)
    found = decompressor.decompress(content, LARGEST_CONTENT)
    if not decompressor.eof:
        most = LARGEST_CONTENT // MEBIBYTE
        raise ValueError(f"cut off, or more than {most} MiB when unpacked")
    if decompressor.unused_data:
        raise ValueError("something follows the compressed data")
    return found


def _refuse_extensions(content: bytes) -> None:
    """Raise ValueError for headers that describe other members: packs have none, and `tarfile`
    copies them into each member."""
    at = 0
    while (header := content[at : at + tarfile.BLOCKSIZE]).strip(b"\0"):
        if header[156:157] in EXTENSIONS:
            raise ValueError("holds extended headers")
        size = int(header[124:136].strip(b" \0") or b"0", 8)
        at += tarfile.BLOCKSIZE * (1 + -(-max(size, 0) // tarfile.BLOCKSIZE))


def _members(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each member of a tar file.

    Raises:
        ValueError: a member is not a regular file of results, or is there twice.
        tarfile.TarError: the file is damaged.
    """
    seen: set[str] = set()
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        for member in tar:
            name = member.name
            if len(seen) == MOST_MEMBERS:
                raise ValueError(f"more than {MOST_MEMBERS:,} files")
            if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.sparse:
                raise ValueError(f"{name!r} is not a regular file")
            if not is_packable(name):
                raise ValueError(f"{name!r} is no file of results")
            if name in seen:
                raise ValueError(f"duplicate file {name!r}")
            data = content[member.offset_data : member.offset_data + member.size]
            if len(data) != member.size or member.size > LARGEST:
                raise ValueError(f"{name!r} is cut off or too large")
            seen.add(name)
            yield name, data
        # `tarfile` takes a damaged header for the end of the file.
        end = content[tar.offset :]
        if len(end) < tarfile.BLOCKSIZE or end.strip(b"\0"):
            raise ValueError("cut off, or damaged behind its first files")


def pack_file(folder: Path) -> Path | None:
    """Return the pack in `folder`, or `folder` itself if it is one; None if neither is there."""
    for file in (folder / PACK, folder):
        if file.name.endswith(SUFFIX) and os.path.isfile(file):
            return file
    return None


def pack_in(folder: Path) -> Files:
    """Return the files of the pack that `folder` has or is; none where there is no pack."""
    file = pack_file(folder)
    return read_pack(file) if file else {}


def find_member(path: Path) -> tuple[Files, str]:
    """Return the files of the nearest pack in or above `path`, and the name of `path` among them.

    `path` may be a member or a folder of members.
    """
    for folder in (path, *path.parents)[: DEEPEST + 1]:
        if files := pack_in(folder):
            return files, path.relative_to(folder).as_posix()
    return {}, ""
