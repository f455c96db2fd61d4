"""Layers of Dale's ANNs against the float64 circuit of `knob_oracle`, with the paper's corrections
of gradients by hand; their start, and Dale's law."""

import math

import numpy as np
import pytest
import torch
from knob_oracle import Knobs, knob_forward, knob_gradients
from shapes import SHAPES, draw_activity, draw_parameters

from eibench.nn import LIF, Chain, DANNConv2d, DANNLinear, initialize, project_

EPSILON = 0.03
SIZES = ["conv3x3", "stride2", "conv1x1", "linear", "conv_one_inhibitory"]


def layer_of(shape, p, corrections):
    g, options = shape.geometry, {"ei_ratio": shape.ratio, "epsilon": EPSILON}
    sizes = (g.kernel, g.stride, g.padding) if g.kernel else ()
    kind = DANNConv2d if g.kernel else DANNLinear
    layer = kind(shape.c_in, shape.n_e, *sizes, corrections=corrections, **options).double()
    layer.initialize(torch.rand(shape.input, dtype=torch.float64))
    values = {k: v for k, v in p.items() if k != "gain_i"}
    state = {**values, "log_gain_i": np.log(p["gain_i"])}
    assert {name for name, _ in layer.named_parameters()} == state.keys()
    for name, value in state.items():
        getattr(layer, name).data.copy_(torch.from_numpy(value))
    return layer


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("corrections", [True, False])
def test_values_and_gradients(name, corrections):
    """gamma + epsilon divides; W_IE by 1/sqrt(n_E), W_EI by 1/d, alpha by both; and
    d/dalpha = g_I d/dg_I."""
    shape, rng = SHAPES[name], np.random.default_rng(0)
    p, x = draw_parameters(rng, shape), draw_activity(rng, shape)
    x[0, 0] = 0.0  # a silent sample
    knobs = Knobs(stabilization="leak", leak=EPSILON, kappa=0.0)
    expected, _ = knob_forward(x, p, knobs, shape.geometry)
    grad = rng.normal(size=expected.shape)
    by_x, grads = knob_gradients(grad, x, p, knobs, shape.geometry)
    grads["log_gain_i"] = p["gain_i"] * grads.pop("gain_i")
    if corrections:
        d, n_e = math.prod(shape.fan_in), shape.n_e
        grads["weight_ie"] = grads["weight_ie"] / n_e**0.5
        grads["weight_ei"] = grads["weight_ei"] / d
        grads["log_gain_i"] = grads["log_gain_i"] / (d * n_e**0.5)
    layer = layer_of(shape, p, corrections)
    activity = torch.from_numpy(x).requires_grad_()
    current = layer(activity)
    current.backward(torch.from_numpy(grad))
    np.testing.assert_allclose(current.detach().numpy(), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(activity.grad.numpy(), by_x, rtol=1e-9, atol=1e-9)
    for key, parameter in layer.named_parameters():
        np.testing.assert_allclose(
            parameter.grad.numpy(), grads[key], rtol=1e-9, atol=1e-9, err_msg=key
        )


def test_where_it_starts():
    """By the paper's numbers, and on max(0, Z): a net current of deviation 1 over a gamma of 1."""
    layer, rng = DANNLinear(400, 200, epsilon=1e-8).double(), torch.Generator().manual_seed(0)
    layer.initialize(torch.zeros(2, 3, 400, dtype=torch.float64), rng)
    mean = math.sqrt(2 * math.pi / (400 * (2 * math.pi - 1)))
    for weight in (layer.weight_ee, layer.weight_ie):
        assert weight.mean().item() == pytest.approx(mean, rel=0.05)
        assert weight.std().item() == pytest.approx(mean, rel=0.05)  # an exponential law
    gain = math.sqrt((2 * math.pi - 1) / 400)
    assert layer.log_gain_i.exp().tolist() == pytest.approx([gain] * 20)
    assert (layer.weight_ei == 1 / 20).all() and layer.weight_ei.shape == (200, 20)
    assert (layer.gain_e == 1).all() and (layer.bias == 0).all()
    x = torch.randn(2, 500, 400, dtype=torch.float64, generator=rng).relu()
    excitation, _ = layer.currents(x)
    assert excitation.std().item() == pytest.approx(1, rel=0.05)


def test_it_starts_in_balance():
    """Over networks: the mean net current of one has a deviation of 0.1, as 20 cells are few."""
    rng, means, gammas = torch.Generator().manual_seed(0), [], []
    for _ in range(40):
        layer = DANNLinear(400, 200, epsilon=1e-8).double()
        layer.initialize(torch.zeros(1, 1, 400, dtype=torch.float64), rng)
        x = torch.randn(1, 100, 400, dtype=torch.float64, generator=rng).relu()
        excitation, inhibition = layer.currents(x)
        net = excitation - inhibition
        means.append(net.mean().item())
        gammas.append((net / layer(x)).mean().item())
    assert np.mean(means) == pytest.approx(0, abs=0.08)  # five standard errors
    assert np.mean(gammas) == pytest.approx(1, rel=0.02)


def test_a_single_inhibitory_neuron_hears_the_mean_of_all():
    layer = DANNLinear(30, 10)
    layer.initialize(torch.zeros(1, 1, 30))
    assert torch.equal(layer.weight_ie, layer.weight_ee.mean(0, keepdim=True))


def test_dales_law_leaves_alpha_and_bias_alone():
    layer = DANNConv2d(2, 20, 3, padding=1)
    layer.initialize(torch.zeros(1, 1, 2, 4, 4))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(-1.0)
    project_(layer)
    left = {name for name, p in layer.named_parameters() if (p == -1).all()}
    assert left == {"log_gain_i", "bias"}
    assert all((p == 0).all() for name, p in layer.named_parameters() if name not in left)


def test_it_is_computed_with_its_neuron_and_travels_in_the_state():
    """Fused in a `Chain` as apart."""
    x = (torch.rand(3, 2, 2, 6, 6, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    model = initialize(Chain(DANNConv2d(2, 20, 3, epsilon=0.1), LIF()), x)
    fresh = Chain(DANNConv2d(2, 20, 3, epsilon=0.1), LIF())
    fresh.load_state_dict(model.state_dict())
    spikes = model(x)
    assert 0 < spikes.mean() < 1
    assert torch.equal(spikes, fresh[1](fresh[0](x)))
