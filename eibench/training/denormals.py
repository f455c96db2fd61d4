"""Training without denormal numbers, which are too small to matter and slow to compute with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

GRAIN = 2**15
"""Numbers for which torch takes one thread more."""


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Let a CPU take numbers below 1.2e-38 for 0.

    Far from the threshold the gradient of a surrogate underflows, and arithmetic on what is left
    takes many times as long. Threads that torch starts within keep the mode.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def start_threads() -> None:
    """Start all of torch's threads, which flush denormal numbers from now on."""
    with denormals_flushed():
        torch.zeros(GRAIN * torch.get_num_threads()).add_(1)
