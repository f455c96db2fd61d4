"""A model of the energy of inference, from counted operations; and the quantised ANN beside it.

Arithmetic. An input of b bits costs at most b additions for each of its weights, one for each set
bit, or one multiply-accumulate if that is less:

    price(b) = min(multiply + add, b add)           price of real inputs = multiply + add

so that a spike costs one addition. Other operations have the price of their kind.

Memory, in three orders of work. Activity is read and written once in all of them.

    layerwise  all steps of a layer before the next layer: each weight is read once, potentials
               stay in registers
    stepwise   all layers of a step before the next step: each weight is read, each potential read
               and written, once per step
    events     no reuse: every operation reads its weight, and reads and writes its sum; potentials
               are read and written once per step

The quantised ANN is the same folded network in one pass, its activity in ceil(log2(T + 1)) bits,
which hold as many levels as T spikes; its weights are in the format of the constants' set, as those
of the spiking network. All of its inputs count (none is known to be zero), a neuron is one
comparison, there are no potentials. Its first layer reads the same image, once.

The break-even share of active inputs is the one at which both cost the same, all else as it is.

Sources: Yan, Bai, Tang and Wong (arXiv 2409.08290) for the bits of the ANN and for memory; Shen et
al. (CVPR 2024) for time steps as bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from eibench.cost.constants import ARITHMETIC, BASE, DIVISIONS, Arithmetic, Memory


@dataclass(frozen=True)
class ProductWork:
    """Operations of a product for one image, over all steps."""

    effective: float
    """Inputs and weights are not zero."""
    by_weight: float
    """Weights are not zero."""
    bits: int | None
    """Bits of its inputs; None for real numbers."""
    weights: int
    inputs: float


@dataclass(frozen=True)
class Work:
    """All that one image takes in the folded network."""

    timesteps: int
    neurons: int
    potentials: int
    """Membrane potentials: those of inhibitory cells too, where they spike."""
    products: tuple[ProductWork, ...]
    """In order; the first reads the image."""
    neuron_operations: Mapping[str, float]
    other_operations: Mapping[str, float]
    """By kind; pooling, division, norms that do not fold, biases."""

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Return the work that a record holds."""
        products = tuple(ProductWork(**product) for product in values["products"])
        return cls(**{**values, "products": products})

    @property
    def weights(self) -> int:
        """Weights of all products."""
        return sum(product.weights for product in self.products)

    @property
    def spiking(self) -> list[ProductWork]:
        """Return the products after the first whose inputs are spikes, or sums of some."""
        return [product for product in self.products[1:] if product.bits is not None]


Use = Literal["compute", "layerwise", "stepwise", "events"]
USES: tuple[Use, ...] = ("compute", "layerwise", "stepwise", "events")
"""Arithmetic alone, and the orders of work."""


@dataclass(frozen=True)
class Setting:
    """Constants and order of work under which energy is computed."""

    use: Use
    arithmetic: Arithmetic
    memory: Memory
    """It does not matter to arithmetic alone."""


@dataclass(frozen=True)
class Energy:
    """Picojoules of an image, and the quantised ANN's."""

    snn: float
    ann: float
    active: float
    """Part of `snn` that grows with the share of active inputs ..."""
    fully_active: float
    """... and what it would be if all were active."""

    @property
    def ratio(self) -> float | None:
        """SNN over ANN."""
        return self.snn / self.ann if self.ann else None

    @property
    def break_even(self) -> float | None:
        """Share of active inputs at which both are equal, from 0 (never) to 1 (always)."""
        if not self.fully_active:
            return None
        share = (self.ann - (self.snn - self.active)) / self.fully_active
        return min(1.0, max(0.0, share))


def ann_bits(timesteps: int) -> int:
    """Return the bits that hold the spike counts 0 to T."""
    return math.ceil(math.log2(timesteps + 1))


def price(arithmetic: Arithmetic, bits: int | None) -> float:
    """Return the energy of an operation on an input of so many bits; None is a real number."""
    full = arithmetic.multiply + arithmetic.add
    return full if bits is None else min(full, bits * arithmetic.add)


def energy(work: Work, setting: Setting) -> Energy:
    """Return the energy of an image under `setting`."""
    known, steps, bits = setting.arithmetic, work.timesteps, ann_bits(work.timesteps)
    access = 0.0 if setting.use == "compute" else setting.memory.picojoules
    of_sum, reading = access * known.sum_bytes, access * known.weight_bytes
    fetch = reading + 2 * of_sum if setting.use == "events" else 0.0
    held = 0.0 if setting.use == "events" else reading * work.weights
    passes = 1 if setting.use == "layerwise" else steps
    moves = 0 if setting.use == "layerwise" else 2 * steps

    first, rest = work.products[0], work.products[1:]
    active = sum(p.effective * (price(known, p.bits) + fetch) for p in work.spiking)
    full = sum(p.by_weight * (price(known, p.bits) + fetch) for p in work.spiking)
    image = first.effective * (price(known, None) + fetch)
    real = sum(p.effective * (price(known, None) + fetch) for p in rest if p.bits is None)
    other = _elementwise(work.other_operations, known)
    snn = active + image + real + other + _elementwise(work.neuron_operations, known)
    snn += passes * held + moves * of_sum * work.potentials
    snn += access * _activity_bytes(work, known, None)

    levels = price(known, bits) + fetch
    ann = (image + real + other) / steps + known.add * work.neurons
    ann += sum(p.by_weight / steps * levels for p in work.spiking) + held
    ann += access * _activity_bytes(work, known, bits)
    return Energy(snn, ann, active, full)


def _elementwise(operations: Mapping[str, float], known: Arithmetic) -> float:
    prices = {
        "mac": known.multiply + known.add,
        "ac": known.add,
        "compare": known.add,
        "multiply": known.multiply,
        "divide": known.multiply * known.division,
        "function": known.multiply * known.division,
    }
    return sum(count * prices[kind] for kind, count in operations.items())


def _activity_bytes(work: Work, known: Arithmetic, bits: int | None) -> float:
    """Return what is read by synapses and written by neurons; an ANN's has `bits`."""
    steps = work.timesteps
    read = sum(
        p.inputs * (_width(p, known) if bits is None else _ann_width(p, known, bits) / steps)
        for p in work.products
    )
    written = work.neurons * (steps if bits is None else bits)
    return (read + written) / 8


def _width(product: ProductWork, known: Arithmetic) -> int:
    return product.bits or 8 * known.sum_bytes


def _ann_width(product: ProductWork, known: Arithmetic, bits: int) -> int:
    return 8 * known.sum_bytes if product.bits is None else max(bits, product.bits)


def base_settings(work: Work) -> dict[Use, Setting]:
    """Return the settings that tables show: the base constants, in the memory of that size."""
    memory = BASE.memory_for(work.weights * BASE.weight_bytes)
    return {use: Setting(use, BASE, memory) for use in USES}


def settings(work: Work) -> Iterator[Setting]:
    """Yield a setting for each use, over all constants: the range of the model.

    Their number and order are the same for every network.
    """
    for known in ARITHMETIC:
        near = known.memory_for(work.weights * known.weight_bytes)
        for division in DIVISIONS:
            own = known.with_division(division)
            for memory in (near, known.memories[-1]):
                yield from (Setting(use, own, memory) for use in USES)
