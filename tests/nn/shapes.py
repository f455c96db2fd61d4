"""The layers that the oracle's tests build: sizes, parameters and activity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from oracle import Array, Geometry, Parameters

T, B = 2, 3


@dataclass(frozen=True)
class Shape:
    """One layer and the size of what it sees."""

    geometry: Geometry
    c_in: int
    n_e: int
    ratio: int = 4
    height: int = 7
    width: int = 6

    @property
    def n_i(self) -> int:
        return max(1, self.n_e // self.ratio)

    @property
    def input(self) -> tuple[int, ...]:
        space = (self.height, self.width) if self.geometry.kernel else ()
        return (T, B, self.c_in, *space)

    @property
    def fan_in(self) -> tuple[int, ...]:
        k = self.geometry.kernel
        return (self.c_in, k, k) if k else (self.c_in,)


SHAPES = {
    "conv3x3": Shape(Geometry(kernel=3, padding=1), c_in=2, n_e=9),
    "conv3x3_valid": Shape(Geometry(kernel=3), c_in=2, n_e=8, ratio=2),
    "stride2": Shape(Geometry(kernel=3, stride=2, padding=1), c_in=3, n_e=8),
    "stride2_uneven": Shape(Geometry(kernel=2, stride=2), c_in=2, n_e=4, height=7, width=5),
    "conv1x1": Shape(Geometry(kernel=1), c_in=3, n_e=8),
    "conv1x1_stride2": Shape(Geometry(kernel=1, stride=2), c_in=3, n_e=4, ratio=1),
    "conv_one_inhibitory": Shape(Geometry(kernel=3, padding=1), c_in=2, n_e=3),
    "linear": Shape(Geometry(), c_in=7, n_e=12),
    "linear_one_inhibitory": Shape(Geometry(), c_in=5, n_e=2),
    "linear_one_output": Shape(Geometry(), c_in=1, n_e=1),
    "readout": Shape(Geometry(readout=True), c_in=7, n_e=10),
    "readout_one_inhibitory": Shape(Geometry(readout=True), c_in=6, n_e=3),
}


def draw_parameters(rng: np.random.Generator, shape: Shape) -> Parameters:
    """Positive weights and gains away from zero, a bias of either sign."""
    p = {
        "weight_ee": rng.uniform(0.1, 1.0, (shape.n_e, *shape.fan_in)),
        "weight_ie": rng.uniform(0.1, 1.0, (shape.n_i, *shape.fan_in)),
        "weight_ei": rng.uniform(0.1, 1.0, (shape.n_e, shape.n_i)),
        "gain_i": rng.uniform(0.3, 2.0, shape.n_i),
        "gain_e": rng.uniform(0.3, 2.0, shape.n_e),
        "bias": rng.normal(size=shape.n_e),
    }
    if shape.geometry.readout:
        return {k: v for k, v in p.items() if k.startswith("weight")}
    return p


def draw_activity(rng: np.random.Generator, shape: Shape) -> Array:
    """Positive everywhere: no zero divisor unless a test puts it there."""
    return rng.uniform(0.1, 1.0, shape.input)
