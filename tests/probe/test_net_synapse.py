"""Net synapses and their updates: by hand, and against NumPy on whole networks, where the update is
that of a second network trained one step further."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from eibench.data.base import ImageData, Split
from eibench.nn import Balance, Circuit, EILinear, WSConv2d
from eibench.plan import METHODS, RunSpec
from eibench.probe.balance import mean_spread, signal_share
from eibench.probe.net_synapse import (
    net_synapse,
    net_synapse_metrics,
    relative_mean,
    update_metrics,
)
from eibench.probe.propagation import advance, measure
from eibench.training.build import build, prepare
from eibench.training.fit import train_epoch

UPDATES = ("update_mean", "update_scale", "update_size")
SUBTRACTIVE = {"name": "ei", "divisive": False, "calibration": "neuron", "calibration_mean": 0.3}
BLANKET = {"name": "ei", "preset": "blanket"}


def prepared(method, **train):
    """Two layers on 24 images [1, 4, 4] of two classes: 3 steps an epoch, 2 epochs."""
    images = torch.rand(24, 1, 4, 4, generator=torch.Generator().manual_seed(5))
    split = Split(images, torch.arange(24) % 2)
    model = {"name": "plain", "depth": 2, "width": 8, "pools": 1}
    values = {"method": method, "model": model, "data": "digits", "timesteps": 3}
    train = {"batch_size": 8, "epochs": 2, "lr": 0.1, "weight_decay": 0.01, **train}
    experiment = build(
        RunSpec.parse({**values, "train": train}), ImageData(("even", "odd"), split, split, split)
    )
    prepare(experiment)
    return experiment


def matrix(values):
    return torch.tensor(values, dtype=torch.float64)


# ------------------------------------------------------------------------------ net synapse


def test_net_synapse_of_an_ei_layer_by_hand():
    """One inhibitory cell for four neurons; W_EI [2, 0, 1, 1] times W_IE (1, 2, 3)."""
    layer = EILinear(3, 4, ei_ratio=4)
    with torch.no_grad():
        layer.weight_ee.copy_(torch.arange(12.0).view(4, 3))
        layer.weight_ie.copy_(torch.tensor([[1.0, 2.0, 3.0]]))
        layer.weight_ei.copy_(torch.tensor([[2.0], [0.0], [1.0], [1.0]]))
        layer.gain_e.fill_(7.0)
    found = net_synapse(layer)
    assert found.dtype == torch.float64
    assert found.tolist() == [[-2, -3, -4], [3, 4, 5], [5, 5, 5], [8, 8, 8]]
    assert layer.weight_ee.dtype == torch.float32


def test_nothing_is_subtracted_where_the_circuit_does_not():
    layer = EILinear(3, 4, circuit=Circuit(subtractive=False))
    nn.init.ones_(layer.weight_ee)
    nn.init.ones_(layer.weight_ie)
    nn.init.ones_(layer.weight_ei)
    assert net_synapse(layer).tolist() == [[1.0] * 3] * 4


def test_net_synapse_of_balanced_and_scaled_rows():
    """(1, 2, 6) less its mean 3 over its norm; readouts are balanced alone."""
    circuit = Circuit(subtractive=False, divisive=False)
    for readout, norm in ((False, 14**0.5), (True, 1.0)):
        balance = Balance(blanket=1.0, unit_rows=True)
        layer = EILinear(3, 1, readout=readout, circuit=circuit, balance=balance)
        with torch.no_grad():
            layer.weight_ee.copy_(torch.tensor([[1.0, 2.0, 6.0]]))
        found = net_synapse(layer)
        expected = matrix([[-2, -1, 3]]) / norm
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=0)


def test_net_synapse_of_convolutions_and_matrices():
    conv, dense = nn.Conv2d(2, 3, 3), nn.Linear(5, 4)
    assert torch.equal(net_synapse(conv), conv.weight.detach().double().flatten(1))
    assert torch.equal(net_synapse(dense), dense.weight.detach().double())


def test_net_synapse_of_a_standardised_kernel():
    """gain (w - mean) / sqrt(18 var + 1e-4), with the unbiased variance of 18 weights."""
    conv = WSConv2d(2, 3, 3, gain=1.5)
    weight = conv.weight.detach().double().flatten(1).numpy()
    centred = weight - weight.mean(1, keepdims=True)
    expected = 1.5 * centred / np.sqrt(18 * weight.var(1, ddof=1, keepdims=True) + 1e-4)
    np.testing.assert_allclose(net_synapse(conv).numpy(), expected, rtol=1e-12)


# ---------------------------------------------------------------------------------- by hand


def test_net_mean_by_hand():
    # (1, 3): mean 2, deviation 1. (-2, 2): 0. (5, 5) does not vary. (-1, -5): -3 over 2.
    rows = [matrix([[1, 3], [-2, 2], [5, 5]]), matrix([[-1, -5]])]
    assert relative_mean(rows) == pytest.approx(((4 + 0 + 2.25) / 3) ** 0.5)
    assert relative_mean([matrix([[5, 5], [0, 0]])]) is None
    assert relative_mean([]) is None


NET = [[1.0, 2.0, 6.0, -1.0], [0.0, 4.0, 0.0, 0.0], [3.0, 3.0, 3.0, 3.0]]


@pytest.mark.parametrize(
    ("update", "mean", "scale"),
    [
        ([[2.0] * 4, [-1.0] * 4, [0.5] * 4], 1, 0),  # along the means, a constant row as well
        ([[-1.0, 0, 4, -3], [1, -3, 1, 1], [0.0] * 4], 0, 1),  # rows less their means 2 and 1
        ([[0.0] * 4, [1, 0, -1, 0], [1, -1, 0, 0]], 0, 0),  # along neither
        ([[1.0] * 4, [1, -3, 1, 1], [4, -4, 0, 0]], 4 / 48, 12 / 48),
        ([[1.0, 2, 6, -1], [0.0] * 4, [0.0] * 4], 16 / 42, 26 / 42),  # a row times two
    ],
)
def test_updates_by_hand(update, mean, scale):
    net = matrix(NET)
    found = update_metrics([net], [net + matrix(update)])
    assert found["update_mean"] == pytest.approx(mean, abs=1e-15)
    assert found["update_scale"] == pytest.approx(scale, abs=1e-15)
    expected = (np.square(update).sum() / np.square(NET).sum()) ** 0.5
    assert found["update_size"] == pytest.approx(expected)


def test_no_update_and_no_synapse():
    net, zero = matrix(NET), torch.zeros(3, 4, dtype=torch.float64)
    assert update_metrics([net], [net]) == dict(zip(UPDATES, (None, None, 0.0), strict=True))
    assert update_metrics([zero], [net])["update_size"] is None
    assert update_metrics([], []) == dict.fromkeys(UPDATES)
    assert net_synapse_metrics({}, None) == dict.fromkeys(("net_mean", *UPDATES))


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 1000))
def test_updates_against_projections(rows, inputs, seed):
    """Mean, scale and the rest are projections on an orthonormal basis of each row."""
    rng = np.random.default_rng(seed)
    net, update = rng.normal(size=(2, rows, inputs))
    along = np.zeros(2)
    for r, u in zip(net, update, strict=True):
        centred = r - r.mean()
        along[0] += (u @ np.ones(inputs)) ** 2 / inputs
        if inputs > 1:
            along[1] += (u @ centred) ** 2 / (centred @ centred)
    found = update_metrics([torch.from_numpy(net)], [torch.from_numpy(net + update)])
    shares = [found["update_mean"], found["update_scale"]]
    assert shares == pytest.approx(along / np.square(update).sum(), rel=1e-6, abs=1e-9)
    assert sum(shares) <= 1 + 1e-9


def test_all_synapses_of_a_layer_count():
    """A convolution and a shortcut whose currents are added: the rows of both."""
    one, other = nn.Linear(4, 3, bias=False), nn.Linear(4, 3, bias=False)
    model = nn.ModuleDict({"conv": one, "shortcut": other})
    nn.init.constant_(other.weight, 2.0)
    with torch.no_grad():
        one.weight.copy_(torch.tensor(NET))
    stepped = copy.deepcopy(model)
    with torch.no_grad():
        stepped["conv"].weight[0] += torch.tensor([3.0, -3.0, 0.0, 0.0])
        stepped["shortcut"].weight[1] += 3.0
    found = net_synapse_metrics(dict(model.items()), stepped)
    assert found["update_mean"] == pytest.approx(36 / 54)
    assert found["update_size"] == pytest.approx((54 / (94 + 48)) ** 0.5)
    # Means 2 and 1 over deviations sqrt(6.5) and sqrt(3); constant rows have none.
    assert found["net_mean"] == pytest.approx(((4 / 6.5 + 1 / 3) / 2) ** 0.5)


def test_mean_spread_by_hand():
    # Two samples of two neurons: (0, 10) and (2, 10). Means 1 and 10, which deviate by 4.5;
    # deviations between samples 1 and 0, whose mean square is 0.5.
    current = torch.tensor([[[0.0, 10.0], [2.0, 10.0]]])
    assert mean_spread(current) == pytest.approx(4.5 / 0.5**0.5)
    assert mean_spread(torch.tensor([[[0.0, 10.0], [0.0, 10.0]]])) is None


@given(st.integers(1, 4), st.integers(2, 5), st.integers(1, 5), st.integers(0, 1000))
def test_mean_spread_follows_from_signal_share(steps, batch, channels, seed):
    current = np.random.default_rng(seed).normal(size=(steps, batch, channels, 2, 2))
    signal = current.std() * signal_share(torch.from_numpy(current)) ** 0.5
    expected = current.mean((0, 1, 3, 4)).std() / signal
    assert mean_spread(torch.from_numpy(current)) == pytest.approx(expected, abs=1e-12)


# ----------------------------------------------------------------------------- in a network


def nets_of(experiment):
    return [net_synapse(child) for child in synapses_of(experiment)]


def synapses_of(experiment):
    """The modules with weights in the parts conv0 and conv2."""
    model = experiment.model
    return [
        next(m for m in part.modules() if hasattr(m, "weight_ee") or hasattr(m, "in_channels"))
        for part in (model.conv0, model.conv2)
    ]


@pytest.mark.parametrize(
    ("method", "train"),
    [
        ("ei", {}),
        (SUBTRACTIVE, {"optimizer": "adamw", "lr": 0.01}),
        ({**SUBTRACTIVE, "relay": 3.0}, {}),
        (BLANKET, {}),
        ("batchnorm", {"clip_norm": 0.1}),
        ("weight_standardization", {"warmup_epochs": 1}),
    ],
    ids=str,
)
def test_a_network_against_one_trained_a_step_further(method, train):
    """Momentum, learning rate, clipping, decay and projection are those of step 5, of epoch 2."""
    probed, further = prepared(method, **train), prepared(method, **train)
    following = advance(probed, 4)
    advance(further, 5)
    _, layers = measure(probed, following=following)
    for layer, before, after in zip(layers, nets_of(probed), nets_of(further), strict=True):
        net, update = before.numpy(), (after - before).numpy()
        centred = net - net.mean(1, keepdims=True)
        varied = net.std(1) > 0
        ratios = (net.mean(1) / net.std(1))[varied]
        assert layer["net_mean"] == pytest.approx(np.sqrt((ratios**2).mean()), abs=1e-12)
        total = (update**2).sum()
        mean = (update.mean(1) ** 2).sum() * net.shape[1] / total
        scale = ((update * centred).sum(1)[varied] ** 2 / (centred**2).sum(1)[varied]).sum() / total
        assert layer["update_mean"] == pytest.approx(mean, abs=1e-12)
        assert layer["update_scale"] == pytest.approx(scale, abs=1e-12)
        assert layer["update_size"] == pytest.approx(np.sqrt(total / (net**2).sum()))
        assert layer["update_size"] > 0


@pytest.mark.parametrize("method", ["weight_standardization", BLANKET], ids=str)
def test_standardised_kernels_have_no_mean_and_keep_their_scale(method):
    experiment = prepared(method)
    for layer in measure(experiment, following=advance(experiment, 1))[1]:
        assert layer["net_mean"] < 1e-12
        assert layer["update_mean"] < 1e-12
        assert layer["update_scale"] < 1e-3  # chords of a sphere leave its tangent a little


def test_batch_norm_takes_means_out_of_the_currents():
    """Not out of the synapses: their updates move means."""
    experiment = prepared("batchnorm")
    for layer in measure(experiment, following=advance(experiment, 0))[1]:
        assert layer["current_mean_spread"] < 1e-5
        assert layer["net_mean"] > 1e-2
        assert layer["update_mean"] > 1e-3


def test_frozen_weights_have_no_update():
    experiment = prepared("no_norm")
    experiment.model.conv0.requires_grad_(False)
    first, second = measure(experiment, following=advance(experiment, 0))[1]
    assert [first[name] for name in UPDATES] == [None, None, 0.0]
    assert second["update_size"] > 0


def test_after_the_last_step_there_is_no_update():
    experiment = prepared("ei")
    following = advance(experiment, 6)
    assert following is None
    for layer in measure(experiment, following=following)[1]:
        assert [layer[name] for name in UPDATES] == [None] * 3
        assert layer["net_mean"] > 0


@pytest.mark.parametrize("method", METHODS)
def test_measuring_an_update_leaves_no_trace(method):
    """Not in weights, buffers, momentum or random numbers: training goes on as if unwatched."""
    watched, free = prepared(method), prepared(method)
    for experiment in (watched, free):
        train_epoch(experiment, 1)
    random = torch.get_rng_state()
    following = advance(prepared(method), 3)
    first = measure(watched, following=following)
    assert measure(watched, following=following) == first
    assert torch.equal(torch.get_rng_state(), random)
    for experiment in (watched, free):
        train_epoch(experiment, 2)
    for key, value in watched.model.state_dict().items():
        assert torch.equal(value, free.model.state_dict()[key]), key
