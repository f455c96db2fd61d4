"""E-I layers against a NumPy oracle: values, and every gradient of E-I Prop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import (
    Array,
    Circuit,
    Geometry,
    Parameters,
    circuit,
    columns_of,
    lawful,
    layer_backward,
    layer_forward,
    matrices,
    stabilise,
    unfold,
)
from shapes import SHAPES, B, Shape, T, draw_activity, draw_parameters

from eibench.nn import Circuit as Kind
from eibench.nn import EIConv2d, EILinear

TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}

SPIKING = {name: shape for name, shape in SHAPES.items() if not shape.geometry.readout}
CONVOLUTIONS = {name: shape for name, shape in SHAPES.items() if shape.geometry.kernel}


def make_layer(shape: Shape, p: Parameters) -> torch.nn.Module:
    """A float64 layer that carries the parameters p."""
    g = shape.geometry
    layer: torch.nn.Module
    law = {"circuit": Kind(dale=lawful(p))}
    if g.kernel:
        layer = EIConv2d(shape.c_in, shape.n_e, g.kernel, g.stride, g.padding, shape.ratio, **law)
    else:
        layer = EILinear(shape.c_in, shape.n_e, shape.ratio, readout=g.readout, **law)
    layer = layer.double()
    layer.initialize(torch.rand(*shape.input, dtype=torch.float64))
    named = dict(layer.named_parameters())
    assert set(named) == set(p)
    with torch.no_grad():
        for name, value in p.items():
            assert named[name].shape == value.shape
            named[name].copy_(torch.from_numpy(value))
    return layer


def measured(shape: Shape, p: Parameters, x: Array, grad: Array) -> tuple[Array, Array, Parameters]:
    """Current, gradient of x and gradients of the parameters, from the layer under test."""
    layer = make_layer(shape, p)
    activity = torch.from_numpy(x.copy()).requires_grad_()
    current = layer(activity)
    assert current.dtype == torch.float64
    current.backward(torch.from_numpy(grad))
    grads = {name: v.grad.numpy() for name, v in layer.named_parameters()}
    return current.detach().numpy(), activity.grad.numpy(), grads


def agree(shape: Shape, p: Parameters, x: Array, rng: np.random.Generator) -> Circuit:
    """Assert that values and all gradients agree; returns the oracle's circuit."""
    expected, f = layer_forward(x, p, shape.geometry)
    grad = rng.normal(size=expected.shape)
    d_x, d_p = layer_backward(grad, x, p, shape.geometry)
    assert np.isfinite(expected).all() and np.isfinite(d_x).all()
    current, got_x, got_p = measured(shape, p, x, grad)
    np.testing.assert_allclose(current, expected, **TOLERANCE, err_msg="current")
    np.testing.assert_allclose(got_x, d_x, **TOLERANCE, err_msg="x")
    for name in p:
        np.testing.assert_allclose(got_p[name], d_p[name], **TOLERANCE, err_msg=name)
    return f


def empty_samples(f: Circuit) -> Array:
    """Which samples have no positive divisor at all."""
    return ~(f.i_div > 0.0).any((1, 2))


def hollow_samples(f: Circuit) -> Array:
    """Which samples have exact zeros among positive divisors."""
    return (f.i_div == 0.0).any((1, 2)) & (f.i_div > 0.0).any((1, 2))


# --- Agreement with the oracle ---------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
def test_positive_activity(name: str) -> None:
    rng = np.random.default_rng(1)
    shape = SHAPES[name]
    f = agree(shape, draw_parameters(rng, shape), draw_activity(rng, shape), rng)
    assert shape.geometry.readout or (f.i_div > 0.0).all()


@pytest.mark.parametrize("name", SHAPES)
def test_silent_samples(name: str) -> None:
    rng = np.random.default_rng(2)
    shape = SHAPES[name]
    x = draw_activity(rng, shape)
    x[0, 1] = 0.0
    x[1, 2] = 0.0
    p = draw_parameters(rng, shape)
    f = agree(shape, p, x, rng)
    if not shape.geometry.readout:
        assert empty_samples(f).tolist() == [False, True, False, False, False, True]
        assert (f.current[1] == p["bias"][:, None]).all()


def test_every_sample_silent() -> None:
    rng = np.random.default_rng(3)
    shape = SHAPES["conv3x3"]
    f = agree(shape, draw_parameters(rng, shape), np.zeros(shape.input), rng)
    assert empty_samples(f).all()


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_silent_regions(name: str) -> None:
    """A region of zeros larger than the receptive field: exact zeros beside positive divisors."""
    rng = np.random.default_rng(4)
    shape = SHAPES[name]
    x = draw_activity(rng, shape)
    x[:, :2, :, 2:, :] = 0.0  # samples 0, 1, 3, 4 are active in their top rows only
    x[0, 0] *= 1e-3  # their smallest positive divisors differ widely
    f = agree(shape, draw_parameters(rng, shape), x, rng)
    assert hollow_samples(f).tolist() == [True, True, False, True, True, False]
    floor = [f.stable[n].min() for n in (0, 1)]
    assert floor[1] > 50 * floor[0]


@pytest.mark.parametrize("name", SPIKING)
def test_outputs_without_inhibition(name: str) -> None:
    """A zero row of W_EI: zero divisors under a numerator that is not zero."""
    rng = np.random.default_rng(5)
    shape = SHAPES[name]
    p = draw_parameters(rng, shape)
    p["weight_ei"][-1] = 0.0
    f = agree(shape, p, draw_activity(rng, shape), rng)
    assert (f.i_div[:, -1] == 0.0).all() and (f.i_ee[:, -1] - f.i_sub[:, -1] > 0.0).all()
    if shape.n_e > 1:
        assert hollow_samples(f).all()
    else:
        assert empty_samples(f).all() and np.isinf(f.stable).all()


@pytest.mark.parametrize("name", SPIKING)
def test_no_inhibitory_activity(name: str) -> None:
    """W_IE = 0: no sample has a positive divisor, yet the excitation is there; S is infinite."""
    rng = np.random.default_rng(6)
    shape = SHAPES[name]
    p = draw_parameters(rng, shape)
    p["weight_ie"][:] = 0.0
    f = agree(shape, p, draw_activity(rng, shape), rng)
    assert empty_samples(f).all() and np.isinf(f.stable).all() and (f.i_ee > 0.0).all()


@pytest.mark.parametrize("name", ["conv3x3", "linear"])
def test_zero_gain(name: str) -> None:
    """g_I = 0: subtractive inhibition without any divisor, so S is infinite."""
    rng = np.random.default_rng(7)
    shape = SHAPES[name]
    p = draw_parameters(rng, shape)
    p["gain_i"][:] = 0.0
    f = agree(shape, p, draw_activity(rng, shape), rng)
    assert empty_samples(f).all() and (f.i_sub > 0.0).all()


@pytest.mark.parametrize("name", ["conv3x3", "conv1x1", "linear", "readout"])
def test_rectifier(name: str) -> None:
    """Inhibitory weights of either sign: cells below zero are silent and pass no gradient."""
    rng = np.random.default_rng(8)
    shape = SHAPES[name]
    p = draw_parameters(rng, shape)
    p["weight_ie"] -= 0.55
    f = agree(shape, p, draw_activity(rng, shape), rng)
    assert (f.slope == 0.0).any() and (f.slope == 1.0).any()


@pytest.mark.parametrize("name", SPIKING)
def test_everything_at_once(name: str) -> None:
    """Sparse spikes and sparse weights, as in training: zeros of every origin."""
    rng = np.random.default_rng(9)
    shape = SHAPES[name]
    p = draw_parameters(rng, shape)
    for key in ("weight_ee", "weight_ie", "weight_ei"):
        p[key] *= rng.random(p[key].shape) < 0.6
    x = (rng.random(shape.input) < 0.2).astype(np.float64)
    x[0, 0] = 0.0
    f = agree(shape, p, x, rng)
    assert empty_samples(f)[0] and (f.i_div == 0.0).any()


layers = st.builds(
    Shape,
    geometry=st.one_of(
        st.just(Geometry()),
        st.just(Geometry(readout=True)),
        st.builds(
            Geometry,
            kernel=st.integers(1, 3),
            stride=st.integers(1, 3),
            padding=st.integers(0, 2),
        ),
    ),
    c_in=st.integers(1, 4),
    n_e=st.integers(1, 9),
    ratio=st.integers(1, 5),
    height=st.integers(3, 6),
    width=st.integers(3, 6),
)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    shape=layers,
    seed=st.integers(0, 2**32 - 1),
    density=st.sampled_from([0.05, 0.3, 1.0]),
    kept=st.sampled_from([0.3, 0.8, 1.0]),
)
def test_any_shape(shape: Shape, seed: int, density: float, kept: float) -> None:
    rng = np.random.default_rng(seed)
    p = draw_parameters(rng, shape)
    for key in ("weight_ee", "weight_ie", "weight_ei"):
        p[key] *= rng.random(p[key].shape) < kept
    x = draw_activity(rng, shape) * (rng.random(shape.input) < density)
    agree(shape, p, x, rng)


# --- Examples worked out by hand -------------------------------------------------------------


def parameters(**values: list) -> Parameters:
    return {name: np.array(value, dtype=np.float64) for name, value in values.items()}


def close(got: Array, expected: list) -> None:
    np.testing.assert_allclose(got, np.array(expected, dtype=np.float64), rtol=0, atol=1e-14)


LINEAR = Shape(Geometry(), c_in=2, n_e=2)
LINEAR_P = parameters(
    weight_ee=[[1, 2], [3, 1]],
    weight_ie=[[0.5, 1]],
    weight_ei=[[1], [0]],
    gain_i=[2],
    gain_e=[2, 1],
    bias=[-1, 0.5],
)


def run_pairs(shape: Shape, p: Parameters, x: Array, grad: Array) -> list:
    """The layer's answer and the oracle's, to be held against the same numbers."""
    expected = (layer_forward(x, p, shape.geometry)[0], *layer_backward(grad, x, p, shape.geometry))
    return [measured(shape, p, x, grad), expected]


def test_linear_by_hand() -> None:
    # x = (1, 2), d = 2, one inhibitory cell.
    # I_EE  = (1 + 4, 3 + 2) = (5, 5)          s_I = 0.5 + 2 = 2.5
    # I_sub = (2.5, 0)                         I_div = (1 * 2 * 2.5, 0) = (5, 0) -> S = (5, 5)
    # N     = (2.5, 5)                         I = (2 * 2.5 / 5 - 1, 5 / 5 + 0.5) = (0, 1.5)
    # Upstream (1, 1):
    # dN    = g_E / S = (0.4, 0.2)             dS = -g_E N / S^2 = (-0.2, -0.2)
    # dW_EE = dN x^T = ((0.4, 0.8), (0.2, 0.4))
    # dW_EI = (-dN s_I + dS g_I s_I) / d = ((-1 - 1) / 2, (-0.5 - 1) / 2) = (-1, -0.75)
    # dg_I  = sum_e W_EI dS s_I = -0.5
    # ds_I  = -0.4 + 2 * (-0.2) = -0.8         dW_IE = (-0.8, -1.6)
    # dx    = (0.4 + 0.6, 0.8 + 0.2) - 0.8 * (0.5, 1) = (0.6, 0.2)
    # dg_E  = N / S = (0.5, 1)                 db = (1, 1)
    x, grad = np.array([[[1.0, 2.0]]]), np.ones((1, 1, 2))
    for current, d_x, d_p in run_pairs(LINEAR, LINEAR_P, x, grad):
        close(current, [[[0, 1.5]]])
        close(d_x, [[[0.6, 0.2]]])
        close(d_p["weight_ee"], [[0.4, 0.8], [0.2, 0.4]])
        close(d_p["weight_ie"], [[-0.8, -1.6]])
        close(d_p["weight_ei"], [[-1], [-0.75]])
        close(d_p["gain_i"], [-0.5])
        close(d_p["gain_e"], [0.5, 1])
        close(d_p["bias"], [1, 1])


def test_silent_sample_by_hand() -> None:
    # x = 0: N = 0, no positive divisor, S is infinite, so I = b_E = (-1, 0.5).
    # dN = g_E / S = 0, dS = 0: nothing but b_E receives anything.
    x, grad = np.zeros((1, 1, 2)), np.ones((1, 1, 2))
    for current, d_x, d_p in run_pairs(LINEAR, LINEAR_P, x, grad):
        close(current, [[[-1, 0.5]]])
        assert (d_x == 0).all()
        assert {name for name, g in d_p.items() if (g != 0).any()} == {"bias"}
        close(d_p["bias"], [1, 1])


def test_conv_by_hand() -> None:
    # 1x1 convolution over two pixels; W_EE = 3, W_IE = 1, W_EI = 0.5, g_I = 2, g_E = 1, b = 0.25.
    # Sample (2, 0): pixel 0 has I_EE = 6, s_I = 2, I_sub = 1, I_div = 2, so I = 5 / 2 + 0.25.
    #   Pixel 1 has I_div = 0 -> S = 2, N = 0, so I = 0.25.
    #   dN = (1/2, 1/2), dS = (-5/4, 0), ds_I = -0.5 * 0.5 + 2 * 0.5 * (-1.25) = -1.5 at pixel 0
    #   and -0.5 * 0.5 = -0.25 at pixel 1, where s_I is 0
    #   dx = (3/2 - 1.5, 3/2 - 0.25) = (0, 1.25)
    # Sample (0, 8): I_div = (0, 8) -> S = 8: the floor is this sample's own, not the batch's 2.
    #   N = (0, 24 - 4), I = (0.25, 20 / 8 + 0.25)
    #   dN = (1/8, 1/8), dS = (0, -20/64), ds_I = -0.5 / 8 - 20/64 = -0.375 at pixel 1
    #   and -0.5 / 8 = -0.0625 at pixel 0
    #   dx = (3/8 - 0.0625, 3/8 - 0.375) = (0.3125, 0)
    # dW_EE = 2/2 + 8/8 = 2              dW_IE = -1.5 * 2 - 0.375 * 8 = -6
    # dW_EI = (-2/2 - 1.25 * 4) + (-8/8 - (20/64) * 16) = -6 - 6 = -12 (d = 1)
    # dg_I  = 0.5 * (-1.25 * 2 - (20/64) * 8) = -2.5
    # dg_E  = 2.5 + 2.5 = 5              db = 4
    shape = Shape(Geometry(kernel=1), c_in=1, n_e=1)
    p = parameters(
        weight_ee=[[[[3]]]],
        weight_ie=[[[[1]]]],
        weight_ei=[[0.5]],
        gain_i=[2],
        gain_e=[1],
        bias=[0.25],
    )
    x = np.array([2.0, 0.0, 0.0, 8.0]).reshape(1, 2, 1, 1, 2)
    for current, d_x, d_p in run_pairs(shape, p, x, np.ones_like(x)):
        close(current.ravel(), [2.75, 0.25, 0.25, 2.75])
        close(d_x.ravel(), [0, 1.25, 0.3125, 0])
        expected = {"weight_ee": 2, "weight_ie": -6, "weight_ei": -12, "gain_i": -2.5}
        for name, value in {**expected, "gain_e": 5, "bias": 4}.items():
            close(d_p[name].ravel(), [value])


def test_readout_by_hand() -> None:
    # x = (1, 2), two logits, one inhibitory cell, as in the linear example without division:
    # logits = I_EE - I_sub = (5 - 2.5, 5 - 0) = (2.5, 5). Upstream (1, -1):
    # dW_EE = ((1, 2), (-1, -2)); dW_EI = (-2.5, 2.5) / 2 = (-1.25, 1.25)
    # ds_I = -1 * 1 = -1, dW_IE = (-1, -2); dx = (1 - 3, 2 - 1) - (0.5, 1) = (-2.5, 0)
    shape = Shape(Geometry(readout=True), c_in=2, n_e=2)
    p = {k: v for k, v in LINEAR_P.items() if k.startswith("weight")}
    x, grad = np.array([[[1.0, 2.0]]]), np.array([[[1.0, -1.0]]])
    for current, d_x, d_p in run_pairs(shape, p, x, grad):
        close(current, [[[2.5, 5]]])
        close(d_x, [[[-2.5, 0]]])
        close(d_p["weight_ee"], [[1, 2], [-1, -2]])
        close(d_p["weight_ie"], [[-1, -2]])
        close(d_p["weight_ei"], [[-1.25], [1.25]])


# --- What any correct layer satisfies --------------------------------------------------------


@pytest.mark.parametrize("name", SPIKING)
def test_samples_are_independent(name: str) -> None:
    """A sample's current does not depend on which others stand beside it."""
    rng = np.random.default_rng(10)
    shape = SHAPES[name]
    layer = make_layer(shape, draw_parameters(rng, shape))
    x = torch.from_numpy(draw_activity(rng, shape) * (rng.random(shape.input) < 0.3))
    together = layer(x)
    for t in range(T):
        for b in range(B):
            alone = layer(x[t : t + 1, b : b + 1])
            torch.testing.assert_close(alone[0, 0], together[t, b], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["conv3x3", "stride2", "conv1x1", "linear", "readout"])
def test_memory_layout_does_not_matter(name: str) -> None:
    """A time axis made by `expand` (direct coding) and transposed axes give the same answer."""
    rng = np.random.default_rng(11)
    shape = SHAPES[name]
    layer = make_layer(shape, draw_parameters(rng, shape))
    frame = torch.from_numpy(draw_activity(rng, shape)[:1])
    repeated = frame.expand(T, *frame.shape[1:])
    torch.testing.assert_close(layer(repeated), layer(repeated.contiguous()), rtol=0, atol=1e-12)
    x = torch.from_numpy(draw_activity(rng, shape))
    swapped = x.transpose(0, 1).contiguous().transpose(0, 1)
    assert not swapped.is_contiguous()
    torch.testing.assert_close(layer(swapped), layer(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["conv3x3", "linear", "readout"])
def test_gradients_with_part_of_the_graph(name: str) -> None:
    """A first layer's input, or a frozen weight, asks for no gradient; the others do not change."""
    rng = np.random.default_rng(12)
    shape = SHAPES[name]
    p, x = draw_parameters(rng, shape), draw_activity(rng, shape)
    grad = rng.normal(size=layer_forward(x, p, shape.geometry)[0].shape)
    d_p = layer_backward(grad, x, p, shape.geometry)[1]
    for frozen in p:
        layer = make_layer(shape, p)
        getattr(layer, frozen).requires_grad_(False)
        layer(torch.from_numpy(x)).backward(torch.from_numpy(grad))
        for key, v in layer.named_parameters():
            if key == frozen:
                assert v.grad is None
            else:
                np.testing.assert_allclose(v.grad.numpy(), d_p[key], **TOLERANCE, err_msg=key)


@pytest.mark.parametrize("name", ["conv3x3", "linear", "readout"])
def test_gradients_accumulate(name: str) -> None:
    """Two backward passes add up: the scale of W_EI's gradient is not applied to what is there."""
    rng = np.random.default_rng(13)
    shape = SHAPES[name]
    p, x = draw_parameters(rng, shape), draw_activity(rng, shape)
    grad = rng.normal(size=layer_forward(x, p, shape.geometry)[0].shape)
    d_p = layer_backward(grad, x, p, shape.geometry)[1]
    layer = make_layer(shape, p)
    for _ in range(2):
        layer(torch.from_numpy(x)).backward(torch.from_numpy(grad))
    for key, v in layer.named_parameters():
        np.testing.assert_allclose(v.grad.numpy(), 2 * d_p[key], **TOLERANCE, err_msg=key)


def test_training_and_evaluation_agree() -> None:
    rng = np.random.default_rng(14)
    shape = SHAPES["conv3x3"]
    layer = make_layer(shape, draw_parameters(rng, shape))
    x = torch.from_numpy(draw_activity(rng, shape))
    current = layer(x).detach()
    with torch.no_grad():
        torch.testing.assert_close(layer(x), current, rtol=0, atol=1e-12)
        torch.testing.assert_close(layer.eval()(x), current, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["conv3x3", "linear", "readout"])
def test_single_precision(name: str) -> None:
    """A layer's own precision, float32, to its own accuracy, zeros included."""
    rng = np.random.default_rng(15)
    shape = SHAPES[name]
    p = draw_parameters(rng, shape)
    x = draw_activity(rng, shape) * (rng.random(shape.input) < 0.3)
    x[0, 0] = 0.0
    current = make_layer(shape, p).float()(torch.from_numpy(x).float())
    assert current.dtype == torch.float32
    expected = layer_forward(x, p, shape.geometry)[0]
    np.testing.assert_allclose(current.detach().numpy(), expected, rtol=1e-4, atol=1e-4)


# --- The oracle itself -----------------------------------------------------------------------


def test_unfold_is_a_convolution() -> None:
    """The columns give what four nested loops over the definition give."""
    rng = np.random.default_rng(16)
    x, w = rng.normal(size=(2, 3, 5, 4)), rng.normal(size=(2, 3, 3, 3))
    columns, (h, width) = unfold(x, 3, 2, 1)
    padded = np.zeros((2, 3, 7, 6))
    padded[:, :, 1:6, 1:5] = x
    for n in range(2):
        for i in range(h):
            for j in range(width):
                patch = padded[n, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
                expected = [(patch * kernel).sum() for kernel in w]
                got = w.reshape(2, -1) @ columns[n, :, i * width + j]
                np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert (h, width) == (3, 2)


def test_stabilise_by_hand() -> None:
    i_div = np.array([[[0.0, 3.0], [0.5, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[0.0, 7.0], [9.0, 8.0]]])
    expected = [[[0.5, 3.0], [0.5, 0.5]], [[np.inf, np.inf]] * 2, [[7.0, 7.0], [9.0, 8.0]]]
    assert stabilise(i_div).tolist() == expected


def straight_through(x: Array, p: Parameters, shape: Shape, offset: Array, grad: Array) -> float:
    """A scalar loss whose true derivative is E-I Prop's: S = I_div + a frozen offset."""
    f = circuit(columns_of(x, shape.geometry)[0], matrices(p))
    quotient = (f.i_ee - f.i_sub) / (f.i_div + offset)
    current = p["gain_e"][:, None] * quotient + p["bias"][:, None]
    return float((current.ravel() * grad.ravel()).sum())


@pytest.mark.parametrize("hollow", [False, True])
@pytest.mark.parametrize("name", ["conv3x3", "stride2", "linear"])
def test_oracle_against_finite_differences(name: str, hollow: bool) -> None:
    """The hand-derived backward pass is the derivative of the straight-through forward pass."""
    rng = np.random.default_rng(17)
    shape = SHAPES[name]
    p, x = draw_parameters(rng, shape), draw_activity(rng, shape)
    if hollow:
        p["weight_ei"][0] = 0.0
    current, f = layer_forward(x, p, shape.geometry)
    assert hollow_samples(f).all() == hollow
    grad = rng.normal(size=current.shape)
    d_x, d_p = layer_backward(grad, x, p, shape.geometry)
    d_p["weight_ei"] = d_p["weight_ei"] * np.prod(shape.fan_in)  # undo the 1/d of section 4
    offset, h = f.stable - f.i_div, 1e-6
    for values, derivative in [(x, d_x), *((p[k], d_p[k]) for k in p)]:
        for index in rng.choice(values.size, size=min(6, values.size), replace=False):
            kept = values.flat[index]
            values.flat[index] = kept + h
            above = straight_through(x, p, shape, offset, grad)
            values.flat[index] = kept - h
            below = straight_through(x, p, shape, offset, grad)
            values.flat[index] = kept
            slope = (above - below) / (2 * h)
            np.testing.assert_allclose(slope, derivative.flat[index], rtol=1e-5, atol=1e-5)
