"""Where autocast must not reach: what rounding would hurt stays in the precision it came in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def as_it_came(x: Tensor) -> AbstractContextManager[object]:
    """Autocast off on the device of `x`; `meta` has none."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)
