"""Blanket inhibition and scaled rows: against NumPy in float64, by hand, and as cells."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from knob_oracle import Knobs, knob_forward, knob_gradients, names
from oracle import Array, Parameters
from shapes import SHAPES, Shape, draw_activity, draw_parameters
from torch import nn

from eibench.nn import (
    LIF,
    Balance,
    Chain,
    Circuit,
    EIConv2d,
    EIInit,
    EILayer,
    EILinear,
    explicit_inhibition,
    initialize,
    project_,
)
from eibench.nn import functional as F

RULES = [Balance(blanket=b, unit_rows=u) for b, u in itertools.product((1.0, 0.4, 0.0), (1, 0))]
RULES = [rule for rule in RULES if rule.of_net]
KNOBS = {
    "blanket alone": Knobs(subtractive=False, divisive=False),
    "subtractive": Knobs(divisive=False),
    "divisive": Knobs(subtractive=False, stabilization="leak"),
    "both": Knobs(stabilization="leak"),
    "paper": Knobs(),
    "true derivative": Knobs(straight_through=False, kappa=0.5),
}
by_rule = pytest.mark.parametrize("rule", RULES, ids=lambda r: f"{r.blanket}-{r.unit_rows}")
by_knob = pytest.mark.parametrize("knob", KNOBS)
by_size = pytest.mark.parametrize("size", ["conv3x3", "stride2", "linear", "readout"])


def layer_of(shape: Shape, p: Parameters, k: Knobs, rule: Balance) -> EILayer:
    """A float64 layer with these knobs that carries the parameters p."""
    g = shape.geometry
    circuit = Circuit(**{name: getattr(k, name) for name in vars(k) if name != "theta"})
    parts = {"circuit": circuit, "balance": rule}
    layer: EILayer
    if g.kernel:
        sizes = (shape.c_in, shape.n_e, g.kernel, g.stride, g.padding, shape.ratio)
        layer = EIConv2d(*sizes, **parts)
    else:
        layer = EILinear(shape.c_in, shape.n_e, shape.ratio, g.readout, **parts)
    layer = layer.double()
    layer.initialize(torch.rand(*shape.input, dtype=torch.float64))
    with torch.no_grad():
        for name, value in layer.named_parameters():
            value.copy_(torch.from_numpy(p[name]))
    return layer


class Oracle:
    """The equations by hand: balanced and scaled rows, then the circuit without subtraction."""

    def __init__(self, shape: Shape, p: Parameters, k: Knobs, rule: Balance) -> None:
        self.shape, self.p, self.k = shape, p, k
        self.beta, self.unit = rule.blanket, rule.unit_rows and not shape.geometry.readout
        self.ee = p["weight_ee"].reshape(shape.n_e, -1)
        net = self.ee
        if k.subtractive:
            self.ie = p["weight_ie"].reshape(shape.n_i, -1)
            net = self.ee - p["weight_ei"] @ self.ie
        self.v = net - self.beta * net.mean(1, keepdims=True)
        self.norm = np.sqrt((self.v**2).sum(1, keepdims=True) + 1e-8)
        self.rows = self.v / self.norm if self.unit else self.v
        self.behind = Knobs(**{**vars(k), "subtractive": False})
        self.inner = {**p, "weight_ee": self.rows.reshape(p["weight_ee"].shape)}

    def current(self, x: Array) -> Array:
        return knob_forward(x, self.inner, self.behind, self.shape.geometry)[0]

    def gradients(self, grad: Array, x: Array) -> tuple[Array, Parameters]:
        d_x, d = knob_gradients(grad, x, self.inner, self.behind, self.shape.geometry)
        q = d["weight_ee"].reshape(self.shape.n_e, -1)
        if self.unit:  # r = v / s, s^2 = |v|^2 + eps: dv = (q - (q . r) r) / s
            q = (q - (q * self.rows).sum(1, keepdims=True) * self.rows) / self.norm
        q = q - self.beta * q.mean(1, keepdims=True)
        d["weight_ee"] = q.reshape(self.p["weight_ee"].shape)
        if self.k.subtractive:
            d_ei = -q @ self.ie.T / self.ee.shape[1] ** self.k.kappa
            d_ie = (-self.p["weight_ei"].T @ q).reshape(self.p["weight_ie"].shape)
            d["weight_ei"] = d.get("weight_ei", 0) + d_ei
            d["weight_ie"] = d.get("weight_ie", 0) + d_ie
        return d_x, d


def drawn(
    size: str, k: Knobs, seed: int = 3
) -> tuple[Shape, Parameters, Array, np.random.Generator]:
    rng, shape = np.random.default_rng(seed), SHAPES[size]
    p = draw_parameters(rng, shape)
    return shape, {n: p[n] for n in names(k, shape.geometry)}, draw_activity(rng, shape), rng


@by_rule
@by_knob
@by_size
def test_equations(size: str, knob: str, rule: Balance) -> None:
    k = KNOBS[knob]
    shape, p, x, rng = drawn(size, k)
    layer, oracle = layer_of(shape, p, k, rule), Oracle(shape, p, k, rule)
    activity = torch.from_numpy(x).requires_grad_()
    current = layer(activity)
    np.testing.assert_allclose(current.detach().numpy(), oracle.current(x), rtol=1e-9, atol=1e-9)
    grad = rng.normal(size=current.shape)
    current.backward(torch.from_numpy(grad))
    d_x, d_p = oracle.gradients(grad, x)
    np.testing.assert_allclose(activity.grad.numpy(), d_x, rtol=1e-9, atol=1e-9)
    for name, value in layer.named_parameters():
        scale = np.abs(d_p[name]).max(initial=1.0)
        np.testing.assert_allclose(value.grad.numpy(), d_p[name], rtol=1e-8, atol=1e-9 * scale)


@by_rule
@by_knob
def test_fused_with_the_neuron(knob: str, rule: Balance) -> None:
    """In float32, as one function with the neuron and apart: the same spikes and gradients."""
    shape, p, x, _ = drawn("conv3x3", KNOBS[knob])
    layer = layer_of(shape, p, KNOBS[knob], rule).float()
    activity = torch.from_numpy(x).float()
    grads = []
    for model in (Chain(layer, LIF()), nn.Sequential(layer, LIF())):
        model.zero_grad()
        spikes = model(activity)
        spikes.sum().backward()
        grads.append([spikes.detach(), *(v.grad.clone() for v in layer.parameters())])
    for one, apart in zip(*grads, strict=True):
        torch.testing.assert_close(one, apart, rtol=1e-4, atol=1e-4)


def test_rows_by_hand() -> None:
    net = torch.tensor([[1.0, 2.0, 6.0], [2.0, 2.0, 2.0]], dtype=torch.float64)
    assert F.balanced_rows(net, 1.0, False).tolist() == [[-2, -1, 3], [0, 0, 0]]
    assert F.balanced_rows(net, 0.5, False).tolist() == [[-0.5, 0.5, 4.5], [1, 1, 1]]
    root = 14**0.5
    expected = torch.tensor([[-2 / root, -1 / root, 3 / root], [0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(F.balanced_rows(net, 1.0, True), expected, rtol=1e-8, atol=1e-12)
    thirds = torch.tensor([[1 / 3, 2 / 3, 2 / 3]], dtype=torch.float64)
    torch.testing.assert_close(F.balanced_rows(3 * thirds, 0.0, True), thirds, rtol=1e-8, atol=0)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=6))
def test_raising_a_row_changes_only_its_mean(values: list[float]) -> None:
    weight = torch.tensor([values, [1.0] * len(values)], dtype=torch.float64)
    before = F.balanced_rows(weight, 1.0, False)
    raised = weight.clone()
    F.raise_rows_(raised)
    assert (raised >= 0).all()
    assert torch.equal(raised[1], weight[1])
    torch.testing.assert_close(F.balanced_rows(raised, 1.0, False), before, rtol=0, atol=1e-12)
    again = raised.clone()
    F.raise_rows_(again)
    assert torch.equal(again, raised)


@by_knob
def test_dales_law_costs_nothing(knob: str) -> None:
    """Weights of W_EE that a step has left below zero come back, and no current changes."""
    shape, p, x, _ = drawn("conv3x3", KNOBS[knob])
    layer = layer_of(shape, p, KNOBS[knob], Balance(blanket=1, unit_rows=True))
    activity = torch.from_numpy(x)
    with torch.no_grad():
        layer.weight_ee.sub_(0.5)
        before = layer(activity)
        project_(layer)
        torch.testing.assert_close(layer(activity), before, rtol=1e-9, atol=1e-9)
    assert min(v.min() for v in layer.non_negative()) == 0


def test_a_part_of_the_mean_is_no_reason_to_raise() -> None:
    layer = EILinear(3, 2, balance=Balance(blanket=0.5), circuit=Circuit(divisive=False))
    layer.initialize(torch.rand(4, 2, 3))
    with torch.no_grad():
        layer.weight_ee.copy_(torch.tensor([[-1.0, 2.0, 3.0], [1.0, -2.0, 3.0]]))
    project_(layer)
    assert layer.weight_ee.tolist() == [[0, 2, 3], [1, 0, 3]]


@by_rule
@by_knob
@by_size
def test_spelled_out_as_cells(size: str, knob: str, rule: Balance) -> None:
    """One more inhibitory cell, all weights >= 0, the same currents."""
    shape, p, x, _ = drawn(size, KNOBS[knob])
    layer = layer_of(shape, p, KNOBS[knob], rule)
    with torch.no_grad():  # inhibition exceeds excitation in one row
        layer.weight_ee[0] *= 0.01
    plain = explicit_inhibition(layer)
    activity = torch.from_numpy(x)
    torch.testing.assert_close(plain(activity), layer(activity), rtol=1e-6, atol=1e-6)
    assert plain.balance == Balance()
    assert min(v.min() for v in plain.non_negative()) >= 0
    cells = shape.n_i if "weight_ie" in p else 0
    assert len(plain.weight_ie) == cells + 1
    assert torch.equal(plain.weight_ie[-1], torch.ones_like(plain.weight_ie[-1]))
    assert layer.balance == rule  # the original is left alone


def test_a_network_spelled_out() -> None:
    """In float32, trained for a few steps: the same logits, and every weight >= 0."""
    torch.manual_seed(0)
    parts = {
        "circuit": Circuit(subtractive=False, divisive=False),
        "init": EIInit(calibration="neuron"),
        "balance": Balance(blanket=1, unit_rows=True),
    }
    model = nn.Sequential(
        EIConv2d(1, 8, 3, padding=1, **parts),
        LIF(),
        EIConv2d(8, 8, 3, padding=1, **parts),
        LIF(),
        nn.Flatten(2),
        EILinear(8 * 36, 5, readout=True, **parts),
    )
    x = torch.rand(3, 8, 1, 6, 6)
    initialize(model, x)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x).mean(0), torch.arange(8) % 5).backward()
        optimizer.step()
        project_(model)
    plain = explicit_inhibition(model)
    torch.testing.assert_close(plain(x), model(x), rtol=1e-5, atol=1e-6)
    assert all((v >= 0).all() for n, v in plain.named_parameters() if not n.endswith("bias"))


PLASTIC = {
    "circuit": Circuit(subtractive=False, divisive=False),
    "balance": Balance(blanket=1, unit_rows=True, plasticity=0.25),
}


@pytest.mark.parametrize("subtractive", [False, True])
def test_plastic_inhibition_cancels_the_mean_current(subtractive: bool) -> None:
    """I = g N'' * (x - m) + b, with m of each input channel; gradients take m as a constant."""
    parts = {**PLASTIC, "circuit": Circuit(subtractive, False)}
    layer = EIConv2d(3, 8, 3, **parts).double()  # no padding: all positions alike
    first, second = torch.rand(2, 4, 5, 3, 6, 6, dtype=torch.float64)
    layer.initialize(first)
    m = first.mean((0, 1, 3, 4))
    assert torch.allclose(layer.mean_input, m)
    with torch.no_grad():  # neither looking nor evaluation moves it
        layer(second)
    layer.eval()
    layer(second)
    assert torch.equal(layer.mean_input, m)
    layer.train()
    got = layer(second)
    m = 0.75 * m + 0.25 * second.mean((0, 1, 3, 4))
    assert torch.allclose(layer.mean_input, m)

    synapse = layer.net_synapse() * layer.gain_e.view(-1, 1, 1, 1)
    centred = (second - m.view(3, 1, 1)).flatten(0, 1)
    expected = nn.functional.conv2d(centred, synapse, layer.bias).view_as(got)
    torch.testing.assert_close(got, expected)
    weights = torch.rand_like(got)
    grads = [
        torch.autograd.grad((out * weights).sum(), list(layer.parameters()))
        for out in (got, expected)
    ]
    for mine, plain in zip(*grads, strict=True):
        torch.testing.assert_close(mine, plain)


def test_a_constant_input_gives_the_bias_alone() -> None:
    layer = EIConv2d(3, 8, 1, **PLASTIC).double()
    layer.initialize(torch.rand(4, 5, 3, 6, 6, dtype=torch.float64))
    with torch.no_grad():
        layer.bias.copy_(torch.arange(8))
        layer.mean_input.copy_(torch.tensor([0.1, 0.2, 0.7]))
    constant = layer.mean_input.view(3, 1, 1).expand(2, 1, 3, 4, 4)
    torch.testing.assert_close(layer.eval()(constant)[0, 0, :, 0, 0], layer.bias)


def test_plastic_inhibition_spelled_out_and_kept() -> None:
    """It ends in b_E; its state is saved, and two passes before one backward are no error."""
    layer = EIConv2d(3, 8, 3, **PLASTIC).double()
    x = torch.rand(4, 5, 3, 6, 6, dtype=torch.float64)
    layer.initialize(x)
    (layer(x).sum() + layer(0.5 * x).sum()).backward()
    other = EIConv2d(3, 8, 3, **PLASTIC).double()
    other.load_state_dict(layer.state_dict())
    layer.eval()
    torch.testing.assert_close(other.eval()(x), layer(x))
    plain = explicit_inhibition(layer)
    torch.testing.assert_close(plain(x), layer(x))
    assert "mean_input" not in plain.state_dict()


def test_plastic_inhibition_follows_when_it_is_compiled() -> None:
    x = (torch.rand(3, 8, 2, 5, 5) < 0.5).float()
    layer = EIConv2d(2, 4, 3, **PLASTIC)
    layer.initialize(x / 4)
    plain, compiled = copy.deepcopy(layer), torch.compile(layer, backend="eager")
    for _ in range(2):
        assert torch.equal(plain(x), compiled(x))
    assert torch.equal(plain.mean_input, layer.mean_input)
    assert (layer.mean_input > 0.2).all()  # it began at 0.125


def test_unset_memory_is_no_number_of_plastic_inhibition() -> None:
    x = (torch.rand(3, 8, 2, 5, 5) < 0.5).float()
    layer = EIConv2d(2, 4, 3, **PLASTIC)
    layer.mean_input.fill_(float("nan"))
    layer.initialize(x)
    assert torch.allclose(layer.mean_input, x.mean((0, 1, 3, 4)))


def test_tied_gains_and_biases_stay_apart_when_spelled_out() -> None:
    x = (torch.rand(3, 8, 4, 5, 5) < 0.5).double()
    layers = [EIConv2d(4, 4, 3, padding=1, **PLASTIC).double() for _ in range(2)]
    model = Chain(layers[0], LIF(), layers[1])
    initialize(model, x)
    layers[1].gain_e, layers[1].bias = layers[0].gain_e, layers[0].bias
    model.eval()
    with torch.no_grad():
        assert torch.allclose(explicit_inhibition(model)(x), model(x), atol=1e-9)


def test_thresholds_of_spiking_cells_are_scaled_with_their_weights() -> None:
    x = (torch.rand(4, 16, 6, 6, 6) < 0.3).float()
    circuit = Circuit(subtractive=False, inhibitory_cell="lif", stabilization="leak")
    layer = EIConv2d(6, 8, 3, circuit=circuit, balance=Balance(blanket=1.0, unit_rows=True))
    layer.initialize(x)
    drive = nn.functional.conv2d(x.flatten(0, 1), layer.weight_ie)
    assert layer.inhibitory_threshold.item() == pytest.approx(drive.mean().item(), rel=1e-4)
    with pytest.raises(ValueError, match="spiking cells that only divide"):
        explicit_inhibition(layer)
    assert torch.equal(explicit_inhibition(layer, where_possible=True)(x), layer(x))
    alone = Circuit(subtractive=False, divisive=False, inhibitory_cell="lif")
    layer = EIConv2d(6, 8, 3, circuit=alone, balance=Balance(blanket=1.0))
    layer.initialize(x)
    assert torch.allclose(explicit_inhibition(layer)(x), layer(x), atol=1e-4)


def test_where_inhibition_is_not_plastic() -> None:
    divided = EILinear(3, 2, circuit=Circuit(False, True), balance=PLASTIC["balance"])
    readout = EILinear(3, 2, readout=True, **PLASTIC)
    assert not divided.plastic and not readout.plastic


def test_nothing_to_spell_out_without_dales_law() -> None:
    free = EILinear(
        3, 2, circuit=Circuit(False, False, dale=False), balance=Balance(blanket=1, unit_rows=True)
    )
    with pytest.raises(ValueError, match="Dale"):
        explicit_inhibition(free)


@pytest.mark.parametrize("divisive", [False, True])
@pytest.mark.parametrize("subtractive", [False, True])
@torch.no_grad()
def test_initialisation(subtractive: bool, divisive: bool) -> None:
    """Net rows of mean square 2; the current of deviation about 1, and exactly 0 and 1 when
    calibrated."""
    torch.manual_seed(1)
    x = (torch.rand(4, 64, 16, 9, 9) < 0.2).double()
    for calibration in ("none", "neuron"):
        layer = EIConv2d(
            *(16, 64, 3, 1, 1),
            circuit=Circuit(subtractive, divisive),
            init=EIInit(calibration=calibration),
            balance=Balance(blanket=1, unit_rows=True),
        ).double()
        layer.initialize(x)
        rows = layer.weight_ee.flatten(1)
        if subtractive:
            rows = rows - layer.weight_ei @ layer.weight_ie.flatten(1)
        rows = rows - rows.mean(1, keepdim=True)
        assert rows.square().sum(1).mean() == pytest.approx(2)
        inner = layer(x)[..., 1:-1, 1:-1]
        assert inner.std() == pytest.approx(1, abs=0.2)
        if calibration == "neuron":
            current = layer(x).movedim(2, 0).flatten(1)
            assert current.mean(1).abs().max() < 1e-3
            assert (current.std(1) - 1).abs().max() < 1e-3


def test_excitation_and_inhibition_to_look_at() -> None:
    """The blanket cell's current belongs to I_sub; of exact balance the sums are equal."""
    layer = EILinear(
        6, 3, circuit=Circuit(False, False), balance=Balance(blanket=1, unit_rows=True)
    ).double()
    x = torch.rand(2, 5, 6, dtype=torch.float64)
    layer.initialize(x)
    i_ee, i_sub = layer.currents(x)
    rows = layer.weight_ee.detach()
    torch.testing.assert_close(i_ee, x @ rows.t())
    torch.testing.assert_close(i_sub, x.sum(-1, keepdim=True) * rows.mean(1))


def test_a_single_input_cannot_be_balanced() -> None:
    with pytest.raises(ValueError, match="single input"):
        EIConv2d(1, 4, 1, balance=Balance(blanket=1))
    EIConv2d(1, 4, 1, balance=Balance(blanket=0.5))


@pytest.mark.parametrize("wrong", [{"dale": False}, {"inhibitory_cell": "lif"}])
def test_cells_that_are_not_linear_have_no_net_synapse(wrong: dict) -> None:
    with pytest.raises(ValueError, match="linear"):
        EILinear(3, 2, circuit=Circuit(divisive=False, **wrong), balance=Balance(blanket=1))
    EILinear(3, 2, circuit=Circuit(subtractive=False, **wrong), balance=Balance(blanket=1))


@pytest.mark.parametrize("name", ["blanket", "plasticity"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        Balance(**{name: value})
