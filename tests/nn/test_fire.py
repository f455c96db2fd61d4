"""An E-I layer and its neuron as one function: against the oracle, against the two apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Geometry, layer_backward, layer_forward, lif_backward, lif_forward
from shapes import Shape, draw_parameters
from test_fused import assert_float32, error, float32, layer_like, shapes, spiking, spiking_layers
from torch import Tensor, nn

from eibench.nn import LIF, Chain, Circuit, EIConv2d, EILinear, initialize
from eibench.nn.ei_layer import EILayer, NotInitializedError

TOO_NEAR = 1e-6
"""A potential this near to the threshold may fire in one path and not in the other."""


@pytest.fixture
def fires(monkeypatch) -> Iterator[list[EILayer]]:
    """The layers that fired with their neuron."""
    fired: list[EILayer] = []
    fire = EILayer.fire

    def noted(layer: EILayer, x: Tensor, neuron: LIF) -> Tensor:
        fired.append(layer)
        return fire(layer, x, neuron)

    monkeypatch.setattr(EILayer, "fire", noted)
    return fired


def network(shape: Shape, p: dict, dtype: torch.dtype, **neuron) -> Chain:
    return Chain(layer_like(shape, p, dtype), LIF(**neuron))


@pytest.mark.parametrize("folded", [True, False])
@settings(max_examples=40)
@given(
    shape=shapes,
    seed=st.integers(0, 2**32 - 1),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    sign=st.sampled_from([0.0, 0.4]),
    reset=st.sampled_from(["soft", "hard"]),
    surrogate=st.sampled_from(["sigmoid", "atan"]),
    detach=st.booleans(),
)
def test_equations(shape, seed, density, sign, reset, surrogate, detach, folded):
    """In float64 spikes and all gradients are the oracle's, with silent samples, zero divisors and
    cells below zero (`sign`)."""
    rng = np.random.default_rng(seed)
    p = draw_parameters(rng, shape)
    p["weight_ie"] -= sign * p["weight_ie"].max() * (rng.random(p["weight_ie"].shape) < 0.5)
    x = rng.random(shape.input) * (rng.random(shape.input) < density)
    current, _ = layer_forward(x, p, shape.geometry)
    spikes, u = lif_forward(current, 2.0, 1.0, reset)
    if np.abs(u - 1.0).min() < TOO_NEAR:
        return
    grad = rng.normal(size=spikes.shape)
    d_current = lif_backward(grad, current, 2.0, 1.0, reset, surrogate, detach)
    d_x, d_p = layer_backward(d_current, x, p, shape.geometry)
    options = {"reset": reset, "surrogate": surrogate, "detach_reset": detach}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eibench.nn.ei_layer.worth_folding", lambda *_: folded)
        model = network(shape, p, torch.float64, **options)
        activity = torch.from_numpy(x).requires_grad_()
        found = model(activity)
        found.backward(torch.from_numpy(grad))
    np.testing.assert_array_equal(found.detach().numpy(), spikes)
    assert error(activity.grad, d_x) <= 1e-8
    for name, parameter in model[0].named_parameters():
        assert error(parameter.grad, d_p[name]) <= 1e-8, name


@pytest.mark.parametrize("folded", [True, False])
@settings(max_examples=40)
@spiking_layers
def test_float32(seed, channels, steps, rate, kernel, folded):
    """1e-6 in float32, all gradients; spikes exact."""
    geometry, layer, x, p = spiking(seed, channels, steps, rate, kernel)
    current, _ = layer_forward(x, p, geometry)
    spikes, u = lif_forward(current, 2.0, 1.0, "soft")
    if np.abs(u - 1.0).min() < 1e-5:
        return
    grad = float32(np.random.default_rng(seed).normal(size=current.shape))
    activity = torch.from_numpy(x).float().requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eibench.nn.ei_layer.worth_folding", lambda *_: folded)
        found = Chain(layer, LIF())(activity)
        found.backward(torch.from_numpy(grad).float())
    np.testing.assert_array_equal(found.detach().numpy(), spikes)
    d_current = lif_backward(grad, current, 2.0, 1.0, "soft", "sigmoid", True)
    assert_float32(layer, activity, d_current, x, p, geometry)


CASES = {
    "conv": lambda: EIConv2d(3, 16, 3, padding=1),
    "small": lambda: EIConv2d(3, 16, 3, stride=4, padding=1),
    "no subtraction": lambda: EIConv2d(3, 16, 3, circuit=Circuit(subtractive=False)),
    "epsilon": lambda: EIConv2d(3, 8, 3, circuit=Circuit(stabilization="epsilon", epsilon=0.1)),
    "leak": lambda: EIConv2d(3, 8, 3, padding=1, circuit=Circuit(stabilization="leak")),
    "signed": lambda: EIConv2d(3, 8, 3, padding=1, circuit=Circuit(dale=False)),
}


def both_ways(model: Chain, x: Tensor) -> list[list[Tensor]]:
    """Spikes and gradients of layer and neuron as one, and apart, where a hook watches."""
    found = []
    for apart in (False, True):
        hook = model[1].register_forward_hook(lambda *_: None) if apart else None
        model.zero_grad()
        leaf = x.detach().clone().requires_grad_() if x.stride(0) else x
        spikes = model(leaf)
        (
            spikes * torch.linspace(-1, 1, spikes.numel(), dtype=x.dtype).view(spikes.shape)
        ).sum().backward()
        inputs = [leaf.grad] if x.stride(0) else []
        found.append([spikes.detach(), *inputs, *(p.grad.clone() for p in model.parameters())])
        if hook:
            hook.remove()
    return found


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("piece", [7, 2**19])
def test_as_one_and_apart(name, static, piece, fires, monkeypatch):
    monkeypatch.setattr("eibench.nn.kernels.ei_lif.CHUNK", piece)
    x = (torch.rand(4, 5, 3, 8, 8) < 0.2).double()
    x[:, 2] = 0.0
    if static:
        x = x[0].expand(4, *x.shape[1:])
    model = Chain(CASES[name](), LIF()).double()
    initialize(model, x, torch.Generator().manual_seed(0))
    if name == "signed":
        with torch.no_grad():
            model[0].weight_ie -= 0.7 * model[0].weight_ie.mean()
    fires.clear()
    one, apart = both_ways(model, x)
    assert fires == [model[0]]
    torch.testing.assert_close(one, apart, rtol=1e-9, atol=1e-10)


class Watched(LIF):
    """A neuron of its own class, whose `forward` might differ."""


def test_who_fires_with_the_layer(fires):
    """A plain LIF neuron right behind a layer that divides, and nobody watching."""
    x = torch.rand(3, 16, 24)
    readout = EILinear(32, 2, readout=True)
    own = Watched()
    parts = [EILinear(24, 32), LIF(), EILinear(32, 32), own, EILinear(32, 32), LIF()]
    model = Chain(*parts, nn.Identity(), readout, nn.Identity())
    initialize(model, x, torch.Generator().manual_seed(0))
    fires.clear()
    model(x)
    assert fires == [model[0], model[4]]
    for part in (model[4], model[5]):
        fires.clear()
        hook = part.register_forward_pre_hook(lambda *_: None)
        model(x)
        hook.remove()
        assert fires == [model[0]]


def test_a_chain_may_end_in_a_layer():
    x = torch.rand(3, 4, 6)
    model = Chain(EILinear(6, 8))
    initialize(model, x)
    assert torch.equal(model(x), model[0](x))
    assert torch.equal(Chain()(x), x)


def test_initialisation_comes_first():
    with pytest.raises(NotInitializedError, match="EILinear is not initialised"):
        Chain(EILinear(6, 8), LIF())(torch.rand(3, 4, 6))


def test_an_empty_batch():
    model = Chain(EIConv2d(3, 8, 3, padding=1), LIF())
    initialize(model, torch.rand(2, 3, 3, 5, 5))
    spikes = model(torch.rand(2, 0, 3, 5, 5))
    assert spikes.shape == (2, 0, 8, 5, 5)
    spikes.sum().backward()
    assert all((p.grad == 0).all() for p in model.parameters())


def test_the_drive_alone_is_kept():
    """Between the passes: the drive, 1.25 currents wide, and the layer's own input and weights."""
    model = Chain(EIConv2d(4, 16, 3, padding=1), LIF())
    x = torch.rand(4, 8, 4, 8, 8)
    initialize(model, x)
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model(x)
    weights = sum(p.numel() for p in model.parameters())
    assert sum(kept.values()) <= 4 * 8 * 64 * 20 + x.numel() + 2 * weights


def test_autocast():
    """Spikes are bfloat16, exact; gradients of the parameters float32 and near the true ones."""
    model = Chain(EIConv2d(3, 16, 3, padding=1), LIF())
    x = (torch.rand(4, 6, 3, 8, 8) < 0.3).float()
    initialize(model, x, torch.Generator().manual_seed(0))
    grads = []
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            spikes = model(x)
        assert spikes.dtype == (torch.bfloat16 if enabled else torch.float32)
        assert set(spikes.unique().tolist()) <= {0.0, 1.0}
        spikes.float().mean().backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    assert all(g.dtype == torch.float32 for g in grads[1])
    for exact, rounded in zip(*grads, strict=True):
        assert error(rounded, exact.double().numpy()) < 0.05


@pytest.mark.parametrize("shape", [Shape(Geometry(), 5, 8), Shape(Geometry(3, 1, 1), 3, 8)])
def test_meta(shape):
    """Shapes pass without numbers."""
    model = network(shape, draw_parameters(np.random.default_rng(0), shape), torch.float32)
    x = torch.rand(shape.input)
    real = model(x).shape
    assert model.to("meta")(x.to("meta")).shape == real


def test_small_currents_add_up_in_bfloat16():
    """As in the neuron alone: beside a potential of 0.5 a step of 0.0002 would be lost."""
    x = (torch.rand(400, 2, 8) < 0.5).float()
    layer, neuron = EILinear(8, 4), LIF(tau=100.0)
    chain = Chain(layer, neuron)
    initialize(chain, x)
    with torch.no_grad():
        layer.gain_e.zero_()
        layer.bias.fill_(0.012)
    assert chain(x).sum() > 0
    chain, x = chain.bfloat16(), x.bfloat16()
    assert torch.equal(chain(x), neuron(layer(x)))
    chain(x).sum().backward()
    assert layer.bias.grad.dtype == torch.bfloat16
    assert layer.bias.grad.isfinite().all()
