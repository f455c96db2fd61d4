"""Signal propagation: against a float64 reference; parameters of a layer, zeros and non-finite
values; measuring has no side effects."""

import itertools
import json
import math

import pytest
import torch
from torch.nn.functional import avg_pool2d, conv2d, cross_entropy

from eibench.data.base import ImageData, Split
from eibench.plan import METHODS, RunSpec
from eibench.probe.propagation import advance, balance, measure, summarize
from eibench.training.build import build, prepare
from eibench.training.fit import train_epoch
from eibench.training.seeds import generator

T = 3


def tiny_data():
    """24 images [1, 4, 4] of two classes."""
    images = torch.rand(24, 1, 4, 4, generator=torch.Generator().manual_seed(5))
    split = Split(images, torch.arange(24) % 2)
    return ImageData(("even", "odd"), split, split, split)


def spec_of(method, depth=2, seed=0):
    model = {"name": "plain", "depth": depth, "width": 4, "pools": 1}
    values = {"method": method, "model": model, "data": "digits", "seed": seed, "timesteps": T}
    return RunSpec.parse({**values, "train": {"batch_size": 8, "epochs": 3}, "probe": {}})


def prepared(*args, **kwargs):
    experiment = build(spec_of(*args, **kwargs), tiny_data())
    prepare(experiment)
    return experiment


def first_images():
    """The batch that training sees first: images [8, 1, 4, 4] and labels."""
    index = torch.randperm(24, generator=generator(0, "order", 0))[:8]
    return tiny_data().train.images[index], tiny_data().train.labels[index]


def lif(current):
    """Spikes [T, ...] of tau 2, threshold 1, soft detached reset, sigmoid surrogate of slope 4."""
    v, spikes = torch.zeros_like(current[0]), []
    for step in current:
        u = v / 2 + step
        soft = torch.sigmoid(4 * (u - 1))
        spikes.append((u >= 1).double() + soft - soft.detach())
        v = u - (u >= 1).double()
    return torch.stack(spikes)


def over_time(function, x):
    return torch.stack([function(step) for step in x])


def norm_ratio(weight):
    return (weight.grad.square().sum().sqrt() / weight.detach().square().sum().sqrt()).item()


def test_a_network_against_a_reference_in_float64():
    """Two convolutions with bias, written out; gradients by autograd on the reference."""
    experiment = prepared("no_norm")
    with torch.no_grad():  # so that all layers fire
        for conv in (experiment.model.conv0, experiment.model.conv2):
            conv.module.weight.abs_()
    model = experiment.model
    w1, w2 = (
        conv.module.weight.detach().double().requires_grad_() for conv in (model.conv0, model.conv2)
    )
    readout, bias = model.readout.weight.detach().double(), model.readout.bias.detach().double()
    images, labels = first_images()
    current1 = over_time(lambda x: conv2d(x, w1, padding=1), images.double().expand(T, 8, 1, 4, 4))
    spikes1 = lif(current1)
    current2 = over_time(lambda x: conv2d(x, w2, padding=1), spikes1)
    spikes2 = lif(current2)
    pooled = over_time(lambda x: avg_pool2d(x, 2).flatten(1), spikes2)
    expected_loss = cross_entropy((pooled @ readout.T + bias).mean(0), labels)
    expected_loss.backward()

    loss, layers = measure(experiment)
    assert loss == pytest.approx(expected_loss.item(), rel=1e-5)
    expected = [(current1, spikes1, w1), (current2, spikes2, w2)]
    for i, (layer, (current, spikes, weight)) in enumerate(zip(layers, expected, strict=True)):
        assert (layer["layer"], layer["neurons"]) == (i + 1, 4 * 4 * 4)
        assert layer["name"] == ("neuron1", "neuron3")[i]
        rate = spikes.detach().mean().item()
        assert 0 < rate < 1
        assert layer["firing_rate"] == pytest.approx(rate, rel=1e-6)
        silent = (spikes.detach().sum((0, 1)) == 0).double().mean().item()
        assert layer["silent_share"] == silent
        flat = current.detach().flatten()
        deviation = (flat - flat.mean()).square().mean().sqrt().item()
        assert layer["current_std"] == pytest.approx(deviation, rel=1e-5)
        assert layer["gradient"] == pytest.approx(norm_ratio(weight), rel=1e-4)
        assert (layer["balance"], layer["non_finite"]) == (None, [])


def test_balance_of_the_first_ei_layer_by_hand():
    experiment = prepared("ei")
    conv = experiment.model.conv0
    images = first_images()[0].double()
    excitation = conv2d(images, conv.weight_ee.detach().double(), padding=1)
    cells = conv2d(images, conv.weight_ie.detach().double(), padding=1).clamp(min=0)
    inhibition = torch.einsum("ei,nihw->nehw", conv.weight_ei.detach().double(), cells)
    flat = excitation.flatten()
    deviation = (flat - flat.mean()).square().mean().sqrt()
    expected = ((excitation.mean() - inhibition.mean()).abs() / deviation).item()
    assert expected > 0
    assert measure(experiment)[1][0]["balance"] == pytest.approx(expected, rel=1e-5)


def test_balance_of_constant_excitation_does_not_exist():
    assert balance(torch.ones(2, 3), torch.zeros(2, 3)) is None
    assert balance(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 1.0])) == 1.0  # |2 - 1| / 1


@pytest.mark.parametrize("method", METHODS)
def test_the_gradient_of_a_layer_is_that_of_the_synapse_before_it(method):
    """For every method: the kernels of `convN`, for E-I also the matrix between its cells;
    scales of normalizers are excluded, also if they are matrices [T, C]."""
    experiment = prepared(method, depth=3)
    _, layers = measure(experiment)
    model = experiment.model
    images, labels = first_images()
    cross_entropy(model(images.expand(T, *images.shape)).mean(0), labels).backward()
    convs = [part for name, part in model.named_children() if name.startswith("conv")]
    assert len(layers) == len(convs) == 3
    for layer, conv in zip(layers, convs, strict=True):
        named = dict(conv.named_parameters())
        synapse = [p for n, p in named.items() if p.dim() == 4 or n.endswith("weight_ei")]
        assert synapse
        gradient = sum(p.grad.double().square().sum() for p in synapse)
        weights = sum(p.detach().double().square().sum() for p in synapse)
        assert layer["gradient"] == pytest.approx(math.sqrt(gradient / weights), rel=1e-4)


def test_a_dead_network_has_exact_zeros():
    experiment = prepared("no_norm", depth=8)
    with torch.no_grad():
        experiment.model.conv0.module.weight.zero_()
    _, layers = measure(experiment)
    json.dumps(layers, allow_nan=False)
    assert [layer["firing_rate"] for layer in layers] == [0.0] * 8
    assert [layer["gradient"] for layer in layers[1:]] == [0.0] * 7  # their input is zero
    assert layers[0]["gradient"] is None  # 0 / 0: no weights to compare with
    assert layers[0]["non_finite"] == ["gradient"]
    summary = summarize([{**layers[0], "gradient": 1e-3}, *layers[1:]])
    assert summary["gradient_decades"] is None
    assert (summary["gradient_min"], summary["gradient_max"]) == (0.0, 1e-3)
    assert (summary["dead_gradient_layers"], summary["live_layers"]) == (7, 0)
    assert (summary["silent_share"], summary["current_std_last"]) == (1.0, 0.0)


def test_what_is_not_finite_is_named():
    experiment = prepared("batchnorm")
    with torch.no_grad():
        experiment.model.conv2[0].module.weight[0].fill_(math.inf)
    loss, layers = measure(experiment)
    json.dumps(layers, allow_nan=False)
    assert layers[0]["current_std"] > 0
    assert layers[1]["current_std"] is None
    assert {"current_std", "gradient"} <= set(layers[1]["non_finite"])
    assert isinstance(loss, float)


def test_summary_by_hand():
    common = {"current_std": 1.0, "balance": None, "non_finite": []}
    layers = [
        {"gradient": 2.0, "firing_rate": 0.2, "silent_share": 0.5, "neurons": 30, **common},
        {"gradient": 0.02, "firing_rate": 0.0, "silent_share": 1.0, "neurons": 10, **common},
        {"gradient": 0.5, "firing_rate": 0.1, "silent_share": 0.0, "neurons": 10, **common},
    ]
    assert summarize(layers) == {
        "gradient_decades": pytest.approx(2.0),
        "gradient_min": 0.02,
        "gradient_max": 2.0,
        "dead_gradient_layers": 0,
        "live_layers": 2,
        "rate_min": 0.0,
        "rate_last": 0.1,
        "current_std_last": 1.0,
        "silent_share": 0.5,  # (15 + 10 + 0) / 50
    }


def same_state(one, other):
    for key, value in one.model.state_dict().items():
        assert torch.equal(value, other.model.state_dict()[key]), key


@pytest.mark.parametrize("method", METHODS)
def test_measuring_leaves_no_trace(method):
    """Weights, running statistics, gradients and chance are as if nothing had been measured."""
    watched, free = prepared(method), prepared(method)
    before = torch.get_rng_state()
    first = measure(watched)
    assert measure(watched) == first
    assert torch.equal(torch.get_rng_state(), before)
    assert all(p.grad is None for p in watched.model.parameters())
    assert not any(m._forward_hooks for m in watched.model.modules())
    for experiment in (watched, free):
        train_epoch(experiment, 1)
    same_state(watched, free)


@pytest.mark.parametrize("method", ["ei", "batchnorm"])
def test_steps_are_those_of_training(method):
    """24 images in batches of 8 are 3 steps an epoch: 6 steps are two epochs."""
    probed, trained = prepared(method), prepared(method)
    advance(probed, 6)
    train_epoch(trained, 1)
    train_epoch(trained, 2)
    same_state(probed, trained)
    rates = [[p["firing_rate"] for p in measure(e)[1]] for e in (probed, prepared(method))]
    assert rates[0] != rates[1]


def test_no_steps_change_nothing():
    one, other = prepared("batchnorm"), prepared("batchnorm")
    advance(one, 0)
    same_state(one, other)


def test_all_methods_are_measured_on_the_same_images():
    """The first convolutions of methods of one form have equal weights, so equal currents."""
    pairs = itertools.pairwise(("batchnorm", "tdbn", "batchnorm"))
    for one, other in pairs:
        assert measure(prepared(one)) == measure(prepared(other))
