"""One strong synapse for each excitatory neuron, against sums by hand and against sampling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle import init_statistics
from torch import Tensor

from eibench.nn import EIConv2d, EIInit, EILinear
from eibench.nn import functional as F


def activity(*shape: int) -> Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(0)) < 0.2).double()


def conv(relay: float, c_in: int = 3, c_out: int = 8) -> EIConv2d:
    made = EIConv2d(c_in, c_out, 3, 1, 1, init=EIInit(relay=relay)).double()
    made.initialize(activity(2, 8, c_in, 4, 4), torch.Generator().manual_seed(1))
    return made


@pytest.mark.parametrize("strength", [0.5, 3.0])
def test_the_weights_by_hand(strength: float) -> None:
    """The paper's draw; one weight of each row has strength * lambda * sqrt(d) more."""
    plain, relayed = conv(0.0), conv(strength)
    _, q, v = init_statistics(activity(2, 8, 3, 4, 4).numpy())
    mean = np.sqrt(v / (27 * (q + v)))
    relay = strength * mean * np.sqrt(27)
    wanted = plain.weight_ee.detach().numpy().copy()
    for neuron in range(8):
        wanted[neuron, neuron % 3, 1, 1] += relay
    np.testing.assert_allclose(relayed.weight_ee.detach().numpy(), wanted, rtol=1e-12)


def test_nothing_else_changes() -> None:
    plain, relayed = conv(0.0), conv(3.0)
    for name in ("weight_ie", "weight_ei", "gain_i", "gain_e", "bias"):
        assert torch.equal(getattr(plain, name), getattr(relayed, name))


def test_the_middle_of_even_and_dense_kernels() -> None:
    for shape, middle in [((2, 3, 4, 2), (2, 1)), ((2, 3), ())]:
        weight = torch.zeros(shape, dtype=torch.float64)
        F.add_identity_weight_(weight, 2.0)
        assert weight[0, 0][middle].item() == weight[1, 1][middle].item() == 2.0
        assert weight.count_nonzero() == 2


def test_the_relay_is_as_strong_as_it_says() -> None:
    """Deviation over samples of what the relay brings, over that of all else but for the common
    mean of weights: 3 : 1."""
    layer = EILinear(200, 100, init=EIInit(relay=3.0)).double()
    x = (torch.rand(2, 20_000, 200, generator=torch.Generator().manual_seed(2)) < 0.2).double()
    layer.initialize(x[:, :500], torch.Generator().manual_seed(1))
    weight = layer.weight_ee.detach().clone()
    rows = torch.arange(100)
    relays = x[..., :100] * weight[rows, rows]
    weight[rows, rows] = 0.0
    rest = x @ (weight - weight[weight > 0].mean()).T
    ratio = relays.std((0, 1)).mean() / rest.std((0, 1)).mean()
    assert ratio.item() == pytest.approx(3.0, rel=0.1)


def test_readouts_have_none() -> None:
    made = [EILinear(12, 4, readout=True, init=EIInit(relay=relay)) for relay in (0.0, 3.0)]
    for layer in made:
        layer.initialize(activity(2, 8, 12).float(), torch.Generator().manual_seed(1))
    assert torch.equal(made[0].weight_ee, made[1].weight_ee)


@pytest.mark.parametrize("subtractive", [True, False])
def test_the_intended_current_by_sampling(subtractive: bool) -> None:
    """Excitation of many neurons on many Bernoulli samples, with exponential weights of mean 0.2
    and a relay of 0.7 above them; subtraction takes the mean of the others away."""
    rng, rate, fan_in, mean, relay = np.random.default_rng(0), 0.3, 12, 0.2, 0.7
    weights = rng.exponential(mean, (3000, fan_in))
    weights[:, 0] += relay
    current = (rng.random((2000, fan_in)) < rate) @ weights.T
    stats = F.bernoulli_statistics(rate)
    moments, others = (mean, mean**2), fan_in * mean * rate if subtractive else 0.0
    got = F.intended_current(stats, fan_in, moments, None, subtractive, relay=relay)
    assert got.mean == pytest.approx(current.mean() - others, rel=0.02)
    assert got.deviation == pytest.approx(current.std(), rel=0.02)


def test_calibration_intends_it() -> None:
    init = EIInit(relay=2.0, calibration="neuron")
    layer = EILinear(12, 8, init=init).double()
    x = torch.rand(3, 40, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    layer.initialize(x, torch.Generator().manual_seed(1))
    m, q, v = init_statistics(x.numpy())
    mean = np.sqrt(v / (12 * (q + v)))
    relay = 2.0 * mean * np.sqrt(12)
    spread = 12 * mean**2 * (q + v) + relay * (relay + 2 * mean) * v
    divisor = np.sqrt((q + v) / 12) / m * 12 * m * mean
    current = layer(x)
    for got, wanted in [
        (current.mean((0, 1)), m * relay / divisor),
        (current.std((0, 1), correction=0), np.sqrt(spread) / divisor),
    ]:
        torch.testing.assert_close(got, torch.full_like(got, float(wanted)), rtol=1e-9, atol=0)


def test_out_of_range() -> None:
    with pytest.raises(ValueError, match="relay must be at least 0, not -1"):
        EIInit(relay=-1.0)
