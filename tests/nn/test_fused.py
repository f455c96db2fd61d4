"""The fused path in float32 against the float64 oracle, and against plain torch in training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import (
    Array,
    Geometry,
    batch_norm,
    batch_norm_backward,
    layer_backward,
    layer_forward,
    lif_backward,
    lif_forward,
    running_update,
)
from shapes import Shape, draw_parameters
from torch import Tensor, nn

from eibench.methods import METHODS
from eibench.models import MODELS
from eibench.nn import (
    LIF,
    AvgPool2d,
    BatchNorm2d,
    BNTT2d,
    Circuit,
    Current,
    EIConv2d,
    EILinear,
    GroupNorm2d,
    TDBatchNorm2d,
    TEBatchNorm2d,
    TimeDistributed,
    initialize,
    project_,
)
from eibench.nn import functional as F
from eibench.nn.ei_layer import EILayer
from eibench.nn.functional import ei_fused, lif
from eibench.nn.time import merge_time, repeats, split_time
from eibench.plan.options import EIOptions, NeuronOptions

FLOAT32 = 1e-6


@pytest.fixture(params=[7, 2**17])
def piece(request, monkeypatch):
    """Pieces so small that every loop turns, and pieces as they are."""
    monkeypatch.setattr(ei_fused, "PIECE", request.param)
    monkeypatch.setattr(lif, "PIECE", request.param)
    return request.param


def near(got: Tensor, expected: Array, scale: float = 1.0, what: str = "") -> None:
    """Within float32's rounding of the largest value (or of the sums behind it, by `scale`)."""
    error = np.abs(got.detach().double().numpy() - expected).max(initial=0.0)
    assert error <= scale * FLOAT32 * max(np.abs(expected).max(initial=0.0), 1e-30), what


def layer_like(shape: Shape, p: dict[str, Array], dtype: torch.dtype) -> EILayer:
    g = shape.geometry
    layer: EILayer
    if g.kernel:
        layer = EIConv2d(shape.c_in, shape.n_e, g.kernel, g.stride, g.padding, shape.ratio)
    else:
        layer = EILinear(shape.c_in, shape.n_e, shape.ratio)
    layer.initialize(torch.rand(shape.input))
    with torch.no_grad():
        for name, value in layer.named_parameters():
            value.copy_(torch.from_numpy(p[name]))
    return layer.to(dtype)


def float32(x: Array) -> Array:
    return x.astype(np.float32).astype(np.float64)


shapes = st.builds(
    Shape,
    geometry=st.one_of(
        st.just(Geometry()),
        st.builds(
            Geometry, kernel=st.integers(1, 3), stride=st.integers(1, 2), padding=st.integers(0, 1)
        ),
    ),
    c_in=st.integers(1, 4),
    n_e=st.integers(1, 9),
    ratio=st.integers(1, 5),
    height=st.integers(3, 6),
    width=st.integers(3, 6),
)


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize("sign", [0.0, 0.4])
@settings(max_examples=40)
@given(
    shape=shapes,
    seed=st.integers(0, 2**32 - 1),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    kept=st.sampled_from([0.5, 1.0]),
)
def test_circuit(shape, seed, density, kept, sign, folded):
    """Values and all gradients, with silent samples, zero divisors, and cells below zero (`sign`).

    The comparison is with the oracle's sums in float64, in units of float32's rounding of the
    largest term: what cancels in a sum cannot be more exact than its terms.
    """
    rng = np.random.default_rng(seed)
    p = {k: float32(v) for k, v in draw_parameters(rng, shape).items()}
    for key in ("weight_ee", "weight_ie", "weight_ei"):
        p[key] *= rng.random(p[key].shape) < kept
    p["weight_ie"] -= sign * p["weight_ie"].max() * (rng.random(p["weight_ie"].shape) < 0.5)
    p = {k: float32(v) for k, v in p.items()}
    x = float32(rng.random(shape.input)) * (rng.random(shape.input) < density)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "worth_folding", lambda *_: folded)
        layer = layer_like(shape, p, torch.float64)
        expected, circuit = layer_forward(x, p, shape.geometry)
        grad = rng.normal(size=expected.shape)
        d_x, d_p = layer_backward(grad, x, p, shape.geometry)
        activity = torch.from_numpy(x).requires_grad_()
        current = layer(activity)
        current.backward(torch.from_numpy(grad))
        for got, want, name in [(current, expected, "I"), (activity.grad, d_x, "x")]:
            np.testing.assert_allclose(got.detach().numpy(), want, rtol=1e-8, atol=1e-8, err_msg=name)
        for name, value in layer.named_parameters():
            np.testing.assert_allclose(value.grad.numpy(), d_p[name], rtol=1e-8, atol=1e-8)
