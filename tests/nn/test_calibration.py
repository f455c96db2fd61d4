"""Calibration of each neuron on the first batch, against what E-I Init intends, summed by hand."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from oracle import init_statistics
from torch import Tensor, nn

from eibench.nn import LIF, Circuit, EIConv2d, EIInit, EILayer, EILinear, initialize
from eibench.nn import functional as F
from eibench.nn.ei_init import calibrate_

DENSE = (12, 8)


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
        for a, b in itertools.product(
            [{}, {"subtractive": False}, {"divisive": False}, {"stabilization": "leak"}], [1, 2]
        )
    ],
)
def test_the_intention_against_numpy(circuit: dict, scale: int) -> None:
    """E[I_EE] and Var[I_EE] summed up by hand over E[I_div], for exponential weights."""
    x = np.random.default_rng(5).random((3, 40, 12))
    m, q, v = init_statistics(x)
    rate = np.sqrt(v / (12 * (q + v))) * scale
    excitation, spread = 12 * m * rate, 12 * rate**2 * (q + v)
    divisor = np.sqrt((q + v) / 12) / m * excitation if circuit.get("divisive", True) else 1.0
    divisor += 0.5 if "stabilization" in circuit else 0.0  # the leak
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


@pytest.mark.parametrize(
    ("targets", "wanted"),
    [
        ({"calibration_mean": 0.25}, (0.25, 1.0)),
        ({"calibration_deviation": 0.75}, (0.0, 0.75)),
        ({"calibration_mean": -0.5, "calibration_deviation": 2.0}, (-0.5, 2.0)),
    ],
)
def test_moments_that_are_asked_for(targets: dict, wanted: tuple[float, float]) -> None:
    """Each on its own, and where none is given what E-I Init intends."""
    x = torch.rand(3, 20, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    layer = EILinear(*DENSE, init=EIInit(calibration="neuron", **targets)).double()
    layer.initialize(x, torch.Generator().manual_seed(1))
    current = layer(x)
    for got, value in zip(
        (current.mean((0, 1)), current.std((0, 1), correction=0)), wanted, strict=True
    ):
        torch.testing.assert_close(got, torch.full_like(got, value), rtol=1e-9, atol=1e-9)


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
    with pytest.raises(ValueError, match="calibration_deviation must be above 0, not 0"):
        replace(EIInit(), calibration_deviation=0.0)
