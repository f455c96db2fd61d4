"""Choice of kernels: torch's operations everywhere, Triton's on a GPU where it is installed.

The environment variable `EIBENCH_KERNELS` forces `torch` or `triton`. On a CPU Triton runs in its
interpreter alone (`TRITON_INTERPRET=1`), which is for tests.
"""

from __future__ import annotations

import functools
import importlib.util
import os

from torch import Tensor

VARIABLE = "EIBENCH_KERNELS"
CHOICES = ("torch", "triton")


def use_triton(x: Tensor) -> bool:
    """Return whether Triton's kernels compute on `x`.

    Raises:
        ValueError: `EIBENCH_KERNELS` has another value, or asks for what is not installed.
    """
    choice = os.environ.get(VARIABLE)
    if choice is None:
        return x.is_cuda and _installed()
    if choice not in CHOICES:
        raise ValueError(f"{VARIABLE} must be {' or '.join(CHOICES)}, not {choice!r}")
    if choice == "triton" and not _installed():
        raise ValueError(f"{VARIABLE} is triton, which is not installed")
    return choice == "triton"


@functools.cache
def _installed() -> bool:
    return importlib.util.find_spec("triton") is not None
