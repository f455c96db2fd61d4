"""Downloaded archives: verified, checked for size and names, and unpacked into one folder.

Checksums are compared before anything is unpacked: the published MD5, and SHA-256 where it is
known. Nothing is written before the sizes and names of all members have been checked.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from eibench.errors import DataError

SHA256 = {
    # cifar-10-python.tar.gz and cifar-100-python.tar.gz (from Keras), tiny-imagenet-200.zip
    "c58f30108f718f92721af3b95e74349a": (
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
    ),
    "eb9058c3a382ffc7106e4002c42a8d85": (
        "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"
    ),
    "90528d7ca1a48142e341f4ef8d21d0de": (
        "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821"
    ),
}
"""SHA-256 by published MD5."""
MOST_FILES = 1_000_000
MOST_TIMES = 100
"""Maximal ratio of unpacked to packed bytes; real data sets are far below it."""
Member = tuple[str, int]
"""Name and size."""


def fetch_archive(url: str, folder: Path, name: str, md5: str) -> None:
    """Download `url` to `folder / name` unless present, verify, unpack into `folder`, and delete
    it.

    Raises:
        DataError: the archive is not the published one, or holds what no data set does.
        OSError, RuntimeError and others of `sources.FAILURES`: the download failed.
    """
    from torchvision.datasets.utils import download_url

    download_url(url, str(folder), name, md5)
    check_sha256(folder / name, md5)
    unpack(folder / name, folder)
    (folder / name).unlink()


def check_sha256(path: Path, md5: str) -> None:
    """Raise `DataError` and delete the file if its SHA-256 is known and differs."""
    if (known := SHA256.get(md5)) is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != known:
        path.unlink()
        raise DataError(f"{path.name}: its SHA-256 is {found}, not {known}")


def unpack(path: Path, folder: Path) -> None:
    """Unpack a zip or tar archive into `folder`, and nowhere else.

    Raises:
        DataError: it holds links, devices or names outside `folder`, or does not fit on the disk.
        tarfile.TarError, zipfile.BadZipFile: it is damaged.
    """
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as packed:
            _check(path, folder, ((m.filename, m.file_size) for m in packed.infolist()))
            packed.extractall(folder)
        return
    if not hasattr(tarfile, "data_filter"):
        raise DataError(f"{path}: needs a Python that unpacks safely: 3.11.4, or 3.12, or newer")
    with tarfile.open(path) as tar:
        _check(path, folder, ((m.name, m.size) for m in tar))
        tar.extractall(folder, filter="data")


def _check(path: Path, folder: Path, members: Iterable[Member]) -> None:
    """Raise `DataError` for member names outside `folder` and for excessive sizes."""
    most = min(MOST_TIMES * path.stat().st_size, shutil.disk_usage(folder).free)
    total = 0
    for count, (name, size) in enumerate(members, start=1):
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in name:
            raise DataError(f"{path.name}: holds {name!r}, which lies outside of it")
        total += size
        if total > most or count > MOST_FILES:
            raise DataError(
                f"{path.name}: holds more than {count} files of {total:,} bytes; allowed are "
                f"{MOST_FILES:,} files, {MOST_TIMES} times its own size, and what the disk takes"
            )
