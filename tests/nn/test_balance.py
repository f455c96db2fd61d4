"""What keeps a circuit balanced: gradients without their common mode, rows held to their sums, and
calibration, against NumPy in float64 and against numbers by hand."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from knob_oracle import Knobs, knob_gradients, names
from oracle import Parameters, init_statistics
from shapes import SHAPES, Shape, draw_activity, draw_parameters
from torch import Tensor, nn

from eibench.nn import (
    LIF,
    Balance,
    Circuit,
    EIConv2d,
    EIInit,
    EILayer,
    EILinear,
    initialize,
    project_,
)
from eibench.nn import functional as F
from eibench.nn.ei_init import calibrate_

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
        found, stack = set(), [layer(torch.rand(2, 3, 2, 5, 5)).grad_fn]
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
    monkeypatch.setattr(F, "worth_folding", lambda *_: fold)
    layer = EIConv2d(*CONV, balance=Balance(**CENTRED))
    x = torch.rand(3, 4, 2, 8, 8)
    layer.initialize(x)
    assert layer._fuses
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        current = layer(x)
    current.backward(torch.rand(current.shape))
    assert row_means(layer) < 1e-5
    plain = copy.deepcopy(layer)
    plain.balance, plain._fuses = Balance(), False
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
    first = {name: F.row_sums(w).detach().clone() for name, w in layer._matrices().items()}
    assert {f"sum_{name}" for name in first} <= layer.state_dict().keys()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn(parameter.shape) * parameter.mean())
    clamped = {name: w.detach().clamp(min=0) for name, w in layer._matrices().items()}
    project_(layer)
    for name, weight in layer._matrices().items():
        torch.testing.assert_close(F.row_sums(weight), first[name], rtol=1e-4, atol=0)
        factor = (first[name] / F.row_sums(clamped[name])).view(-1, *[1] * (weight.dim() - 1))
        torch.testing.assert_close(weight.detach(), clamped[name] * factor, rtol=1e-4, atol=0)


def test_without_scaling_a_layer_has_no_sums() -> None:
    """Nor without Dale's law: a sum of signed weights says nothing of their size."""
    free = Circuit(dale=False)
    for parts in ({}, {"circuit": free, "balance": Balance(synaptic_scaling=True)}):
        layer = EILinear(*DENSE, **parts)
        assert layer.row_sums() == []
        assert not any(name.startswith("sum_") for name in layer.state_dict())


# --- Calibration -------------------------------------------------------------------------------


def network(calibration: str, **parts) -> nn.Sequential:
    init = EIInit(calibration=calibration)
    return nn.Sequential(
        *(EIConv2d(2, 8, 3, 1, 1, init=init, **parts), LIF()),
        *(EIConv2d(8, 8, 3, 2, 1, init=init, **parts), LIF()),
        nn.Flatten(2),
        *(EILinear(8 * 9, 8, init=init, **parts), LIF()),
        EILinear(8, 4, readout=True, init=init, **parts),
    ).double()


def currents(model: nn.Module, x: Tensor) -> list[Tensor]:
    found: list[Tensor] = []
    hooks = [
        m.register_forward_hook(lambda m, i, out: found.append(out.detach()))
        for m in model
        if isinstance(m, EILayer)
    ]
    model(x)
    for hook in hooks:
        hook.remove()
    return found


def still(rng: torch.Generator) -> Tensor:
    images = torch.rand(16, 2, 6, 6, dtype=torch.float64, generator=rng)
    return images.expand(4, *images.shape)


def moving(rng: torch.Generator) -> Tensor:
    return (torch.rand(4, 16, 2, 6, 6, generator=rng) < 0.3).double()


@pytest.mark.parametrize("batch", [still, moving])
def test_each_neuron_is_calibrated(batch) -> None:
    """Mean 0, deviation 1 of every channel on the batch, convolutions and dense layers, layer by
    layer; the readout has nothing to calibrate, and weights are those of the paper's E-I Init."""
    x = batch(torch.Generator().manual_seed(0))
    plain, model = network("none"), network("neuron")
    for one in (plain, model):
        initialize(one, x, torch.Generator().manual_seed(1))
    assert torch.equal(plain[0].weight_ee, model[0].weight_ee)
    assert torch.equal(plain[0].gain_i, model[0].gain_i)
    for layer, current in zip((model[0], model[2], model[5]), currents(model, x), strict=False):
        others = [dim for dim in range(current.dim()) if dim != 2]
        mean, deviation = current.mean(others), current.std(others, correction=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-9)
        varied = deviation > 0
        assert varied.sum() >= 6
        ones = torch.ones_like(deviation)[varied]
        torch.testing.assert_close(deviation[varied], ones, rtol=1e-9, atol=0)
        assert (layer.gain_e > 0).all()
    assert currents(plain, x)[0].std().item() != pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    ("circuit", "scale"),
    [
        (a, b)
        for a, b in itertools.product([{}, {"subtractive": False}, {"divisive": False}], [1, 2])
    ],
)
def test_the_intention_against_numpy(circuit: dict, scale: int) -> None:
    """E[I_EE] and Var[I_EE] summed up by hand over E[I_div], for exponential weights."""
    x = np.random.default_rng(5).random((3, 40, 12))
    m, q, v = init_statistics(x)
    rate = np.sqrt(v / (12 * (q + v))) * scale
    excitation, spread = 12 * m * rate, 12 * rate**2 * (q + v)
    divisor = np.sqrt((q + v) / 12) / m * excitation if circuit.get("divisive", True) else 1.0
    mean = 0.0 if circuit.get("subtractive", True) else excitation / divisor
    init = EIInit(calibration="neuron", weight_scale=scale)
    layer = EILinear(12, 8, circuit=Circuit(**circuit), init=init).double()
    activity = torch.from_numpy(x)
    layer.initialize(activity, torch.Generator().manual_seed(0))
    current = layer(activity)
    wanted = torch.full((8,), float(mean), dtype=torch.float64)
    torch.testing.assert_close(current.mean((0, 1)), wanted, rtol=1e-9, atol=1e-9)
    wanted = torch.full((8,), float(np.sqrt(spread) / divisor), dtype=torch.float64)
    torch.testing.assert_close(current.std((0, 1), correction=0), wanted, rtol=1e-9, atol=0)


@pytest.mark.parametrize("law", ["exponential", "half_normal", "log_normal", "gamma"])
@pytest.mark.parametrize("match", ["mean", "second_moment"])
def test_moments_of_laws(law: str, match: str) -> None:
    draws = torch.empty(400_000, dtype=torch.float64)
    F.draw_weights_(draws, law, 0.5, match, 0.2, torch.Generator().manual_seed(0))
    mean, variance = F.law_moments(law, 0.5, match, 0.2)
    assert mean == pytest.approx(draws.mean().item(), rel=0.01)
    assert variance == pytest.approx(draws.var().item(), rel=0.03)


def test_the_paper_intends_mean_0_and_deviation_1() -> None:
    stats = F.bernoulli_statistics(0.2)
    rate = F.weight_scale(stats, 288)
    moments = F.law_moments("exponential", 1.0, "mean", rate)
    mean, deviation = F.intended_current(stats, 288, moments, F.divisive_gain(stats, 288), True)
    assert (mean, deviation) == (0.0, pytest.approx(1.0, rel=1e-12))


def test_neurons_that_do_not_vary() -> None:
    """A channel whose current is constant is shifted alone: g_E stays 1, nothing is NaN."""
    layer = EILinear(*DENSE, init=EIInit(calibration="neuron"))
    x = torch.rand(3, 4, 12)
    x[:, :, 6:] = 0.5
    layer.initialize(x)
    with torch.no_grad():
        layer.weight_ee[0] = 0.0
        layer.weight_ei[0] = 0.0
        layer.gain_e.fill_(1.0)
        layer.bias.zero_()
        layer.weight_ee[1] = float("nan")
    calibrate_(layer.gain_e, layer.bias, layer(x), F.CurrentMoments(0.25, 1.0))
    assert layer.gain_e[:2].tolist() == [1.0, 1.0]
    assert layer.bias[:2].tolist() == [0.25, 0.0]
    assert layer.gain_e.isfinite().all()
    assert layer.bias.isfinite().all()


@pytest.mark.parametrize("statistics", ["kaiming", "xavier"])
def test_without_statistics_nothing_is_intended(statistics: str) -> None:
    x = torch.rand(3, 4, 12)
    layer = EILinear(*DENSE, init=EIInit(init_statistics=statistics, calibration="neuron"))
    layer.initialize(x)
    assert (layer.gain_e == 1).all()
    assert (layer.bias == 0).all()


def test_calibration_out_of_range() -> None:
    with pytest.raises(ValueError, match="calibration must be one of none, neuron"):
        replace(EIInit(), calibration="layer")


def test_a_representation_names_what_is_not_the_papers() -> None:
    layer = EILinear(*DENSE, balance=Balance(mean_mode_ee=0.0))
    assert "mean_mode_ee=0.0" in repr(layer)
    assert "Balance" not in repr(EILinear(*DENSE))
