"""What keeps a circuit balanced: gradients without their common mode and rows held to their sums,
against NumPy in float64 and against numbers by hand."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from knob_oracle import Knobs, knob_gradients, names
from oracle import Parameters
from shapes import SHAPES, Shape, draw_activity, draw_parameters
from torch import nn

from eibench.nn import (
    Balance,
    Circuit,
    EIConv2d,
    EILayer,
    EILinear,
    project_,
)
from eibench.nn import functional as F

CENTRED = {"mean_mode_ee": 0.0, "mean_mode_ie": 0.0, "mean_mode_ei": 0.0}
PARTLY = {"mean_mode_ee": 0.25, "mean_mode_ie": 0.5, "mean_mode_ei": 0.75}
BALANCES = {
    "paper": {},
    "centred": CENTRED,
    "partly": PARTLY,
    **{name[-2:]: {name: 0.0} for name in CENTRED},
}
KNOBS = {
    "paper": Knobs(),
    "no_subtractive": Knobs(subtractive=False),
    "no_divisive": Knobs(divisive=False),
    "no_inhibition": Knobs(subtractive=False, divisive=False),
    "true_derivative": Knobs(straight_through=False, kappa=0.5),
    "lif": Knobs(inhibitory_cell="lif", theta=2.0),
}
CONV, DENSE = (2, 8, 3, 1, 1), (12, 8)


def layer_of(shape: Shape, p: Parameters, k: Knobs, balance: dict) -> EILayer:
    """A float64 layer with these knobs that carries the parameters p."""
    g = shape.geometry
    circuit = Circuit(**{name: getattr(k, name) for name in vars(k) if name != "theta"})
    parts = {"circuit": circuit, "balance": Balance(**balance)}
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
        if k.inhibitory_cell == "lif" and "weight_ie" in p:
            layer.inhibitory_threshold.fill_(k.theta)
    return layer


def without_means(grads: Parameters, balance: dict) -> Parameters:
    """Each weight's gradient less 1 - factor of the mean of its row."""
    out = dict(grads)
    for part in ("ee", "ie", "ei"):
        name, factor = f"weight_{part}", balance.get(f"mean_mode_{part}", 1.0)
        if name in grads:
            rows = grads[name].reshape(len(grads[name]), -1)
            centred = rows - (1 - factor) * rows.mean(1, keepdims=True)
            out[name] = centred.reshape(grads[name].shape)
    return out


# --- The mean mode of gradients ----------------------------------------------------------------


@pytest.mark.parametrize("balance", BALANCES)
@pytest.mark.parametrize("knob", KNOBS)
@pytest.mark.parametrize("size", ["conv3x3", "stride2", "conv1x1", "linear", "readout"])
def test_gradients_against_the_oracle(size: str, knob: str, balance: str) -> None:
    """Every gradient is the circuit's own but for the means of rows; the current is the same."""
    rng, shape, k = np.random.default_rng(3), SHAPES[size], KNOBS[knob]
    p = draw_parameters(rng, shape)
    p = {name: p[name] for name in names(k, shape.geometry)}
    x = draw_activity(rng, shape)
    layer, plain = (layer_of(shape, p, k, b) for b in (BALANCES[balance], {}))
    activity = torch.from_numpy(x).requires_grad_()
    current = layer(activity)
    assert torch.equal(current, plain(activity))
    grad = rng.normal(size=current.shape)
    current.backward(torch.from_numpy(grad))
    d_x, d_p = knob_gradients(grad, x, p, k, shape.geometry)
    d_p = without_means(d_p, BALANCES[balance])
    np.testing.assert_allclose(activity.grad.numpy(), d_x, rtol=1e-9, atol=1e-9)
    for name, value in layer.named_parameters():
        scale = np.abs(d_p[name]).max(initial=1.0)
        np.testing.assert_allclose(value.grad.numpy(), d_p[name], rtol=1e-9, atol=1e-9 * scale)


def test_a_gradient_by_hand() -> None:
    # Upstream ((1, 2, 6), (0, 3, 0)), means 3 and 1. Factor 0.5 takes half of each away.
    weight = torch.zeros(2, 3, requires_grad=True)
    F.scale_mean(weight, 0.5).backward(torch.tensor([[1.0, 2.0, 6.0], [0.0, 3.0, 0.0]]))
    assert weight.grad.tolist() == [[-0.5, 0.5, 4.5], [-0.5, 2.5, -0.5]]


def test_the_mean_is_over_all_of_a_row() -> None:
    """A kernel [n_E, C, k, k] has one mean for each neuron, not one for each input channel."""
    weight = torch.zeros(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    upstream = torch.rand(2, 3, 2, 2, dtype=torch.float64)
    F.scale_mean(weight, 0.0).backward(upstream)
    expected = upstream - upstream.sum((1, 2, 3)).view(2, 1, 1, 1) / 12
    torch.testing.assert_close(weight.grad, expected)
    assert (weight.grad.sum((1, 2, 3)).abs() < 1e-14).all()


@pytest.mark.parametrize("factor", [0.0, 0.3])
def test_it_commutes_with_the_scaling_of_e_i_prop(factor: float) -> None:
    upstream, grads = torch.rand(5, 4, dtype=torch.float64), []
    for order in (0, 1):
        weight = torch.zeros(5, 4, dtype=torch.float64, requires_grad=True)
        if order:
            out = F.scale_mean(F.scale_gradient(weight, 1 / 27), factor)
        else:
            out = F.scale_gradient(F.scale_mean(weight, factor), 1 / 27)
        out.backward(upstream)
        grads.append(weight.grad)
    torch.testing.assert_close(*grads, rtol=1e-12, atol=1e-16)


def test_the_derivative_of_the_gradient() -> None:
    """Linear in what comes from above: the second derivative exists, and is the same map."""
    weight = torch.rand(3, 4, dtype=torch.float64, requires_grad=True)
    upstream = torch.rand(3, 4, dtype=torch.float64, requires_grad=True)
    out = F.scale_mean(weight, 0.25)
    (grad,) = torch.autograd.grad(out, weight, upstream, create_graph=True)
    probe = torch.rand(3, 4, dtype=torch.float64)
    (back,) = torch.autograd.grad(grad, upstream, probe)
    torch.testing.assert_close(back, probe - 0.75 * probe.mean(1, keepdim=True))


def test_nothing_is_inserted_at_1() -> None:
    """The paper's layer has no node for it, so that its values and costs are what they were."""

    def nodes(layer: EILayer) -> set[str]:
        current = layer(torch.rand(2, 3, 2, 5, 5))  # held: it keeps what is upstream
        found, stack = set(), [current.grad_fn]
        while stack:
            node = stack.pop()
            found.add(type(node).__name__)
            stack += [upper for upper, _ in node.next_functions if upper is not None]
        return found

    for balance, there in (({}, False), ({"mean_mode_ie": 0.5}, True)):
        layer = EIConv2d(*CONV, balance=Balance(**balance))
        layer.initialize(torch.rand(2, 3, 2, 5, 5))
        assert ("_ScaleMeanBackward" in nodes(layer)) == there


def row_means(layer: EILayer) -> float:
    """The greatest mean of a row of a weight's gradient over that gradient's greatest entry."""
    grads = [p.grad.flatten(1) for n, p in layer.named_parameters() if n.startswith("weight")]
    return max((g.mean(1).abs().max() / g.abs().max()).item() for g in grads)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("fold", [False, True])
def test_fused_folded_and_in_bf16(fold: bool, precision: torch.dtype, monkeypatch) -> None:
    """The fused path makes its stacked weights again on the way back; with few positions or many
    it folds inhibition into them. Gradients are float32 in either precision."""
    monkeypatch.setattr("eibench.nn.ei_layer.worth_folding", lambda *_: fold)
    layer = EIConv2d(*CONV, balance=Balance(**CENTRED))
    x = torch.rand(3, 4, 2, 8, 8)
    layer.initialize(x)
    assert layer.fires
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        current = layer(x)
    current.backward(torch.rand(current.shape))
    assert row_means(layer) < 1e-5
    plain = copy.deepcopy(layer)
    plain.balance, plain.fires = Balance(), False
    plain.zero_grad()
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        plain(x).backward(torch.ones(current.shape))
    assert row_means(plain) > 1e-3


def test_it_survives_a_copy_and_a_state() -> None:
    layer = EILinear(*DENSE, balance=Balance(**CENTRED))
    x = torch.rand(3, 4, 12)
    layer.initialize(x)
    fresh = EILinear(*DENSE, balance=Balance(**CENTRED))
    fresh.load_state_dict(layer.state_dict())
    for one in (copy.deepcopy(layer), fresh):
        one(x).square().sum().backward()
        assert row_means(one) < 1e-5


def test_momentum_keeps_a_centred_gradient_centred() -> None:
    """SGD with momentum and clipping, without decay, no weight at zero: sums of rows stay."""
    layer = EILinear(*DENSE, balance=Balance(**CENTRED)).double()
    x = torch.rand(3, 4, 12, dtype=torch.float64)
    layer.initialize(x)
    with torch.no_grad():
        for weight in (layer.weight_ee, layer.weight_ie, layer.weight_ei):
            weight.add_(1.0)
    before = [F.row_sums(w).clone() for w in layer._matrices().values()]
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5, momentum=0.9)
    start = layer.weight_ee.detach().clone()
    for _ in range(4):
        optimizer.zero_grad()
        layer(x).square().mean().backward()
        nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
        optimizer.step()
        project_(layer)
    assert (layer.weight_ee - start).abs().max() > 1e-3
    for weight, total in zip(layer._matrices().values(), before, strict=True):
        torch.testing.assert_close(F.row_sums(weight), total, rtol=1e-12, atol=0)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("name", CENTRED)
def test_factors_out_of_range(name: str, wrong: float) -> None:
    with pytest.raises(ValueError, match=name):
        Balance(**{name: wrong})


# --- Synaptic scaling --------------------------------------------------------------------------


def test_scaling_by_hand() -> None:
    # Sums 4, 0, 2 to totals 2, 1, 2: halved; a silent row stays; right already.
    weight = torch.tensor([[1.0, 3.0], [0.0, 0.0], [0.5, 1.5]])
    F.rescale_rows_(weight, torch.tensor([2.0, 1.0, 2.0]))
    assert weight.tolist() == [[0.5, 1.5], [0.0, 0.0], [0.5, 1.5]]


weights = st.lists(
    st.lists(st.sampled_from([0.0, 1e-30, 1e-3, 0.3, 7.0, 1e6]), min_size=5, max_size=5),
    min_size=1,
    max_size=4,
)


@given(weights, st.sampled_from([1e-20, 0.5, 1.0, 1000.0]))
def test_scaling_reaches_the_total_and_stays_there(rows: list, total: float) -> None:
    weight = torch.tensor(rows)
    before = weight.double()
    F.rescale_rows_(weight, torch.full((len(rows),), total))
    once = weight.clone()
    F.rescale_rows_(weight, torch.full((len(rows),), total))
    assert torch.equal(weight, once)
    assert weight.isfinite().all()
    assert (weight >= 0).all()
    for row, old in zip(weight.double(), before, strict=True):
        if old.sum() == 0 or total / old.sum() > 1e38:
            assert torch.equal(row, old)
        else:
            torch.testing.assert_close(row, old * (total / old.sum()), rtol=2e-5, atol=1e-37)


@pytest.mark.parametrize(
    "make", [lambda **k: EIConv2d(*CONV, **k), lambda **k: EILinear(*DENSE, **k)]
)
def test_rows_keep_the_sums_of_initialisation(make) -> None:
    """Whatever a step does, after projection every row of every weight has its first sum."""
    layer = make(balance=Balance(synaptic_scaling=True))
    x = torch.rand(3, 4, *((2, 6, 6) if isinstance(layer, EIConv2d) else (12,)))
    layer.initialize(x)
    noise = torch.Generator().manual_seed(0)
    first = {name: F.row_sums(w).detach().clone() for name, w in layer._matrices().items()}
    assert {f"sum_{name}" for name in first} <= layer.state_dict().keys()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise) * parameter.mean())
        layer.weight_ie[0] = -1.0  # a row that Dale's law empties
    clamped = {name: w.detach().clamp(min=0) for name, w in layer._matrices().items()}
    project_(layer)
    for name, weight in layer._matrices().items():
        sums = F.row_sums(clamped[name])
        total = torch.where(sums > 0, first[name], 0.0)
        torch.testing.assert_close(F.row_sums(weight), total, rtol=1e-4, atol=0)
        factor = (total / sums.clamp(min=1e-30)).view(-1, *[1] * (weight.dim() - 1))
        torch.testing.assert_close(weight.detach(), clamped[name] * factor, rtol=1e-4, atol=0)


def test_without_scaling_a_layer_has_no_sums() -> None:
    """Nor without Dale's law: a sum of signed weights says nothing of their size."""
    free = Circuit(dale=False)
    for parts in ({}, {"circuit": free, "balance": Balance(synaptic_scaling=True)}):
        layer = EILinear(*DENSE, **parts)
        assert layer.row_sums() == []
        assert not any(name.startswith("sum_") for name in layer.state_dict())


def test_a_representation_names_what_is_not_the_papers() -> None:
    layer = EILinear(*DENSE, balance=Balance(mean_mode_ee=0.0))
    assert "mean_mode_ee=0.0" in repr(layer)
    assert "Balance" not in repr(EILinear(*DENSE))
