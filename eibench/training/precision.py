"""The precision of a network's products: float32, or bfloat16 by torch's autocast.

Weights, their gradients, membrane potentials, divisors and statistics stay in float32.
"""

from __future__ import annotations

import torch


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """What a network runs under, forward, when `precision` is `fp32` or `bf16`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
