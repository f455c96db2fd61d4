"""Images that stay in their files and are read batch by batch.

Worker processes prefetch batches and stay alive between passes. They return uint8 images in the
order of the index, so all later steps, augmentation included, use the same code and give the same
numbers as for images in memory.

Batches travel through shared memory. Where that is small (a container has 64 MiB by default), fewer
batches are prefetched. A batch that cannot be sent is read in the main process. A worker that dies
ends the pass with a `DataError`.
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
PREFETCH = 4
"""Batches that each worker prefetches."""
MEMORY_SHARE = 0.8
"""Fraction of the free shared memory that batches may use."""
CHUNK_BYTES = 32 * 2**20
"""Approximate memory of images that are processed together."""
CPU = torch.device("cpu")
SAMPLED_FILES, SAMPLED_BYTES = 1024, 64
"""Number of files per split whose content enters a digest, and the number of bytes of each."""


class ImageFiles:
    """Image files under `root`, all of `shape` [C, H, W]; `read` returns the pixels [H, W, C] of
    one."""

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
        """Read the images [B, C, H, W] of the files numbered `chosen` [B]; raise `DataError`."""
        channels, *size = self.shape
        images = np.empty((len(chosen), channels, *size), dtype=np.uint8)
        for image, i in zip(images, chosen.tolist(), strict=True):
            image[:] = np.moveaxis(self.read(self.path(i)), -1, 0)
        return torch.from_numpy(images)

    @property
    def nbytes(self) -> int:
        """Return the size of all images in memory."""
        return len(self) * math.prod(self.shape)

    def path(self, i: int) -> str:
        """Return the path of image `i`."""
        return os.path.join(self.root, os.fsdecode(self.names[i]))  # a Path is 10 us slower

    def fingerprint(self, chosen: Sequence[int]) -> bytes:
        """Return a SHA-256 over shape, file names and sizes of `chosen`, and bytes of a sample
        of them.

        The bytes are taken from the middle of up to `SAMPLED_FILES` files.

        Raises:
            DataError: a file is missing.
        """
        hasher = hashlib.sha256(repr(self.shape).encode())
        every = -(-len(chosen) // SAMPLED_FILES)
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
        file.seek(max(0, (size - SAMPLED_BYTES) // 2))
        return file.read(SAMPLED_BYTES)


_worker_files: list[ImageFiles] = []
"""In a worker process: the files to read."""


def _init_worker(files: ImageFiles) -> None:
    """Initialize a worker process."""
    _worker_files[:] = [files]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles interrupts
    torch.set_num_threads(1)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _read_batch(chosen: np.ndarray) -> Tensor:
    return _worker_files[0].batch(chosen)


class Reader:
    """Reader of batches of `files` with `workers` processes; 0 reads in the calling process."""

    def __init__(self, files: ImageFiles, workers: int) -> None:
        self.files, self.workers = files, workers
        self.pool: ProcessPoolExecutor | None = None
        self.warned = False

    def read(self, batches: Sequence[Tensor], device: torch.device) -> Iterator[Tensor]:
        """Yield the images of each index [B], on `device`.

        Raises:
            DataError: a file is damaged, or a worker process has died.
        """
        indices = [chosen.numpy() for chosen in batches]
        ahead = min(self._prefetch_count(indices), len(indices))
        read = self._prefetch(indices, ahead) if ahead else map(self.files.batch, indices)
        for images in read:
            pinned = images.pin_memory() if device.type == "cuda" else images
            yield pinned.to(device, non_blocking=True)

    def _prefetch_count(self, indices: Sequence[np.ndarray]) -> int:
        """Return the number of batches to prefetch: enough for the workers, within shared
        memory."""
        wanted = PREFETCH * self.workers
        largest = max(map(len, indices), default=0) * math.prod(self.files.shape)
        free = shared_memory()
        if not wanted or not largest or free is None:
            return wanted
        fit = int(MEMORY_SHARE * free // largest)
        if fit < min(wanted, len(indices)):
            self._warn(
                f"shared memory has {free / 2**20:.0f} MiB free, room for {fit} of the {wanted} "
                f"batches of {largest / 2**20:.1f} MiB to read ahead"
            )
        return min(wanted, fit)

    def _prefetch(self, indices: Sequence[np.ndarray], ahead: int) -> Iterator[Tensor]:
        """Yield the images of each of `indices`, keeping `ahead` batches in flight."""
        pending: deque[Future[Tensor]] = deque()
        try:
            pool = self._start_pool()
            for order, chosen in enumerate(indices):
                for later in indices[order + len(pending) : order + ahead]:
                    pending.append(pool.submit(_read_batch, later))
                yield self._result(pending.popleft(), chosen)
        except BrokenProcessPool:
            self.pool = None
            raise DataError(
                f"{self.files.root}: a process that read images died; the system ends what needs "
                f"too much memory. {WORKERS}=0 reads images without other processes"
            ) from None
        finally:
            for future in pending:
                future.cancel()

    def _result(self, future: Future[Tensor], chosen: np.ndarray) -> Tensor:
        """Return the result of `future`; read it here if it could not be sent."""
        try:
            return future.result()
        except (DataError, BrokenProcessPool):
            raise
        except (RuntimeError, OSError) as error:  # no memory, file handles or socket folder
            self._warn(f"images cannot be sent between processes ({error})")
            return self.files.batch(chosen)

    def _start_pool(self) -> ProcessPoolExecutor:
        """Return the pool of workers, started on first use."""
        if self.pool is None:
            self.pool = ProcessPoolExecutor(
                self.workers, initializer=_init_worker, initargs=(self.files,)
            )
        return self.pool

    def _warn(self, text: str) -> None:
        """Log once that reading is slow, and the remedy."""
        if not self.warned:
            log.warning(
                f"{self.files.root}: {text}; reading is slower. Give a container more shared "
                f"memory (docker run --shm-size=1g), or set {WORKERS}=0"
            )
        self.warned = True


class StreamedImages:
    """Images [N, C, H, W], uint8, in files; used in place of a tensor of images.

    `index` [N] numbers the files of `reader`; batches are returned on `device`.
    """

    dtype = torch.uint8

    def __init__(self, reader: Reader, index: Tensor, device: torch.device = CPU) -> None:
        self.reader, self.index, self.device = reader, index, device

    def __len__(self) -> int:
        return len(self.index)

    @property
    def shape(self) -> torch.Size:
        """Return [N, C, H, W]."""
        return torch.Size([len(self), *self.reader.files.shape])

    def to(self, device: torch.device) -> StreamedImages:
        """Return the same images, with batches on `device`."""
        return StreamedImages(self.reader, self.index, device)

    def __getitem__(self, chosen: Tensor) -> StreamedImages:
        """Return the images numbered `chosen`, still unread."""
        return StreamedImages(self.reader, self.index[chosen], self.device)

    def batches(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the images of each index [B], on the device; raise as `Reader.read`."""
        return self.reader.read([self.index[chosen] for chosen in batches], self.device)

    def read_slice(self, part: slice) -> Tensor:
        """Read a slice of the split in the calling process."""
        return self.reader.files.batch(self.index[part].numpy())

    def in_memory(self) -> Tensor:
        """Read all images; raise `DataError` for the first damaged file."""
        images = torch.empty(self.shape, dtype=self.dtype, device=self.device)
        size = images_per_chunk(self)
        chunks = torch.arange(len(self)).split(size)
        for into, read in zip(images.split(size), self.batches(chunks), strict=True):
            into.copy_(read)
        return images

    def fingerprint(self) -> bytes:
        """Return the bytes that represent the images in a digest; see `ImageFiles.fingerprint`."""
        return self.reader.files.fingerprint(self.index.tolist())


def images_per_chunk(images: Tensor | StreamedImages) -> int:
    """Return how many of `images` fit into `CHUNK_BYTES` of memory; at least one."""
    return max(1, CHUNK_BYTES // max(1, math.prod(images.shape[1:])))
