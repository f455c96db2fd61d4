"""Division of a batch: into pieces whose gradients are added up, and among processes.

A batch of n images is cut into k pieces in order, as even as can be. Each process has a slice of
each piece, in order of rank, so that a piece has the same images for any number of processes.
"""

from __future__ import annotations

import torch
from torch import Tensor


def bounds(n: int, parts: int) -> list[tuple[int, int]]:
    """Return start and end of `parts` slices of n images."""
    return [(i * n // parts, (i + 1) * n // parts) for i in range(parts)]


def slices(n: int, pieces: int, rank: int = 0, ranks: int = 1) -> list[tuple[int, int]]:
    """Return start and end of a process's slice of each piece of a batch of n images."""
    found = []
    for start, stop in bounds(n, min(pieces, n)):
        own = bounds(stop - start, ranks)[rank]
        found.append((start + own[0], start + own[1]))
    return found


def smallest_piece(n: int, pieces: int) -> int:
    """Return the number of images in the smallest piece of a batch of n images."""
    return n // min(pieces, n)


def take(index: Tensor, pieces: int, rank: int, ranks: int) -> Tensor:
    """Return the entries of `index` [B], a batch, that a process holds."""
    return torch.cat([index[a:b] for a, b in slices(len(index), pieces, rank, ranks)])
