"""Images that stay in their files, and are read when a batch asks for them.

Worker processes read ahead and stay from one pass to the next. What they give is what memory would:
uint8 images in the order of the index, so that all that comes after, augmentation included, is the
same code with the same numbers.

A batch comes from a worker through shared memory. Where that is small (a container has 64 MiB of it
unless told otherwise) fewer batches are read ahead; a batch that cannot be sent is read in this
process. A worker that dies ends the pass with a `DataError`.
"""

from __future__ import annotations

import hashlib
import logging
import math
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from eibench.data.machine import WORKERS, shared_memory
from eibench.errors import DataError

log = logging.getLogger(__name__)
AHEAD = 4
"""Batches that each worker reads ahead."""
SHARE = 0.8
"""Share of the free shared memory that batches may take."""
CHUNK_BYTES = 32 * 2**20
"""Images that are looked at together take about so much memory."""
CPU = torch.device("cpu")
SAMPLED, PROBE = 1024, 64
"""Files of a split whose content takes part in a digest, and how many bytes of each."""


class ImageFiles:
    """Files under `root`, each an image of `shape` [C, H, W]; `read` gives its pixels [H, W, C]."""

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

    def batch(self, chosen: np.ndarray) -> Tensor:
        """Images [B, C, H, W] of the files numbered `chosen` [B]; raises `DataError`."""
        channels, *size = self.shape
        images = np.empty((len(chosen), channels, *size), dtype=np.uint8)
        for image, i in zip(images, chosen.tolist(), strict=True):
            image[:] = np.moveaxis(self.read(self.path(i)), -1, 0)
        return torch.from_numpy(images)

    @property
    def nbytes(self) -> int:
        """What all images take in memory."""
        return len(self) * math.prod(self.shape)

    def path(self, i: int) -> str:
        """Where image `i` is."""
        return os.path.join(self.root, os.fsdecode(self.names[i]))  # a Path is 10 us slower

    def fingerprint(self, chosen: Sequence[int]) -> bytes:
        """SHA-256 over shape, names and sizes in bytes of the files numbered `chosen`, and over
        some bytes from the middle of up to `SAMPLED` of them.

        Raises:
            DataError: a file is gone.
        """
        hasher = hashlib.sha256(repr(self.shape).encode())
        every = -(-len(chosen) // SAMPLED)
        for order, i in enumerate(chosen):
            try:
                size = os.path.getsize(self.path(i))
                hasher.update(self.names[i] + f" {size}\n".encode())
                if order % every == 0:
                    hasher.update(_middle(self.path(i), size))
            except OSError as error:
                raise DataError(f"{self.path(i)}: unreadable ({error.strerror})") from None
        return hasher.digest()


def _middle(path: str, size: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(0, (size - PROBE) // 2))
        return file.read(PROBE)


_to_read: list[ImageFiles] = []
"""In a worker process: the files that it reads."""


def _begin(files: ImageFiles) -> None:
    """Make this process a worker."""
    _to_read[:] = [files]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's business
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _batch(chosen: np.ndarray) -> Tensor:
    return _to_read[0].batch(chosen)


class Reader:
    """Reads batches of `files` in `workers` processes; 0: in this one."""

    def __init__(self, files: ImageFiles, workers: int) -> None:
        self.files, self.workers = files, workers
        self.pool: ProcessPoolExecutor | None = None
        self.warned = False

    def read(self, batches: Sequence[Tensor], device: torch.device) -> Iterator[Tensor]:
        """The images of each index [B], on `device`.

        Raises:
            DataError: a file is damaged, or a worker process has died.
        """
        indices = [chosen.numpy() for chosen in batches]
        ahead = min(self._ahead(indices), len(indices))
        read = self._ahead_of_time(indices, ahead) if ahead else map(self.files.batch, indices)
        for images in read:
            pinned = images.pin_memory() if device.type == "cuda" else images
            yield pinned.to(device, non_blocking=True)

    def _ahead(self, indices: Sequence[np.ndarray]) -> int:
        """Batches to read ahead: as many as keep the workers busy and fit in shared memory."""
        wanted = AHEAD * self.workers
        largest = max(map(len, indices), default=0) * math.prod(self.files.shape)
        free = shared_memory()
        if not wanted or not largest or free is None:
            return wanted
        fit = int(SHARE * free // largest)
        if fit < min(wanted, len(indices)):
            self._warn(
                f"shared memory has {free / 2**20:.0f} MiB free, room for {fit} of the {wanted} "
                f"batches of {largest / 2**20:.1f} MiB to read ahead"
            )
        return min(wanted, fit)

    def _ahead_of_time(self, indices: Sequence[np.ndarray], ahead: int) -> Iterator[Tensor]:
        """The images of each of `indices`, of which `ahead` are on their way at any time."""
        pending: deque[Future[Tensor]] = deque()
        try:
            pool = self._started()
            for order, chosen in enumerate(indices):
                for later in indices[order + len(pending) : order + ahead]:
                    pending.append(pool.submit(_batch, later))
                yield self._received(pending.popleft(), chosen)
        except BrokenProcessPool:
            self.pool = None
            raise DataError(
                f"{self.files.root}: a process that read images died; the system ends what needs "
                f"too much memory. {WORKERS}=0 reads images without other processes"
            ) from None
        finally:
            for future in pending:
                future.cancel()

    def _received(self, future: Future[Tensor], chosen: np.ndarray) -> Tensor:
        """The result of `future`; read here where it could not be sent."""
        try:
            return future.result()
        except (DataError, BrokenProcessPool):
            raise
        except (RuntimeError, OSError) as error:  # no room, no file handles, no folder for a socket
            self._warn(f"images cannot be sent between processes ({error})")
            return self.files.batch(chosen)

    def _started(self) -> ProcessPoolExecutor:
        """The workers, which begin when they are first asked."""
        if self.pool is None:
            self.pool = ProcessPoolExecutor(
                self.workers, initializer=_begin, initargs=(self.files,)
            )
        return self.pool

    def _warn(self, text: str) -> None:
        """Say once that reading is slow, and the remedy."""
        if not self.warned:
            log.warning(
                f"{self.files.root}: {text}; reading is slower. Give a container more shared "
                f"memory (docker run --shm-size=1g), or set {WORKERS}=0"
            )
        self.warned = True


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

    def read_here(self, part: slice) -> Tensor:
        """The images of a part of the split, read at once, in this process."""
        return self.reader.files.batch(self.index[part].numpy())

    def in_memory(self) -> Tensor:
        """All images, read now; raises `DataError` for the first file that is damaged."""
        images = torch.empty(self.shape, dtype=self.dtype, device=self.device)
        size = images_within(self)
        chunks = torch.arange(len(self)).split(size)
        for into, read in zip(images.split(size), self.batches(chunks), strict=True):
            into.copy_(read)
        return images

    def fingerprint(self) -> bytes:
        """What stands for the images in a digest; see `ImageFiles.fingerprint`."""
        return self.reader.files.fingerprint(self.index.tolist())


def images_within(images: Tensor | StreamedImages, nbytes: int = CHUNK_BYTES) -> int:
    """How many of `images` take up to `nbytes` of memory; at least one."""
    return max(1, nbytes // max(1, math.prod(images.shape[1:])))
