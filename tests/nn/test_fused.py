"""The fused path in float32 against the float64 oracle, and against plain torch in training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from knob_oracle import Knobs, knob_circuit
from oracle import (
    Array,
    Geometry,
    columns_of,
    lawful,
    layer_backward,
    layer_forward,
    layer_magnitudes,
    lif_backward,
    lif_forward,
    matrices,
)
from oracle import channels as channels_of
from shapes import Shape, draw_parameters
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from eibench.methods.ei import EI, EIOptions
from eibench.models.chain import PlainOptions, plain
from eibench.nn import (
    LIF,
    AvgPool2d,
    BatchNorm2d,
    BNTT2d,
    Chain,
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
from eibench.nn.time import in_fast_order, is_repeated
from eibench.plan.options import NeuronOptions

FLOAT32 = 1e-6


@pytest.fixture(params=[7, 2**17], ids=["small", "large"])
def piece(request, monkeypatch):
    """Pieces so small that every loop turns, and pieces as they are."""
    for name in ("ei_circuit", "lif"):
        monkeypatch.setattr(f"eibench.nn.kernels.{name}.CHUNK", request.param)


def error(got: Tensor, expected: Array) -> float:
    """Distance over the length of what is expected (which may cancel to nothing)."""
    distance = np.linalg.norm(got.detach().double().numpy() - expected)
    return float(distance / max(np.linalg.norm(expected), 1e-3))


def layer_like(shape: Shape, p: dict[str, Array], dtype: torch.dtype) -> EILayer:
    g = shape.geometry
    layer: EILayer
    law = {"circuit": Circuit(dale=lawful(p))}
    if g.kernel:
        layer = EIConv2d(shape.c_in, shape.n_e, g.kernel, g.stride, g.padding, shape.ratio, **law)
    else:
        layer = EILinear(shape.c_in, shape.n_e, shape.ratio, **law)
    layer = layer.to(dtype)
    layer.initialize(torch.rand(shape.input, dtype=dtype))
    with torch.no_grad():
        for name, value in layer.named_parameters():
            value.copy_(torch.from_numpy(p[name]))
    return layer


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


def errors(shape: Shape, p: dict[str, Array], x: Array, dtype: torch.dtype) -> dict[str, float]:
    """Of the current and all gradients of a layer, against the oracle."""
    rng = np.random.default_rng(0)
    layer = layer_like(shape, p, dtype)
    expected, _ = layer_forward(x, p, shape.geometry)
    grad = float32(rng.normal(size=expected.shape))
    d_x, d_p = layer_backward(grad, x, p, shape.geometry)
    activity = torch.from_numpy(x).to(dtype).requires_grad_()
    current = layer(activity)
    current.backward(torch.from_numpy(grad).to(dtype))
    gradients = {name: error(v.grad, d_p[name]) for name, v in layer.named_parameters()}
    return {"current": error(current, expected), "x": error(activity.grad, d_x), **gradients}


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize("sign", [0.0, 0.4])
@settings(max_examples=40)
@given(
    shape=shapes,
    seed=st.integers(0, 2**32 - 1),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    kept=st.sampled_from([0.5, 1.0]),
)
def test_equations(shape, seed, density, kept, sign, folded):
    """In float64, with silent samples, zero divisors, and cells below zero (`sign`)."""
    rng = np.random.default_rng(seed)
    p = draw_parameters(rng, shape)
    for key in ("weight_ee", "weight_ie", "weight_ei"):
        p[key] *= rng.random(p[key].shape) < kept
    p["weight_ie"] -= sign * p["weight_ie"].max() * (rng.random(p["weight_ie"].shape) < 0.5)
    x = rng.random(shape.input) * (rng.random(shape.input) < density)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eibench.nn.ei_layer.worth_folding", lambda *_: folded)
        assert max(errors(shape, p, x, torch.float64).values()) <= 1e-8


def spiking(seed: int, channels: int, steps: int, rate: float, kernel: int):
    """A convolution as E-I Init leaves it but for a dead row and a dead column of W_EI, in float32;
    its activity, of spikes, with a silent sample; its parameters."""
    rng = np.random.default_rng(seed)
    shape = Shape(Geometry(kernel, 1, kernel // 2), channels, 16)
    x = (rng.random((steps, 4, *shape.input[2:])) < rate).astype(np.float64)
    x[0, 0] = 0.0
    x[-1, -1].flat[0] = 1.0
    layer = layer_like(shape, draw_parameters(rng, shape), torch.float32)
    layer.initialize(torch.from_numpy(x).float(), torch.Generator().manual_seed(seed % 1000))
    with torch.no_grad():
        layer.weight_ei[3], layer.weight_ei[:, 1] = 0.0, 0.0
    return shape.geometry, layer, x, {k: v.double().numpy() for k, v in layer.state_dict().items()}


def assert_float32(layer: EILayer, activity: Tensor, grad: Array, x: Array, p, geometry) -> None:
    """All gradients to 1e-6 of the terms that they are sums of: sums of the same terms in another
    order agree no better, however much the terms cancel."""
    d_x, d_p = layer_backward(grad, x, p, geometry)
    of_x, of_p = layer_magnitudes(grad, x, p, geometry)
    found = {"x": activity, **dict(layer.named_parameters())}
    for name, value in found.items():
        exact, terms = (d_x, of_x) if name == "x" else (d_p[name], of_p[name])
        distance = np.linalg.norm(value.grad.double().numpy() - exact)
        assert distance <= FLOAT32 * np.linalg.norm(terms), name


spiking_layers = given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.sampled_from([1, 8, 32]),
    steps=st.integers(1, 4),
    rate=st.sampled_from([0.02, 0.2]),
    kernel=st.sampled_from([1, 3]),
)


@pytest.mark.parametrize("folded", [True, False])
@settings(max_examples=40)
@spiking_layers
def test_float32(seed, channels, steps, rate, kernel, folded):
    """1e-6 in float32, values and all gradients."""
    geometry, layer, x, p = spiking(seed, channels, steps, rate, kernel)
    expected, _ = layer_forward(x, p, geometry)
    grad = float32(np.random.default_rng(seed).normal(size=expected.shape))
    activity = torch.from_numpy(x).float().requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eibench.nn.ei_layer.worth_folding", lambda *_: folded)
        current = layer(activity)
        current.backward(torch.from_numpy(grad).float())
    assert error(current, expected) <= FLOAT32
    assert_float32(layer, activity, grad, x, p, geometry)


@pytest.mark.usefixtures("piece")
@pytest.mark.parametrize("folded", [True, False])
def test_pieces(folded, monkeypatch):
    monkeypatch.setattr("eibench.nn.ei_layer.worth_folding", lambda *_: folded)
    rng = np.random.default_rng(3)
    shape = Shape(Geometry(3, 1, 1), 3, 8)
    x = rng.random(shape.input) * (rng.random(shape.input) < 0.3)
    x[1, 1] = 0.0
    assert max(errors(shape, draw_parameters(rng, shape), x, torch.float64).values()) <= 1e-12


# --- Without division ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "cells"),
    [({}, 0), ({"dale": False}, 2), ({"inhibitory_cell": "lif"}, 2), ({"divisive": True}, 2)],
)
def test_no_division_no_cells(changes, cells):
    """Operations of a product as wide as the excitatory neurons, and no wider, where no one needs
    to know what inhibitory cells do."""
    circuit = Circuit(**{"divisive": False, **changes})
    layer = EIConv2d(3, 8, 3, padding=1, circuit=circuit)
    x = (torch.rand(2, 5, 3, 6, 6) < 0.3).float()
    layer.initialize(x)
    with FlopCounterMode(display=False) as counted:
        layer(x)
    convolution = torch.ops.aten.convolution
    places = 2 * 10 * 36
    synapse = counted.get_flop_counts()["Global"][convolution]
    assert synapse >= places * (8 + cells) * 27
    assert (synapse == places * 8 * 27) == (cells == 0)


@settings(max_examples=40)
@spiking_layers
def test_no_division_in_float32(seed, channels, steps, rate, kernel):
    """1e-6 of the terms, where excitation and inhibition cancel in the weights already."""
    geometry, layer, x, p = spiking(seed, channels, steps, rate, kernel)
    once = EIConv2d(channels, 16, kernel, 1, kernel // 2, circuit=Circuit(divisive=False))
    once.load_state_dict({k: v for k, v in layer.state_dict().items() if k != "gain_i"})
    columns, _ = columns_of(x, geometry)
    f = knob_circuit(columns, matrices(p), Knobs(divisive=False), geometry, len(x))
    current = once(torch.from_numpy(x).float())
    terms = p["gain_e"][:, None] * channels_of(p["weight_ee"].reshape(16, -1), columns)
    distance = np.linalg.norm(
        current.detach().double().numpy().reshape(f.current.shape) - f.current
    )
    assert distance <= FLOAT32 * np.linalg.norm(terms)


# --- The neuron --------------------------------------------------------------------------------


@pytest.mark.usefixtures("piece")
@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("kind", ["sigmoid", "atan"])
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("steps", [1, 4])
def test_neuron(reset, kind, detach, steps):
    rng = np.random.default_rng(steps)
    x = float32(0.3 + rng.normal(size=(steps, 2, 3, 5, 4)))
    expected, u = lif_forward(x, 2.0, 1.0, reset)
    grad = float32(rng.normal(size=x.shape))
    d_x = lif_backward(grad, x, 2.0, 1.0, reset, kind, detach)
    assert np.abs(u - 1.0).min() > 1e-5
    for order in (lambda t: t, lambda t: t.movedim(2, -1).contiguous().movedim(-1, 2)):
        current = order(torch.from_numpy(x).float()).requires_grad_()
        spikes = LIF(2.0, 1.0, reset, kind, detach)(current)
        spikes.backward(torch.from_numpy(grad).float())
        np.testing.assert_array_equal(spikes.detach().numpy(), expected)
        assert spikes.stride() == current.stride()
        assert error(current.grad, d_x) <= FLOAT32


def test_neuron_of_a_repeated_current():
    x = torch.rand(1, 2, 3, 4, 4, dtype=torch.float64) * 1.5
    apart, together = (x.clone().requires_grad_() for _ in range(2))
    LIF()(apart.expand(4, -1, -1, -1, -1).contiguous()).sum().backward()
    LIF()(together.expand(4, -1, -1, -1, -1)).sum().backward()
    torch.testing.assert_close(apart.grad, together.grad)


def test_membrane_is_float32_in_bfloat16():
    """u = 0.5 + 2^-9 at tau 1: bfloat16 has no such number above 0.5, float32 does."""
    threshold = 0.5 + 2**-9
    current = torch.full((2, 1), 0.5, dtype=torch.bfloat16)
    assert LIF(tau=1e9, threshold=0.999)(current).tolist() == [[0.0], [1.0]]
    assert LIF(tau=1.0, threshold=threshold)(current).tolist() == [[0.0], [0.0]]
    assert LIF()(current).dtype == torch.bfloat16


# --- Pooling -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (2, 3)])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("k", [1, 2])
def test_pooling_is_torch_s(size, order, k):
    x = torch.rand(3, 4, *size).contiguous(memory_format=order)
    grads = []
    for pool in (AvgPool2d(k), nn.AvgPool2d(k)):
        leaf = x.clone().requires_grad_()
        y = pool(leaf)
        (y * torch.arange(y.numel()).view(y.shape)).sum().backward()
        grads.append((y.detach(), leaf.grad))
    torch.testing.assert_close(grads[0], grads[1], rtol=0, atol=0)


# --- Static images -----------------------------------------------------------------------------

STATIC = {
    "conv": lambda: TimeDistributed(nn.Conv2d(2, 8, 3, padding=1)),
    "batchnorm": lambda: BatchNorm2d(8),
    "tdbn": lambda: TDBatchNorm2d(8, 0.5),
    "tebn": lambda: TEBatchNorm2d(8, 3),
    "bntt": lambda: BNTT2d(8, 3),
    "groupnorm": lambda: GroupNorm2d(8, 4),
    "ei": lambda: EIConv2d(2, 8, 3, padding=1),
    "ei_lif": lambda: EIConv2d(2, 8, 3, padding=1, circuit=Circuit(inhibitory_cell="lif")),
    "ei_subtractive": lambda: EIConv2d(2, 8, 3, padding=1, circuit=Circuit(divisive=False)),
}


@pytest.mark.parametrize("name", STATIC)
@pytest.mark.parametrize("training", [True, False])
def test_repeated_steps_are_computed_once_and_change_nothing(name, training):
    """Outputs, gradients and state after an `expand` are those after a copy."""
    frame = torch.rand(4, 2, 5, 5, dtype=torch.float64)
    found = []
    for copied in (True, False):
        torch.manual_seed(0)
        part = STATIC[name]()
        whole = name == "conv" or name.startswith("ei")
        model = part if whole else Current(TimeDistributed(nn.Conv2d(2, 8, 3, bias=False)), part)
        model = model.double().train(training)
        x = frame.expand(3, -1, -1, -1, -1)
        initialize(model, x, torch.Generator().manual_seed(1))
        if copied:
            x = x.contiguous()
        y = model(x)
        (y * torch.arange(3.0, dtype=torch.float64).view(3, 1, 1, 1, 1)).square().sum().backward()
        grads = [p.grad for p in model.parameters()]
        found.append([y.detach(), *grads, *model.state_dict().values()])
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)


def test_one_pixel_and_one_image_have_a_running_variance():
    """A single value has no unbiased variance; its copies over time have one, of zero."""
    model = Current(TimeDistributed(nn.Conv2d(1, 2, 1)), BatchNorm2d(2))
    model(torch.ones(1, 1, 1, 1).expand(4, 1, 1, 1, 1))
    assert model[1].running_var.tolist() == pytest.approx([0.9, 0.9])


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(3, 16, 1, 2), nn.Conv2d(7, 16, 1, (2, 1)), EIConv2d(3, 16, 1, 2)]
)
def test_strided_synapses_of_few_channels_keep_to_their_memory(layer):
    """In channels_last torch's gradient of such weights writes beyond its memory on some CPUs,
    which ended the process."""
    channels = layer.in_channels if isinstance(layer, nn.Conv2d) else 3
    x = torch.rand(3, 4, channels, 8, 8)
    assert in_fast_order(x[0], layer).is_contiguous()
    part = layer if isinstance(layer, EIConv2d) else TimeDistributed(layer)
    initialize(part, x)
    for _ in range(10):
        part(x).square().sum().backward()


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(3, 16, 3, 2), nn.Conv2d(8, 16, 1, 2), EIConv2d(3, 16, 1)]
)
def test_others_read_channels_side_by_side(layer):
    x = torch.rand(4, 8 if getattr(layer, "in_channels", 3) == 8 else 3, 8, 8)
    assert in_fast_order(x, layer).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("divisive", [True, False])
def test_only_the_first_layer_repeats(divisive, monkeypatch):
    """A static image gives the neuron one step to read; outside a chain each step is written."""
    x = torch.rand(2, 1, 6, 6).expand(3, 2, 1, 6, 6)
    layer = EIConv2d(1, 4, 3, padding=1, circuit=Circuit(divisive=divisive))
    layer.initialize(x)
    computed, read = [], []
    once, forward = EILayer.once, LIF.forward
    monkeypatch.setattr(
        EILayer, "once", lambda self, x, times: computed.append(len(x)) or once(self, x, times)
    )
    monkeypatch.setattr(
        LIF, "forward", lambda self, x: read.append(is_repeated(x)) or forward(self, x)
    )
    assert not is_repeated(layer(x))
    assert computed == [1]
    spikes = Chain(layer, LIF())(x)
    assert not is_repeated(spikes)
    assert read == ([] if divisive else [True])
    assert set(computed) == {1}


# --- Training ----------------------------------------------------------------------------------


def plain_circuit(layer: EILayer, x: Tensor, steps: int) -> Tensor:
    """The circuit in torch's own operations; a detached S gives the straight-through gradient."""
    i_ee = layer._synapse(x, layer.weight_ee)
    s_i = layer._synapse(x, layer.weight_ie)
    weight = F.scale_gradient(layer.weight_ei, 1 / layer.fan_in)[:, :, None, None]
    if layer.readout:
        return i_ee - s_i @ weight[:, :, 0, 0].t()
    gains = [v.view(1, -1, 1, 1) for v in (layer.gain_i, layer.gain_e, layer.bias)]
    i_sub = nn.functional.conv2d(s_i, weight)
    i_div = nn.functional.conv2d(s_i * gains[0], weight)
    zero = i_div == 0
    least = torch.where(i_div > 0, i_div, torch.inf).amin((1, 2, 3), keepdim=True)
    stable = i_div + torch.where(zero, least, 0.0).detach()
    return gains[1] * (i_ee - i_sub) / stable + gains[2]


def curve(monkeypatch, plainly: bool, dtype: torch.dtype) -> list[float]:
    """Losses of 30 steps on digits of one small network."""
    from eibench.data.digits import digits

    if plainly:
        monkeypatch.setattr(EILayer, "_current", plain_circuit)
        monkeypatch.setattr("eibench.nn.ei_layer.is_repeated", lambda x: False)
    data = digits().train
    method = EI(options=EIOptions(), lif=NeuronOptions().model_dump(), timesteps=4)
    torch.manual_seed(0)
    model = plain(method, (1, 8, 8), 10, PlainOptions(depth=3, width=8, pools=1)).to(dtype)
    images, labels = data.images[:640].to(dtype), data.labels[:640]
    over_time = images.expand(4, *images.shape)
    method.prepare(model, over_time[:, :64], torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.002, momentum=0.9)
    losses = []
    for step in range(30):
        batch = slice(64 * (step % 10), 64 * (step % 10) + 64)
        loss = nn.functional.cross_entropy(model(over_time[:, batch]).mean(0), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        project_(model)
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    ("dtype", "steps", "tolerance"), [(torch.float32, 5, 1e-4), (torch.float64, 30, 1e-9)]
)
def test_training_curves_stay_together(monkeypatch, dtype, steps, tolerance):
    """In float32 until rounding has moved a membrane over its threshold."""
    with monkeypatch.context() as patch:
        plain = curve(patch, True, dtype)
    fused = curve(monkeypatch, False, dtype)
    assert fused[-1] < fused[0]
    np.testing.assert_allclose(fused[:steps], plain[:steps], rtol=tolerance)


def test_weights_changed_between_the_passes_are_noticed():
    layer = EIConv2d(2, 4, 3)
    x = torch.rand(1, 2, 2, 5, 5)
    layer.initialize(x)
    layer(x.requires_grad_()).sum().backward()
    y = layer(x)
    with torch.no_grad():
        layer.weight_ie.add_(1)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()
