"""Images that stay in their files, and are read when a batch asks for them.

The worker processes of a torch `DataLoader` read ahead, one batch each, and stay from one pass to
the next. What they give is what memory would: uint8 images in the order of the index, so that all
that comes after, augmentation included, is the same code with the same numbers.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from eibench.data.base import DataError

AHEAD = 4
"""Batches that each worker reads ahead."""
CHUNK = 256
"""Images read at once where nothing asks for batches."""
CPU = torch.device("cpu")


class ImageFiles(Dataset[Tensor | DataError]):
    """Files under `root`, each an image of `shape` [C, H, W]; `read` gives its pixels [H, W, C].

    Indexed by a tensor [B] it gives images [B, C, H, W]; of a file that cannot be read, the error
    as a value, since an exception would not come out of a worker process as it went in.
    """

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        shape: tuple[int, ...],
        read: Callable[[str], np.ndarray],
    ) -> None:
        self.root, self.shape, self.read = str(root), shape, read
        self.names = np.array([os.fsencode(name) for name in names])  # workers share the array

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, chosen: Tensor) -> Tensor | DataError:
        channels, *size = self.shape
        images = np.empty((len(chosen), *size, channels), dtype=np.uint8)
        try:
            for image, i in zip(images, chosen.tolist(), strict=True):
                image[:] = self.read(self.path(i))
        except DataError as error:
            return error
        return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()

    @property
    def nbytes(self) -> int:
        """What all images take in memory."""
        return len(self) * math.prod(self.shape)

    def path(self, i: int) -> str:
        """Where image `i` is."""
        return os.path.join(self.root, os.fsdecode(self.names[i]))  # a Path is 10 us slower

    def fingerprint(self, chosen: Sequence[int]) -> bytes:
        """SHA-256 over shape, names and sizes in bytes of the files numbered `chosen`."""
        hasher = hashlib.sha256(repr(self.shape).encode())
        for i in chosen:
            hasher.update(self.names[i] + f" {os.path.getsize(self.path(i))}\n".encode())
        return hasher.digest()


class Reader:
    """Reads batches of `files` in `workers` processes (0: in this one), one pass at a time."""

    def __init__(self, files: ImageFiles, workers: int) -> None:
        self.files, self.workers = files, workers
        self.batches: list[Tensor] = []
        self.passes = 0
        self.loader: DataLoader[Tensor | DataError] | None = None

    def read(self, batches: Sequence[Tensor], device: torch.device) -> Iterator[Tensor]:
        """The images of each index [B], on `device`.

        Raises:
            DataError: a file is damaged.
            RuntimeError: another pass has begun, which took the workers.
        """
        if self.loader is None:
            self.loader = self._start(device)
        self.passes += 1
        this = self.passes
        self.batches[:] = batches
        for images in self.loader:
            if isinstance(images, DataError):
                # a new one: `images`, once raised, would hold this frame, and so the workers
                raise DataError(*images.args)
            yield images.to(device, non_blocking=True)
            if self.passes != this:
                raise RuntimeError("two passes over streamed images at the same time")

    def _start(self, device: torch.device) -> DataLoader[Tensor | DataError]:
        return DataLoader(
            self.files,
            batch_size=None,  # an index is a whole batch
            sampler=self.batches,
            num_workers=self.workers,
            prefetch_factor=AHEAD if self.workers else None,
            persistent_workers=self.workers > 0,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # or it would draw from the global one
        )


class StreamedImages:
    """Images [N, C, H, W], uint8, of a `reader`'s files; those numbered `index` [N].

    It stands where a tensor of images would; batches come to `device`.
    """

    dtype = torch.uint8

    def __init__(self, reader: Reader, index: Tensor, device: torch.device = CPU) -> None:
        self.reader, self.index, self.device = reader, index, device

    def __len__(self) -> int:
        return len(self.index)

    @property
    def shape(self) -> torch.Size:
        """[N, C, H, W]."""
        return torch.Size([len(self), *self.reader.files.shape])

    def to(self, device: torch.device) -> StreamedImages:
        """The same images, which will come to `device`."""
        return StreamedImages(self.reader, self.index, device)

    def __getitem__(self, chosen: Tensor) -> StreamedImages:
        """The images numbered `chosen`, not read yet."""
        return StreamedImages(self.reader, self.index[chosen], self.device)

    def batches(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """The images of each index [B], on the device; raises as `Reader.read`."""
        return self.reader.read([self.index[chosen] for chosen in batches], self.device)

    def in_memory(self) -> Tensor:
        """All images, read now; raises `DataError` for the first file that is damaged."""
        images = torch.empty(self.shape, dtype=self.dtype, device=self.device)
        chunks = torch.arange(len(self)).split(CHUNK)
        for into, read in zip(images.split(CHUNK), self.batches(chunks), strict=True):
            into.copy_(read)
        return images

    def fingerprint(self) -> bytes:
        """What stands for the images in a digest: names and sizes of their files."""
        return self.reader.files.fingerprint(self.index.tolist())
