"""Multiply-accumulates of a product of activity with weights: dense and effective, exactly.

With b(z) = 1 where z is not 0, and 1(z) = 1 everywhere, a product F costs

    dense      sum F(1(x), 1(w))        by_weight  sum F(1(x), b(w))
    by_input   sum F(b(x), 1(w))        effective  sum F(b(x), b(w))

Taps that fall into padding count in none. F is linear in both, so that sums over samples and over
output channels are taken first: what is left is one sample and one channel, in float64.

Source of dense and effective: NeuroBench (Yik et al., Nature Communications 2025).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from eibench.cost.rules import is_binary

FINEST = 8
"""Inputs that are multiples of 2^-8 at least count as numbers of few bits; others as real."""
MOST_BITS = 16
SAMPLE = 4096
"""Entries that are looked at first."""


@dataclass
class ProductCount:
    """Operations of one product, over all samples; and what its operands are like."""

    dense: int
    by_input: int
    by_weight: int
    effective: int
    binary: bool
    """Every entry of the activity is -1, 0 or 1."""
    bits: int | None
    """Bits that hold every entry of the activity, up to a common factor; None for real numbers."""
    inputs: int
    nonzero: int
    ones: int
    """Entries of the activity that are -1 or 1."""
    weights: int
    outputs: int
    biased: bool


def few_bits(x: Tensor) -> int | None:
    """Return the bits of the integers that `x` holds in multiples of a power of 1/2, if few do."""
    flat = x.flatten()
    if _finest(flat[:SAMPLE]) is None or (scale := _finest(flat)) is None:
        return None
    most = round(float(flat.abs().max()) * scale) if len(flat) else 0
    bits = most.bit_length()
    return max(1, bits) if bits <= MOST_BITS else None


def _finest(flat: Tensor) -> int | None:
    """Return the least power of 2 of which all entries are whole multiples of its inverse."""
    for power in range(FINEST + 1):
        scaled = flat * 2**power
        if bool((scaled == scaled.round()).all()):
            return int(2**power)
    return None


def _convolution(
    args: Sequence[Any], out: Tensor, is_activity: Callable[[Any], bool]
) -> ProductCount:
    """Count `aten.convolution` of activity [N, C, ...] and weights [O, C / groups, ...]."""
    x, weight, bias, stride, padding, dilation, transposed, _, groups = args[:9]
    if transposed or not is_activity(x):
        raise ValueError("a transposed convolution, or one of weights with activity")

    def total(samples: Tensor, kernels: Tensor) -> int:
        reach = (stride, padding, dilation, False, [0] * len(stride), groups)
        made = torch.ops.aten.convolution(samples[None], kernels, None, *reach)
        return round(float(made.sum()))

    samples = (x != 0).sum(0), torch.full_like(x[0], len(x), dtype=torch.double)
    there = (weight != 0).unflatten(0, (groups, -1)).sum(1)
    kernels = there, torch.full_like(there, len(weight) // groups)
    return _count(x, weight, out, bias is not None, samples, kernels, total)


def _matrices(
    x: Tensor, weight: Tensor, out: Tensor, is_activity: Callable[[Any], bool], biased: bool
) -> ProductCount:
    """Count a product of matrices [..., M, K] and [..., K, N]; either may be the activity."""
    if not is_activity(x):
        x, weight = weight.mT, x.mT

    def total(samples: Tensor, columns: Tensor) -> int:
        return round(float((samples * columns).sum()))

    every = torch.full_like(x.select(-2, 0), x.shape[-2], dtype=torch.double)
    samples = (x != 0).sum(-2), every
    there = (weight != 0).sum(-1)
    columns = there, torch.full_like(there, weight.shape[-1])
    return _count(x, weight, out, biased, samples, columns, total)


def _count(
    x: Tensor,
    weight: Tensor,
    out: Tensor,
    biased: bool,
    samples: tuple[Tensor, Tensor],
    kernels: tuple[Tensor, Tensor],
    total: Callable[[Tensor, Tensor], int],
) -> ProductCount:
    """Count with sums of b(x) and 1(x) over samples, of b(w) and 1(w) over outputs, and `total`."""
    nonzero, entries, there, weights = (part.double() for part in (*samples, *kernels))
    return ProductCount(
        dense=total(entries, weights),
        by_input=total(nonzero, weights),
        by_weight=total(entries, there),
        effective=total(nonzero, there),
        binary=is_binary(x),
        bits=few_bits(x),
        inputs=x.numel(),
        nonzero=int(nonzero.sum()),
        ones=int((x.abs() == 1).sum()) if x.dtype != torch.bool else int(x.sum()),
        weights=weight.numel(),
        outputs=out.numel(),
        biased=biased,
    )


def count_product(
    name: str, args: Sequence[Any], out: Tensor, is_activity: Callable[[Any], bool]
) -> ProductCount | None:
    """Return the count of a convolution or product of matrices; None for other operations."""
    if name == "convolution":
        return _convolution(args, out, is_activity)
    if name in ("mm", "bmm"):
        return _matrices(args[0], args[1], out, is_activity, biased=False)
    if name in ("addmm", "baddbmm"):
        return _matrices(args[1], args[2], out, is_activity, biased=True)
    return None
