"""The knobs of the E-I circuit against a NumPy oracle: parameters, values and every gradient."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from knob_oracle import Currents, Knobs, knob_forward, knob_gradients, names
from oracle import Array, Geometry, Parameters, layer_backward, layer_forward
from shapes import SHAPES, Shape, draw_activity, draw_parameters

from eibench.nn import Circuit, EIConv2d, EILayer, EILinear

TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}

KNOBS = {
    "paper": Knobs(),
    "no_subtractive": Knobs(subtractive=False),
    "no_divisive": Knobs(divisive=False),
    "no_inhibition": Knobs(subtractive=False, divisive=False),
    "epsilon": Knobs(stabilization="epsilon", epsilon=0.03),
    "none": Knobs(stabilization="none"),
    "leak": Knobs(stabilization="leak", leak=0.4),
    "no_straight_through": Knobs(straight_through=False),
    "epsilon_true_derivative": Knobs(stabilization="epsilon", epsilon=0.03, straight_through=False),
    "none_true_derivative": Knobs(stabilization="none", straight_through=False),
    "leak_true_derivative": Knobs(stabilization="leak", leak=0.4, straight_through=False),
    "no_subtractive_true_derivative": Knobs(subtractive=False, straight_through=False),
    "no_dale": Knobs(dale=False),
    "no_dale_divisive": Knobs(dale=False, divisive=False),
    "kappa0": Knobs(kappa=0.0),
    "kappa_half": Knobs(kappa=0.5, subtractive=False),
    "kappa2": Knobs(kappa=2.0, divisive=False),
    "lif": Knobs(inhibitory_cell="lif", theta=0.8),
    "lif_tau": Knobs(inhibitory_cell="lif", inhibitory_tau=5.0, theta=1.5),
    "lif_no_memory": Knobs(inhibitory_cell="lif", inhibitory_tau=1.0, theta=0.8),
    "lif_no_divisive": Knobs(inhibitory_cell="lif", divisive=False, theta=0.8),
    "lif_leak": Knobs(inhibitory_cell="lif", stabilization="leak", theta=0.8),
    "lif_all": Knobs(
        subtractive=False,
        stabilization="epsilon",
        epsilon=0.05,
        straight_through=False,
        kappa=0.25,
        inhibitory_cell="lif",
        inhibitory_tau=3.0,
        theta=1.5,
    ),
}
SIZES = ["conv3x3", "stride2", "conv1x1", "conv1x1_stride2", "linear", "readout"]
RECTIFIED = [name for name, k in KNOBS.items() if k.inhibitory_cell == "rectifier"]


def knobs(name: str, shape: Shape) -> Knobs:
    """Those of that name, theta_I in units of the mean drive of `draw_activity`, 0.55^2 d."""
    k = KNOBS[name]
    return replace(k, theta=k.theta * 0.55**2 * float(np.prod(shape.fan_in)))


by_knob = pytest.mark.parametrize("knob", KNOBS)
by_size = pytest.mark.parametrize("size", SIZES)


def make_layer(shape: Shape, p: Parameters, k: Knobs) -> EILayer:
    """A float64 layer with these knobs that carries the parameters p."""
    g = shape.geometry
    values = {name: getattr(k, name) for name in vars(k) if name != "theta"}
    circuit = Circuit(**values)
    layer: EILayer
    if g.kernel:
        sizes = (shape.c_in, shape.n_e, g.kernel, g.stride, g.padding, shape.ratio)
        layer = EIConv2d(*sizes, circuit=circuit)
    else:
        options = {"readout": g.readout, "circuit": circuit}
        layer = EILinear(shape.c_in, shape.n_e, shape.ratio, **options)
    layer = layer.double()
    layer.initialize(torch.rand(*shape.input, dtype=torch.float64))
    state = {name: torch.from_numpy(p[name]) for name in names(k, g)}
    state["initialized"] = torch.tensor(True)
    if k.inhibitory_cell == "lif" and "weight_ie" in state:
        state["inhibitory_threshold"] = torch.tensor(k.theta, dtype=torch.float64)
    assert set(layer.state_dict()) == set(state)
    layer.load_state_dict(state)
    return layer


def draw(rng: np.random.Generator, shape: Shape, k: Knobs) -> Parameters:
    """Parameters of a layer with these knobs."""
    p = draw_parameters(rng, shape)
    return {name: p[name] for name in sorted(names(k, shape.geometry))}


def measured(layer: EILayer, x: Array, grad: Array) -> tuple[Array, Array, Parameters]:
    """Current, gradient of x and gradients of the parameters, from the layer under test."""
    activity = torch.from_numpy(x.copy()).requires_grad_()
    current = layer(activity)
    current.backward(torch.from_numpy(grad))
    grads = {name: v.grad.numpy() for name, v in layer.named_parameters()}
    return current.detach().numpy(), activity.grad.numpy(), grads


def agree(
    shape: Shape, p: Parameters, k: Knobs, x: Array, rng: np.random.Generator, finite: bool = True
) -> Currents:
    """Assert that values and all gradients agree; returns the oracle's currents."""
    expected, f = knob_forward(x, p, k, shape.geometry)
    grad = rng.normal(size=expected.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        d_x, d_p = knob_gradients(grad, x, p, k, shape.geometry)
    current, got_x, got_p = measured(make_layer(shape, p, k), x, grad)
    assert set(got_p) == set(d_p) == set(p)
    pairs = [("current", current, expected), ("x", got_x, d_x)]
    for name, got, wanted in pairs + [(name, got_p[name], d_p[name]) for name in p]:
        assert not finite or np.isfinite(wanted).all(), name
        # A divisor of 0.03 makes gradients of thousands: the absolute part follows their size.
        size = np.abs(wanted[np.isfinite(wanted)]).max(initial=1.0)
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-9 * size, err_msg=name)
    return f


# --- Agreement with the oracle ---------------------------------------------------------------


@by_knob
@by_size
def test_positive_activity(knob: str, size: str) -> None:
    rng, shape = np.random.default_rng(1), SHAPES[size]
    k = knobs(knob, shape)
    f = agree(shape, draw(rng, shape, k), k, draw_activity(rng, shape), rng)
    if k.inhibitory_cell == "lif" and f.s_i.size:
        assert (f.s_i > 0).any() and set(np.unique(f.s_i)) <= {0.0, k.theta}


@by_knob
@by_size
def test_silent_samples_and_regions(knob: str, size: str) -> None:
    """Zero divisors under a zero numerator, alone in a sample and beside positive ones."""
    rng, shape = np.random.default_rng(2), SHAPES[size]
    k = knobs(knob, shape)
    x = draw_activity(rng, shape)
    x[0, 1] = x[1, 2] = 0.0
    if shape.geometry.kernel:
        x[:, 0, :, 2:, :] = 0.0
    divides = k.divisive and not shape.geometry.readout
    harmless = k.stabilization != "none" or not divides
    f = agree(shape, draw(rng, shape, k), k, x, rng, finite=harmless)
    if divides:
        assert (f.i_div[1] == 0.0).all()
        assert k.inhibitory_cell == "lif" or (f.i_div[5] == 0.0).all()  # sample (t 1, b 2)
        zero_over_zero = (f.i_div == 0.0) & (f.net == 0.0)
        assert (np.isnan(f.current) == (zero_over_zero & (not harmless))).all()


@by_knob
@pytest.mark.parametrize("size", ["conv3x3", "stride2", "linear"])
def test_outputs_without_inhibition(knob: str, size: str) -> None:
    """A zero row of W_EI: zero divisors under a numerator that is not zero."""
    rng, shape = np.random.default_rng(3), SHAPES[size]
    k = knobs(knob, shape)
    p = draw(rng, shape, k)
    if "weight_ei" in p:
        p["weight_ei"][-1] = 0.0
    finite = k.stabilization != "none" or not k.divisive
    f = agree(shape, p, k, draw_activity(rng, shape), rng, finite=finite)
    if k.divisive:
        assert (f.i_div[:, -1] == 0.0).all() and (f.net[:, -1] > 0.0).all()
        assert np.isinf(f.current[:, -1]).all() != finite


@by_knob
@by_size
def test_weights_of_either_sign(knob: str, size: str) -> None:
    """What may happen without Dale's law: negative divisors divide as they are, and cells below
    zero are silent and pass nothing."""
    rng, shape = np.random.default_rng(4), SHAPES[size]
    k = replace(knobs(knob, shape), dale=False)
    p = draw(rng, shape, k)
    for name in p:
        if name != "bias":
            p[name] *= rng.choice([-1.0, 1.0], size=p[name].shape)
    f = agree(shape, p, k, draw_activity(rng, shape), rng, finite=False)
    if k.divisive and not shape.geometry.readout:
        negative = f.i_div < 0.0
        added = k.leak if k.stabilization == "leak" else 0.0
        assert k.inhibitory_cell == "lif" or negative.any()
        assert (f.stable[negative] == f.i_div[negative] + added).all()


circuits = st.builds(
    Knobs,
    subtractive=st.booleans(),
    divisive=st.booleans(),
    stabilization=st.sampled_from(["adaptive", "epsilon", "leak"]),
    epsilon=st.sampled_from([0.01, 0.5]),
    leak=st.sampled_from([0.1, 1.0]),
    straight_through=st.booleans(),
    kappa=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
    dale=st.booleans(),
    inhibitory_cell=st.sampled_from(["rectifier", "lif"]),
    inhibitory_tau=st.sampled_from([1.0, 2.0, 7.0]),
    theta=st.sampled_from([0.3, 1.0, 3.0]),
)


@settings(max_examples=100)
@given(
    k=circuits,
    size=st.sampled_from(sorted(SHAPES)),
    seed=st.integers(0, 2**32 - 1),
    density=st.sampled_from([0.05, 0.3, 1.0]),
    kept=st.sampled_from([0.5, 1.0]),
)
def test_any_combination(k: Knobs, size: str, seed: int, density: float, kept: float) -> None:
    rng, shape = np.random.default_rng(seed), SHAPES[size]
    p = draw(rng, shape, k)
    for name in p:
        if name.startswith("weight"):
            p[name] *= rng.random(p[name].shape) < kept
    x = draw_activity(rng, shape) * (rng.random(shape.input) < density)
    agree(shape, p, k, x, rng)


@pytest.mark.parametrize("size", SHAPES)
def test_the_two_oracles_agree(size: str) -> None:
    """With the paper's knobs the new oracle is the old one, which was written before the knobs."""
    rng, shape = np.random.default_rng(5), SHAPES[size]
    p, x = draw_parameters(rng, shape), draw_activity(rng, shape)
    x[0, 0] = 0.0
    current = layer_forward(x, p, shape.geometry)[0]
    np.testing.assert_allclose(knob_forward(x, p, Knobs(), shape.geometry)[0], current, rtol=1e-12)
    grad = rng.normal(size=current.shape)
    d_x, d_p = layer_backward(grad, x, p, shape.geometry)
    got_x, got_p = knob_gradients(grad, x, p, Knobs(), shape.geometry)
    np.testing.assert_allclose(got_x, d_x, rtol=1e-12, atol=1e-13)
    assert got_p.keys() == d_p.keys()
    for name, wanted in d_p.items():
        np.testing.assert_allclose(got_p[name], wanted, rtol=1e-12, atol=1e-13)


TRUE = ["no_divisive", "no_inhibition", "no_straight_through", "epsilon_true_derivative"]
TRUE += ["none_true_derivative", "no_subtractive_true_derivative", "leak"]


@pytest.mark.parametrize("hollow", [False, True])
@pytest.mark.parametrize("size", ["conv3x3", "stride2", "linear", "readout"])
@pytest.mark.parametrize("knob", TRUE)
def test_oracle_against_finite_differences(knob: str, size: str, hollow: bool) -> None:
    """Without straight-through (and up to d^kappa) the backward pass is the true derivative.

    `hollow` puts zeros under numerators: the smallest divisor then stands in for them."""
    rng, shape = np.random.default_rng(6), SHAPES[size]
    k = knobs(knob, shape)
    p, x = draw(rng, shape, k), draw_activity(rng, shape)
    hollow = hollow and k.stabilization != "none" and "weight_ei" in p
    frozen = np.zeros_like(p["weight_ei"], dtype=bool) if "weight_ei" in p else None
    if hollow:
        p["weight_ei"][0] = 0.0
        frozen[0] = True  # a step away from exact zero leaves S: no derivative there
    grad = rng.normal(size=knob_forward(x, p, k, shape.geometry)[0].shape)
    d_x, d_p = knob_gradients(grad, x, p, k, shape.geometry)
    if "weight_ei" in d_p:
        d_p["weight_ei"] = d_p["weight_ei"] * np.prod(shape.fan_in) ** k.kappa

    def loss() -> float:
        return float((knob_forward(x, p, k, shape.geometry)[0] * grad).sum())

    h = 1e-6
    for name, values, slope in [("x", x, d_x), *((n, p[n], d_p[n]) for n in p)]:
        allowed = np.flatnonzero(~frozen) if name == "weight_ei" else np.arange(values.size)
        for index in rng.choice(allowed, size=min(6, len(allowed)), replace=False):
            kept = values.flat[index]
            values.flat[index] = kept + h
            above = loss()
            values.flat[index] = kept - h
            below = loss()
            values.flat[index] = kept
            estimate = (above - below) / (2 * h)
            np.testing.assert_allclose(estimate, slope.flat[index], rtol=2e-5, atol=2e-5)


# --- Which parameters there are --------------------------------------------------------------

HIDDEN = {
    (True, True): {"weight_ee", "weight_ie", "weight_ei", "gain_i", "gain_e", "bias"},
    (True, False): {"weight_ee", "weight_ie", "weight_ei", "gain_e", "bias"},
    (False, True): {"weight_ee", "weight_ie", "weight_ei", "gain_i", "gain_e", "bias"},
    (False, False): {"weight_ee", "gain_e", "bias"},
}
READOUT = {
    (True, True): {"weight_ee", "weight_ie", "weight_ei"},
    (True, False): {"weight_ee", "weight_ie", "weight_ei"},
    (False, True): {"weight_ee"},
    (False, False): {"weight_ee"},
}
"""By (subtractive, divisive), written out by hand."""


@pytest.mark.parametrize("cell", ["rectifier", "lif"])
@pytest.mark.parametrize("on", HIDDEN)
def test_a_part_that_is_off_has_no_parameters(on: tuple[bool, bool], cell: str) -> None:
    circuit = Circuit(subtractive=on[0], divisive=on[1], inhibitory_cell=cell)
    for readout, table in ((False, HIDDEN), (True, READOUT)):
        layer = EILinear(6, 8, readout=readout, circuit=circuit)
        assert {name for name, _ in layer.named_parameters()} == table[on]
        spiking = {"inhibitory_threshold"} if cell == "lif" and "weight_ie" in table[on] else set()
        assert {name for name, _ in layer.named_buffers()} == {"initialized"} | spiking
        constrained = {id(v) for v in layer.non_negative()}
        assert constrained == {id(v) for n, v in layer.named_parameters() if n != "bias"}


def test_parts_off_by_hand() -> None:
    # x = (1, 2), W_EE = ((1, 2), (3, 1)), W_IE = (0.5, 1), W_EI = (1, 0.2), g_I = 2, g_E = (2, 1),
    # b = (-1, 0.5): I_EE = (5, 5), s_I = 2.5, I_sub = (2.5, 0.5), I_div = (5, 1).
    # Without subtraction: (2 * 5/5 - 1, 5/1 + 0.5). Without division: (2 * 2.5 - 1, 4.5 + 0.5).
    # Without either: (2 * 5 - 1, 5 + 0.5).
    p = {
        "weight_ee": np.array([[1.0, 2.0], [3.0, 1.0]]),
        "weight_ie": np.array([[0.5, 1.0]]),
        "weight_ei": np.array([[1.0], [0.2]]),
        "gain_i": np.array([2.0]),
        "gain_e": np.array([2.0, 1.0]),
        "bias": np.array([-1.0, 0.5]),
    }
    hand = {
        (True, True): [0.0, 5.0],
        (False, True): [1.0, 5.5],
        (True, False): [4.0, 5.0],
        (False, False): [9.0, 5.5],
    }
    for (subtractive, divisive), expected in hand.items():
        k = Knobs(subtractive=subtractive, divisive=divisive)
        layer = make_layer(Shape(Geometry(), c_in=2, n_e=2), p, k)
        got = layer(torch.tensor([[[1.0, 2.0]]], dtype=torch.float64))
        np.testing.assert_allclose(got.detach().numpy().ravel(), expected, rtol=1e-14)


# --- Stabilisation by hand -------------------------------------------------------------------

COLUMN = Shape(Geometry(), c_in=1, n_e=4, ratio=4)


def column(**changes: list[float]) -> Parameters:
    """One input, four outputs, one cell: I_EE = x W_EE, s_I = x, I_div = x W_EI; exact numbers."""
    p = {
        "weight_ee": np.array([[4.0], [4.0], [8.0], [2.0]]),
        "weight_ie": np.array([[1.0]]),
        "weight_ei": np.array([[0.0], [0.5], [0.5], [2.0]]),
        "gain_i": np.array([1.0]),
        "gain_e": np.ones(4),
        "bias": np.zeros(4),
    }
    return p | {k: np.array(v).reshape(p[k].shape) for k, v in changes.items()}


@pytest.mark.parametrize(
    ("knobs", "current", "d_div"),
    [
        # S = (1/2, 1/2, 1/2, 2), I = (8, 8, 16, 1), -N/S^2 = (-16, -16, -32, -1/2). The first is a
        # replacement: what reaches it, -16, is shared by the two equal minima.
        (Knobs(subtractive=False), [8, 8, 16, 1], [-16, -16, -32, -0.5]),
        (Knobs(subtractive=False, straight_through=False), [8, 8, 16, 1], [0, -24, -40, -0.5]),
        # epsilon = 1/4: S = (1/4, 1/2, 1/2, 2); the constant has no derivative.
        (
            Knobs(subtractive=False, stabilization="epsilon", epsilon=0.25),
            [16, 8, 16, 1],
            [-64, -16, -32, -0.5],
        ),
        (
            Knobs(subtractive=False, stabilization="epsilon", epsilon=0.25, straight_through=False),
            [16, 8, 16, 1],
            [0, -16, -32, -0.5],
        ),
        (Knobs(subtractive=False, stabilization="none"), [np.inf, 8, 16, 1], None),
        # a leak of 1/2: S = (1/2, 1, 1, 5/2)
        (
            Knobs(subtractive=False, stabilization="leak", leak=0.5),
            [8, 4, 8, 0.8],
            [-16, -4, -8, -0.32],
        ),
    ],
    ids=["adaptive", "adaptive_true", "epsilon", "epsilon_true", "none", "leak"],
)
def test_stabilization_by_hand(knobs: Knobs, current: list, d_div: list | None) -> None:
    """With x = 1, g_I = s_I = d = 1 the gradient of W_EI is that of I_div."""
    layer = make_layer(COLUMN, column(), knobs)
    got, _, grads = measured(layer, np.ones((1, 1, 1)), np.ones((1, 1, 4)))
    assert got.ravel().tolist() == pytest.approx(current, rel=1e-15)
    if d_div is not None:
        assert grads["weight_ei"].ravel().tolist() == pytest.approx(d_div, rel=1e-15)
        assert grads["gain_i"].item() == pytest.approx(np.dot(d_div, [0.0, 0.5, 0.5, 2.0]))


SILENT = {"adaptive": 0.0, "epsilon": 30.0, "leak": 60.0}


@pytest.mark.parametrize("straight", [True, False])
@pytest.mark.parametrize("stabilization", ["adaptive", "epsilon", "leak", "none"])
def test_a_silent_sample_by_hand(stabilization: str, straight: bool) -> None:
    """x = 0: S is infinite, epsilon, the leak or 0, and the current b_E, or 0/0 at the last. A
    silent sample's own gradient of x is (W_EE - W_EI W_IE) g_E / S, 15 / S: a cell's slope is 1 at
    zero too."""
    k = Knobs(stabilization=stabilization, epsilon=0.5, leak=0.25, straight_through=straight)
    p = column(bias=[1.0, 2.0, 3.0, 4.0])
    x = np.array([[[0.0], [1.0]]])
    current, d_x, grads = measured(make_layer(COLUMN, p, k), x, np.ones((1, 2, 4)))
    if stabilization == "none":
        assert np.isnan(current[0, 0]).all()
        assert np.isinf(current[0, 1, 0]) and np.isfinite(current[0, 1, 1:]).all()
        assert not all(np.isfinite(g).all() for g in grads.values())
    else:
        assert current[0, 0].tolist() == [1.0, 2.0, 3.0, 4.0]
        assert d_x[0, 0].item() == SILENT[stabilization]
        assert all(np.isfinite(g).all() for g in grads.values())


@pytest.mark.parametrize("straight", [True, False])
def test_negative_divisors(straight: bool) -> None:
    """Adaptive S looks for the smallest *positive* divisor and leaves negative ones as they are; a
    sample with none but zero and negative ones gets infinity for its zeros."""
    k = Knobs(subtractive=False, straight_through=straight, dale=False)
    p = column(weight_ei=[0.0, -0.5, 2.0, 4.0])
    layer = make_layer(COLUMN, p, k)
    current = layer(torch.ones(1, 1, 1, dtype=torch.float64))
    assert current.flatten().tolist() == [4 / 2, -8.0, 4.0, 0.5]
    layer = make_layer(COLUMN, column(weight_ei=[0.0, -0.5, -2.0, -4.0]), k)
    current = layer(torch.ones(1, 1, 1, dtype=torch.float64))
    assert current.flatten().tolist() == [0.0, -8.0, -4.0, -0.5]


# --- kappa -----------------------------------------------------------------------------------


@by_size
@pytest.mark.parametrize("subtractive", [True, False])
def test_kappa_scales_one_gradient(size: str, subtractive: bool) -> None:
    rng, shape = np.random.default_rng(7), SHAPES[size]
    p, x = draw_parameters(rng, shape), draw_activity(rng, shape)
    grad = rng.normal(size=knob_forward(x, p, Knobs(), shape.geometry)[0].shape)

    def gradients(kappa: float) -> dict[str, Array]:
        layer = make_layer(shape, p, Knobs(kappa=kappa, subtractive=subtractive))
        current, d_x, grads = measured(layer, x, grad)
        return {"current": current, "x": d_x, **grads}

    unscaled, d = gradients(0.0), float(np.prod(shape.fan_in))
    for kappa in (0.5, 1.0, 1.5):
        for name, value in gradients(kappa).items():
            if name == "weight_ei":
                np.testing.assert_allclose(value, unscaled[name] * d**-kappa, rtol=1e-14)
                assert not np.array_equal(value, unscaled[name])
            else:
                assert np.array_equal(value, unscaled[name]), name


def test_kappa_1_is_the_default() -> None:
    assert Circuit() == Circuit(kappa=1.0)
    assert Knobs() == Knobs(**vars(Circuit()))


# --- Spiking inhibitory cells ----------------------------------------------------------------


def test_spiking_cells_by_hand() -> None:
    # One input, one cell with theta_I = 2 and tau_I = 2, W_EE = 3, W_EI = 0.5, no division.
    # Drive 1.5, 1.5, 1.5 over theta: u = 0.75; 0.375 + 0.75 = 1.125 fires, v = 0.125;
    # 0.0625 + 0.75 = 0.8125. So s_I = (0, 2, 0) and I = 4.5 - (0, 1, 0).
    p = {
        "weight_ee": np.array([[3.0]]),
        "weight_ie": np.array([[1.0]]),
        "weight_ei": np.array([[0.5]]),
        "gain_e": np.ones(1),
        "bias": np.zeros(1),
    }
    k = Knobs(divisive=False, inhibitory_cell="lif", theta=2.0)
    layer = make_layer(Shape(Geometry(), c_in=1, n_e=1), p, k)
    x = np.full((3, 1, 1), 1.5)
    current, d_x, _ = measured(layer, x, np.array([0.0, 0.0, 1.0]).reshape(3, 1, 1))
    assert current.ravel().tolist() == [4.5, 3.5, 4.5]
    # Upstream at the last step alone: ds_I = -1/2 there, through the surrogate h at
    # u - 1 = -0.1875, and back in time with the factor 1/2 a step (soft reset, detached).
    sigma = 1 / (1 + np.exp(4 * 0.1875))
    h = 4 * sigma * (1 - sigma)
    expected = [-0.5 * h / 4, -0.5 * h / 2, 3 - 0.5 * h]
    np.testing.assert_allclose(d_x.ravel(), expected, rtol=1e-14)


@pytest.mark.parametrize("size", ["conv3x3", "linear", "readout"])
def test_spiking_cells_keep_samples_apart(size: str) -> None:
    """Memory runs along T, never along B: a sample's whole course does not depend on its
    neighbours, and the first steps do not depend on later ones."""
    rng, shape = np.random.default_rng(8), SHAPES[size]
    k = knobs("lif", shape)
    layer = make_layer(shape, draw(rng, shape, k), k)
    x = torch.from_numpy(rng.uniform(0, 1, (5, 4, *shape.input[2:])))
    together = layer(x)
    for b in range(4):
        alone = layer(x[:, b : b + 1])
        torch.testing.assert_close(alone[:, 0], together[:, b], rtol=0, atol=1e-12)
    torch.testing.assert_close(layer(x[:2]), together[:2], rtol=0, atol=1e-12)
    again = layer(x[1:2])
    assert not torch.allclose(again, together[1:2])  # there is a memory


@pytest.mark.parametrize("steps", [1, 2, 6])
@pytest.mark.parametrize("size", ["conv3x3", "linear", "readout"])
@pytest.mark.parametrize("knob", ["lif", "lif_tau", "lif_all"])
def test_spiking_cells_over_any_time(knob: str, size: str, steps: int) -> None:
    rng, shape = np.random.default_rng(9), SHAPES[size]
    k = knobs(knob, shape)
    x = rng.uniform(0.1, 1.0, (steps, 4, *shape.input[2:]))
    agree(shape, draw(rng, shape, k), k, x, rng)


def test_every_pair_of_knobs_is_one_circuit() -> None:
    """No two settings of the circuit above compute the same values and gradients."""
    rng, shape = np.random.default_rng(10), SHAPES["conv3x3"]
    p, x = draw_parameters(rng, shape), draw_activity(rng, shape)
    p["weight_ei"][-1] = 0.0
    x[0, 0] = 0.0
    x[0, 1, :, 3:] = 0.0
    grad = rng.normal(size=layer_forward(x, p, shape.geometry)[0].shape)
    seen = {}
    for knob, k in KNOBS.items():
        layer = make_layer(shape, {n: p[n] for n in names(k, shape.geometry)}, k)
        current, d_x, grads = measured(layer, x, grad)
        seen[knob] = np.concatenate([v.ravel() for v in (current, d_x, *grads.values())])
    same = {
        (a, b)
        for a, b in itertools.combinations(seen, 2)
        if seen[a].shape == seen[b].shape
        and np.allclose(seen[a], seen[b], rtol=1e-12, equal_nan=True)
    }
    # nothing is replaced: no derivative of it
    assert same == {("none", "none_true_derivative"), ("leak", "leak_true_derivative")}


@pytest.mark.parametrize(
    "wrong",
    [
        {"stabilization": "adaptve"},
        {"inhibitory_cell": "spiking"},
        {"epsilon": 0.0},
        {"leak": 0.0},
        {"kappa": -0.5},
        {"kappa": float("nan")},
        {"inhibitory_tau": 0.5},
    ],
)
def test_values_out_of_range(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Circuit(**wrong)
