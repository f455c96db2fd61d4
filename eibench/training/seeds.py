"""Named random streams: every random decision uses a stream derived from the run's seed.

`order` depends on seed and epoch alone. So all methods see the same batches, their differences can
be paired by seed, and a resumed run needs no stored generator state.
"""

from __future__ import annotations

import hashlib

import torch


def stream_seed(seed: int, *name: str | int) -> int:
    """Return a 63-bit seed for the stream `name` of a run with `seed`, by SHA-256."""
    text = "/".join(map(str, (seed, *name)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *name: str | int) -> torch.Generator:
    """Return a CPU generator at the start of the stream `name`."""
    return torch.Generator().manual_seed(stream_seed(seed, *name))
