"""Fashion-MNIST as the Debian package `dataset-fashion-mnist` installs it.

    /usr/share/datasets/fashion-mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz

Debian compresses the files anew, so the published MD5 of the compressed files do not apply. The
SHA-256 of their contents are known: those of the files of https://github.com/zalandoresearch, which
other projects state too. The contents are verified and read in memory; nothing is unpacked to disk.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np
import torch

from eibench.data.base import Split
from eibench.data.sources import SystemPackage, unreadable
from eibench.errors import error_line

SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""SHA-256 of the uncompressed files."""
HEADER = {"images-idx3": 16, "labels-idx1": 8}
"""Bytes before the values of an idx file, by kind."""
SIDE = 28


def read_contents(folder: Path) -> tuple[dict[str, bytes], list[str]]:
    """Return the uncompressed files in `folder` by name, and the problems of the others."""
    contents, problems = {}, []
    for name, known in SHA256.items():
        path = folder / f"{name}.gz"
        try:
            content = gzip.decompress(path.read_bytes())
        except FileNotFoundError:
            problems.append(f"{path}: missing")
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            problems.append(f"{path}: damaged ({error_line(error)})")
        except OSError as error:
            problems.append(unreadable(error))
        else:
            if (found := hashlib.sha256(content).hexdigest()) == known:
                contents[name] = content
            else:
                problems.append(
                    f"{path}: damaged, its content's SHA-256 is {found} and not {known}"
                )
    return contents, problems


def read_split(contents: dict[str, bytes], part: str) -> Split:
    """Return the images and labels of `part`, train or t10k, from verified contents."""
    images, labels = (
        np.frombuffer(contents[f"{part}-{kind}-ubyte"], np.uint8, offset=header)
        for kind, header in HEADER.items()
    )
    stored = torch.from_numpy(images.reshape(-1, 1, SIDE, SIDE).copy())
    return Split(stored, torch.from_numpy(labels.astype(np.int64)))


def verify(folder: Path) -> list[str]:
    """Return the problems of the files in `folder`."""
    return read_contents(folder)[1]


FASHION_MNIST = SystemPackage("dataset-fashion-mnist", "fashion-mnist", verify)
