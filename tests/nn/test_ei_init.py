"""E-I Init: its formula and distribution, the state of a deep chain after it, and its errors."""

from __future__ import annotations

import copy
import io
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from oracle import Geometry, init_scales, init_statistics, layer_forward
from scipy import stats
from torch import Tensor, nn

from eibench.nn import (
    LIF,
    EIConv2d,
    EILinear,
    InitializationError,
    NotInitializedError,
    initialize,
    project_,
)

WEIGHTS = {"weight_ee", "weight_ie", "weight_ei"}
GAINS = {"gain_i", "gain_e", "bias"}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spikes(*shape: int, rate: float = 0.2, seed: int = 0) -> Tensor:
    """Bernoulli spikes in float64."""
    draw = torch.rand(*shape, generator=seeded(seed), dtype=torch.float64)
    return (draw < rate).to(torch.float64)


def positive(*shape: int, seed: int = 0) -> Tensor:
    """A positive activity that is no spike train."""
    return torch.rand(*shape, generator=seeded(seed), dtype=torch.float64) ** 2


def parameters(layer: nn.Module) -> dict[str, Tensor]:
    return {name: v.detach().clone() for name, v in layer.named_parameters()}


CASES = {
    "conv3x3": (lambda: EIConv2d(3, 8, 3, padding=1), (2, 3, 3, 5, 4), 27),
    "conv_stride2": (lambda: EIConv2d(2, 9, 3, stride=2, ei_ratio=2), (3, 2, 2, 7, 5), 18),
    "conv1x1": (lambda: EIConv2d(5, 3, 1), (2, 2, 5, 3, 3), 5),
    "linear": (lambda: EILinear(7, 12), (3, 4, 7), 7),
    "readout": (lambda: EILinear(9, 10, readout=True), (4, 5, 9), 9),
}


# --- Parameters and shapes -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_e", "ratio", "n_i"), [(8, 4, 2), (10, 4, 2), (3, 4, 1), (1, 4, 1), (9, 2, 4), (5, 1, 5)]
)
def test_parameter_shapes(n_e: int, ratio: int, n_i: int) -> None:
    conv = EIConv2d(3, n_e, 5, ei_ratio=ratio)
    shapes = {name: tuple(v.shape) for name, v in conv.named_parameters()}
    common = {"weight_ei": (n_e, n_i)}
    gains = {"gain_i": (n_i,), "gain_e": (n_e,), "bias": (n_e,)}
    assert shapes == {
        "weight_ee": (n_e, 3, 5, 5),
        "weight_ie": (n_i, 3, 5, 5),
        **common,
        **gains,
    }
    linear = EILinear(6, n_e, ei_ratio=ratio)
    shapes = {name: tuple(v.shape) for name, v in linear.named_parameters()}
    assert shapes == {"weight_ee": (n_e, 6), "weight_ie": (n_i, 6), **common, **gains}
    last = EILinear(6, n_e, ei_ratio=ratio, readout=True)
    shapes = {name: tuple(v.shape) for name, v in last.named_parameters()}
    assert shapes == {"weight_ee": (n_e, 6), "weight_ie": (n_i, 6), **common}


# --- The formula -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", [spikes, positive])
def test_gains_follow_the_formula(name: str, kind) -> None:
    make, shape, fan_in = CASES[name]
    layer, x = make().double(), kind(*shape, seed=1)
    layer.initialize(x, generator=seeded(2))
    p, gain_i = parameters(layer), init_scales(x.numpy(), fan_in)[1]
    n_i = p["weight_ei"].shape[1]
    assert set(p) == (WEIGHTS if name == "readout" else WEIGHTS | GAINS)
    np.testing.assert_allclose(p["weight_ei"].numpy(), 1.0 / n_i, rtol=1e-15)
    if name != "readout":
        np.testing.assert_allclose(p["gain_i"].numpy(), gain_i, rtol=1e-12)
        assert (p["gain_e"] == 1.0).all() and (p["bias"] == 0.0).all()


def test_linear_by_hand() -> None:
    # Samples (1, 0) and (0, 1), d = 2: m = q = 1/2; each position holds {1, 0}, whose unbiased
    # variance is 1/2, so V = 1/2. lambda = sqrt(0.5 / (2 * 1)) = 1/2; g_I = sqrt(1/2) / (1/2).
    x = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]], dtype=torch.float64)
    assert init_statistics(x.numpy()) == (0.5, 0.5, 0.5)
    assert init_scales(x.numpy(), 2)[0] == 0.5
    layer = EILinear(2, 4).double()
    layer.initialize(x)
    assert layer.gain_i.tolist() == pytest.approx([math.sqrt(2.0)], rel=1e-14)


def test_conv_by_hand() -> None:
    # One channel of 1x2 pixels, T = 2, B = 1: samples (3, 1) and (1, 1). m = 6/4 = 3/2,
    # q = (9 + 1 + 1 + 1)/4 = 3; pixel variances 2 and 0, so V = 1. With k = 2 and padding 1,
    # d = 1 * 2 * 2 = 4: lambda = sqrt(1 / (4 * 4)) = 1/4 and g_I = sqrt(4 / 4) / (3/2) = 2/3.
    # (A variance over all entries, or a biased one, would give another V.)
    x = torch.tensor([3.0, 1.0, 1.0, 1.0], dtype=torch.float64).reshape(2, 1, 1, 1, 2)
    assert init_statistics(x.numpy()) == (1.5, 3.0, 1.0)
    assert init_scales(x.numpy(), 4)[0] == 0.25
    layer = EIConv2d(1, 4, 2, padding=1).double()
    layer.initialize(x)
    assert layer.gain_i.tolist() == pytest.approx([2.0 / 3.0], rel=1e-14)


def test_bernoulli_closed_form() -> None:
    # Spikes with rate p: lambda = sqrt((1 - p) / (d (2 - p))), g_I = sqrt((2 - p) / (d p)), up to
    # the n / (n - 1) of the unbiased variance. Every position fires in exactly 100 of 400 samples.
    order = torch.stack([torch.randperm(400, generator=seeded(i)) for i in range(50)], dim=1)
    x = (order < 100).to(torch.float64).reshape(4, 100, 50)
    p, d = 0.25, 50
    layer = EILinear(50, 200).double()
    layer.initialize(x, generator=seeded(3))
    expected = math.sqrt((2 - p) / (d * p))
    assert layer.gain_i[0].item() == pytest.approx(expected, rel=1e-3)
    lam = math.sqrt((1 - p) / (d * (2 - p)))
    assert layer.weight_ee.mean().item() == pytest.approx(lam, rel=0.05)


@pytest.mark.parametrize("name", CASES)
def test_lambda_follows_the_formula(name: str) -> None:
    """Same draws, another activity: the weights differ by the ratio of the two lambdas alone."""
    make, shape, fan_in = CASES[name]
    first, second = spikes(*shape, rate=0.5, seed=4), 1.0 + positive(*shape, seed=5)
    got, lam = [], []
    for x in (first, second):
        layer = make().double()
        layer.initialize(x, generator=seeded(6))
        got.append(parameters(layer))
        lam.append(init_scales(x.numpy(), fan_in)[0])
    assert abs(lam[0] / lam[1] - 1.0) > 0.5
    for key in ("weight_ee", "weight_ie"):
        ratio = (got[0][key] / got[1][key]).numpy()
        np.testing.assert_allclose(ratio, lam[0] / lam[1], rtol=1e-9)


def test_scale_of_the_activity() -> None:
    """lambda has no unit: q, V and m^2 scale together, so g_I and the weights stay as they are."""
    x, got = positive(3, 4, 7, seed=7), []
    for scale in (1.0, 8.0):
        layer = EILinear(7, 8).double()
        layer.initialize(scale * x, generator=seeded(8))
        got.append(parameters(layer))
    for key in got[0]:
        torch.testing.assert_close(got[0][key], got[1][key], rtol=1e-12, atol=0.0)


def test_single_precision() -> None:
    layer, x = EIConv2d(3, 8, 3, padding=1), positive(4, 6, 3, 8, 8).float()
    layer.initialize(x, generator=seeded(9))
    expected = init_scales(x.double().numpy(), 27)[1]
    assert {v.dtype for v in layer.parameters()} == {torch.float32}
    np.testing.assert_allclose(layer.gain_i.detach().numpy(), expected, rtol=1e-5)


# --- The law of the weights ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_weights_are_exponential(kind: str) -> None:
    """Kolmogorov-Smirnov against Exponential(mean lambda), with the power to see 5 % off."""
    if kind == "linear":
        layer, x, fan_in = EILinear(400, 400).double(), positive(2, 3, 400, seed=10), 400
    else:
        layer, x = EIConv2d(40, 400, 3, padding=1).double(), spikes(2, 2, 40, 3, 3, seed=10)
        fan_in = 360
    layer.initialize(x, generator=seeded(11))
    lam = init_scales(x.numpy(), fan_in)[0]
    for weight in (layer.weight_ee, layer.weight_ie):
        w = weight.detach().numpy().ravel()
        assert w.size >= 36000 and (w >= 0.0).all() and np.isfinite(w).all()
        assert stats.kstest(w, stats.expon(scale=lam).cdf).pvalue > 1e-3
        assert stats.kstest(w, stats.expon(scale=1.05 * lam).cdf).pvalue < 1e-6
        assert stats.kstest(w, stats.halfnorm(scale=lam * math.sqrt(math.pi / 2)).cdf).pvalue < 1e-6


def test_weights_are_independent() -> None:
    """Neither the two matrices nor two rows of one share their draws."""
    layer = EILinear(1000, 8).double()
    layer.initialize(positive(2, 3, 1000, seed=12), generator=seeded(13))
    rows = torch.cat([layer.weight_ee, layer.weight_ie]).detach().numpy()
    off = np.corrcoef(rows)[~np.eye(10, dtype=bool)]
    assert np.abs(off).max() < 0.15  # five deviations of 1 / sqrt(1000)


def test_variance_is_handed_on() -> None:
    """Section 3: var(I_EE) = V, mean(I_sub) = mean(I_EE), mean(I_div) = sqrt(V)."""
    x = spikes(4, 100, 400, rate=0.2, seed=14)
    layer = EILinear(400, 400).double()
    layer.initialize(x, generator=seeded(15))
    p = {name: v.numpy() for name, v in parameters(layer).items()}
    _, f = layer_forward(x.numpy(), p, Geometry())
    v = init_statistics(x.numpy())[2]
    assert f.i_ee.var() == pytest.approx(v, rel=0.2)
    assert f.i_sub.mean() == pytest.approx(f.i_ee.mean(), rel=0.02)
    assert f.i_div.mean() == pytest.approx(math.sqrt(v), rel=0.05)


def test_deep_chain() -> None:
    """Balanced currents of order one at every depth, and neurons that keep firing."""
    x = positive(1, 8, 3, 8, 8, seed=16).float().expand(4, 8, 3, 8, 8)
    means, widths, rng = [], [], seeded(17)
    with torch.no_grad():
        for c_in, c_out in pairwise([3, *[32] * 8]):
            layer = EIConv2d(c_in, c_out, 3, padding=1)
            layer.initialize(x, generator=rng)
            current = layer(x)
            assert torch.isfinite(current).all()
            means.append(current.mean().item())
            widths.append(current.std().item())
            x = LIF()(current)
            assert 0.02 < x.mean().item() < 0.6
    assert max(abs(m) for m in means) < 1.0
    assert abs(sum(means) / len(means)) < 0.3
    assert min(widths) > 0.4 and max(widths) < 1.6


# --- Errors ----------------------------------------------------------------------------------


def test_error_types() -> None:
    assert issubclass(NotInitializedError, RuntimeError)
    assert issubclass(InitializationError, ValueError)


@pytest.mark.parametrize("name", CASES)
def test_forward_before_initialization(name: str) -> None:
    make, shape, _ = CASES[name]
    layer, x = make().double(), spikes(*shape)
    with pytest.raises(NotInitializedError):
        layer(x)
    with pytest.raises(NotInitializedError):
        layer.eval()(x)
    layer.initialize(x)
    assert torch.isfinite(layer(x)).all()


def same_over_samples(*shape: int) -> Tensor:
    """One image at every step for a batch of one: positive mean, V = 0."""
    return positive(1, 1, *shape[2:], seed=18).expand(*shape).contiguous()


def with_entry(value: float):
    def make(*shape: int) -> Tensor:
        x = positive(*shape, seed=19)
        x.view(-1)[3] = value
        return x

    return make


BAD = {
    "negative": with_entry(-1e-3),
    "silent": torch.zeros,
    "constant": torch.ones,
    "constant_inexact": lambda *shape: torch.full(shape, 0.1, dtype=torch.float64),
    "constant_over_samples": same_over_samples,
    "one_sample": lambda *shape: positive(1, 1, *shape[2:]),
    "no_sample": lambda *shape: positive(1, 0, *shape[2:]),
    "nan": with_entry(math.nan),
    "inf": with_entry(math.inf),
    "minus_inf": with_entry(-math.inf),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("bad", BAD)
def test_bad_activity(bad: str, name: str, dtype: torch.dtype) -> None:
    """A clear error, never inf or NaN, and the layer still counts as not initialised."""
    make, shape, _ = CASES[name]
    layer = make().to(dtype)
    with pytest.raises(InitializationError):
        layer.initialize(BAD[bad](*shape).to(dtype))
    with pytest.raises(NotInitializedError):
        layer(spikes(*shape).to(dtype))
    layer.initialize(spikes(*shape, seed=20).to(dtype))
    assert all(torch.isfinite(v).all() for v in layer.parameters())


@pytest.mark.parametrize("shape", [(1, 2, 6), (2, 1, 6)])
def test_two_samples_are_enough(shape: tuple[int, ...]) -> None:
    layer, x = EILinear(6, 4).double(), positive(*shape)
    layer.initialize(x)
    expected = init_scales(x.numpy(), 6)[1]
    np.testing.assert_allclose(layer.gain_i.detach().numpy(), expected, rtol=1e-12)


def test_faint_activity_is_not_silent() -> None:
    """The formula has no unit, so neither has the bound of what counts as silent or constant."""
    layer, x = EILinear(6, 4).double(), 1e-6 * positive(2, 3, 6)
    layer.initialize(x)
    expected = init_scales(x.numpy(), 6)[1]
    np.testing.assert_allclose(layer.gain_i.detach().numpy(), expected, rtol=1e-9)


# --- The state -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_state_dict_carries_the_flag(name: str) -> None:
    make, shape, _ = CASES[name]
    layer, fresh, x = make().double(), make().double(), spikes(*shape)
    assert "initialized" in dict(layer.named_buffers())
    assert "initialized" in layer.state_dict() and not layer.state_dict()["initialized"]
    layer.initialize(x)
    assert layer.state_dict()["initialized"]
    stored = io.BytesIO()
    torch.save(layer.state_dict(), stored)
    stored.seek(0)
    fresh.load_state_dict(torch.load(stored))
    assert torch.equal(fresh(x), layer(x))


def test_loading_a_fresh_state_takes_the_flag_back() -> None:
    layer, x = EILinear(6, 4).double(), positive(2, 3, 6)
    fresh = copy.deepcopy(layer.state_dict())
    layer.initialize(x)
    layer.load_state_dict(fresh)
    with pytest.raises(NotInitializedError):
        layer(x)


def test_copies_and_casts_keep_the_flag() -> None:
    layer, x = EILinear(6, 4), positive(2, 3, 6)
    layer.initialize(x.float())
    assert torch.equal(copy.deepcopy(layer)(x.float()), layer(x.float()))
    assert torch.isfinite(layer.double()(x)).all()
    assert layer.state_dict()["initialized"]


def test_parameters_stay_trainable() -> None:
    """Same Parameter objects (an optimizer may hold them), leaves without a gradient."""
    layer = EIConv2d(2, 4, 3).double()
    before = dict(layer.named_parameters())
    layer.initialize(positive(2, 3, 2, 5, 5).requires_grad_())
    after = dict(layer.named_parameters())
    assert all(after[name] is v for name, v in before.items())
    assert all(v.requires_grad and v.is_leaf and v.grad is None for v in after.values())


@pytest.mark.parametrize("name", CASES)
def test_seeds(name: str) -> None:
    make, shape, _ = CASES[name]
    layers = []
    for seed in (21, 21, 22):
        layer = make().double()
        layer.initialize(spikes(*shape, rate=0.5), generator=seeded(seed))
        layers.append(parameters(layer))
    assert all(torch.equal(layers[0][k], layers[1][k]) for k in layers[0])
    for k in ("weight_ee", "weight_ie"):
        assert not torch.equal(layers[0][k], layers[2][k])


def test_a_generator_leaves_the_global_one_alone() -> None:
    layer, x = EILinear(6, 4).double(), positive(2, 3, 6)
    before = torch.get_rng_state()
    layer.initialize(x, generator=seeded(23))
    assert torch.equal(torch.get_rng_state(), before)
    first = parameters(layer)
    layer = EILinear(6, 4).double()
    torch.manual_seed(1)
    layer.initialize(x, generator=seeded(23))
    assert all(torch.equal(first[k], v) for k, v in parameters(layer).items())


# --- A whole model ---------------------------------------------------------------------------


def make_model() -> nn.Sequential:
    return nn.Sequential(
        EIConv2d(2, 8, 3, padding=1),
        LIF(),
        EIConv2d(8, 12, 3, stride=2, padding=1, ei_ratio=2),
        LIF(),
        nn.Flatten(2),
        EILinear(12 * 9, 16),
        LIF(),
        EILinear(16, 10, readout=True),
    ).double()


def same_state(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return list(first) == list(second) and all(torch.equal(first[k], second[k]) for k in first)


def test_model_equals_layer_by_layer() -> None:
    batch = positive(4, 6, 2, 6, 6, seed=24)
    model, by_hand, rng = make_model(), make_model(), seeded(25)
    assert initialize(model, batch, generator=seeded(25)) is model
    with torch.no_grad():
        x = batch
        for layer in by_hand:
            if isinstance(layer, EIConv2d | EILinear):
                layer.initialize(x, generator=rng)
            x = layer(x)
    assert same_state(model, by_hand)
    torch.testing.assert_close(model(batch), x, rtol=0, atol=1e-12)
    assert all(v.requires_grad and v.grad is None for v in model.parameters())


class Backwards(nn.Module):
    """Registers its layers in another order than it runs them."""

    def __init__(self) -> None:
        super().__init__()
        self.last = EILinear(8, 4, readout=True)
        self.first = EILinear(6, 8)
        self.fire = LIF()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.fire(self.first(x)))


def test_model_runs_in_forward_order() -> None:
    batch = positive(3, 5, 6, seed=26)
    model, by_hand, rng = Backwards().double(), Backwards().double(), seeded(27)
    initialize(model, batch, generator=seeded(27))
    by_hand.first.initialize(batch, generator=rng)
    with torch.no_grad():
        by_hand.last.initialize(by_hand.fire(by_hand.first(batch)), generator=rng)
    assert same_state(model, by_hand)


def test_model_with_a_silent_layer() -> None:
    """A threshold out of reach: an error that says so, not NaN."""
    model = nn.Sequential(EILinear(6, 8), LIF(threshold=1e6), EILinear(8, 4)).double()
    with pytest.raises(InitializationError):
        initialize(model, positive(3, 5, 6))


# --- Projection ------------------------------------------------------------------------------


def test_project() -> None:
    model = make_model()
    initialize(model, positive(4, 6, 2, 6, 6, seed=28), generator=seeded(29))
    rng = seeded(30)
    with torch.no_grad():
        for v in model.parameters():
            v.copy_(torch.randn(v.shape, generator=rng, dtype=v.dtype))
    before, objects = parameters(model), dict(model.named_parameters())
    project_(model)
    once = parameters(model)
    for name, v in before.items():
        assert (v < 0.0).any(), "the test needs something to clamp"
        expected = v if name.endswith("bias") else v.clamp(min=0.0)
        assert torch.equal(once[name], expected), name
    project_(model)
    assert all(torch.equal(v, once[name]) for name, v in parameters(model).items())
    for name, v in model.named_parameters():
        assert v is objects[name] and v.is_leaf and v.requires_grad and v.grad is None


def test_project_spares_other_layers() -> None:
    model = nn.Sequential(nn.Linear(6, 6), EILinear(6, 8), nn.BatchNorm1d(8)).double()
    with torch.no_grad():
        for v in model.parameters():
            v.fill_(-1.0)
    project_(model)
    for name, v in model.named_parameters():
        inside = name.startswith("1.") and not name.endswith("bias")
        assert (v == (0.0 if inside else -1.0)).all(), name


def test_project_accepts_a_single_layer() -> None:
    layer = EILinear(6, 8)
    with torch.no_grad():
        layer.weight_ee.fill_(-1.0)
    project_(layer)
    assert (layer.weight_ee == 0.0).all()
