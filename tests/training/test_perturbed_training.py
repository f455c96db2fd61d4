"""Training under perturbations: a step by hand, nothing left behind, equal seeds, bad values."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_training import tiny_data
from torch import nn

from eibench.nn.hardware import neurons
from eibench.plan.options import METHODS
from eibench.plan.perturb import OF_THE_HARDWARE_FORM, PerturbOptions
from eibench.plan.spec import RunSpec
from eibench.plan.validate import Invalid
from eibench.training.build import Experiment, build, epoch_batches, prepare
from eibench.training.evaluate import negative_weights
from eibench.training.fit import Progress, fit, train_step
from eibench.training.perturbed import perturbed_step

STRENGTHS = {
    "fan_in": 0.5,
    "random_fan_in": 0.5,
    "weight_bits": 3,
    "channel_bits": 3,
    "weight_noise": 0.2,
    "additive_noise": 0.2,
    "stuck_at_zero": 0.2,
    "stuck_at_largest": 0.05,
    "threshold_noise": 0.3,
    "spike_drop": 0.3,
    "spike_jitter": 0.3,
}


def experiment(method: object = "batchnorm", train: object = None, **perturb: float) -> Experiment:
    spec = RunSpec.parse(
        {
            "method": method,
            "model": {"name": "plain", "depth": 2, "width": 4, "pools": 1},
            "data": "digits",
            "train": {"epochs": 2, "batch_size": 8, **(train or {})},
            "timesteps": 3,
            "perturb": perturb,
        }
    )
    made = build(spec, tiny_data())
    prepare(made)
    made.model.train()
    return made


def step(made: Experiment, lr: float = 0.1, number: int = 0) -> float:
    return train_step(made, next(epoch_batches(made, 8, 0)), lr, number)[0].item()


def state(made: Experiment) -> dict[str, torch.Tensor]:
    return copy.deepcopy(made.model.state_dict())


def test_a_quantised_step_by_hand():
    """The gradient is that at the quantised weights, and moves the others.

    y = w x, loss y^2 / 2 with x = (1, 2), w = (0.9, -0.4): in 2 bits w is (0.9, 0), so that y is
    0.9 and the gradient (0.9, 1.8). Biases are kept.
    """
    layer = nn.Linear(2, 1).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.9, -0.4]]))
        layer.bias.zero_()
    before = layer.weight.detach().clone()
    with perturbed_step(layer, {"weight_bits": 2}, seed=0, number=0):
        out = layer(torch.tensor([[1.0, 2.0]]).double())
        assert out.item() == pytest.approx(0.9)
        (out**2 / 2).sum().backward()
    assert torch.equal(layer.weight, before)
    assert layer.weight.grad.tolist() == [pytest.approx([0.9, 1.8])]


def test_processes_share_weights_and_lose_other_spikes():
    made = experiment("batchnorm")
    x = torch.ones(2, 4, 1, 4, 4)
    found: dict[str, list[torch.Tensor]] = {"spike_drop": [], "weight_noise": []}
    for name, outputs in found.items():
        for rank in (0, 1, 1):
            with perturbed_step(made.model, {name: 0.5}, 0, 3, rank), torch.no_grad():
                outputs.append(made.model(x))
    first, *others = found["spike_drop"]
    assert torch.equal(*others)
    assert not torch.equal(first, others[0])
    assert all(torch.equal(found["weight_noise"][0], one) for one in found["weight_noise"])


def test_the_options_are_the_conditions_of_the_network():
    assert STRENGTHS.keys() == PerturbOptions.model_fields.keys()
    assert not STRENGTHS.keys() & set(OF_THE_HARDWARE_FORM)
    assert PerturbOptions().strengths() == {}
    both = {"spike_drop": 0.5, "weight_bits": 4}
    assert list(PerturbOptions(**both).strengths()) == ["weight_bits", "spike_drop"]


@pytest.mark.parametrize("method", [*METHODS, {"name": "ei", "preset": "blanket"}], ids=str)
def test_a_step_without_rate_leaves_the_network(method):
    """Weights, thresholds and hooks are as before, also where a step fails."""
    made = experiment(method, {"weight_decay": 0.0, "optimizer": "sgd"}, **STRENGTHS)
    before = dict(copy.deepcopy(dict(made.model.named_parameters())))
    thresholds = [layer.threshold for _, layer in neurons(made.model)]
    assert torch.isfinite(torch.tensor(step(made, lr=0.0)))
    with pytest.raises(IndexError):
        train_step(made, (torch.rand(8, 1, 4, 4), torch.full((8,), 7)), 0.0, 1)
    for name, p in made.model.named_parameters():
        assert torch.equal(p, before[name]), name
    assert [layer.threshold for _, layer in neurons(made.model)] == thresholds
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in made.model.modules())


@pytest.mark.parametrize("name", STRENGTHS)
@pytest.mark.parametrize(
    "method", ["batchnorm", "ei", {"name": "ei", "preset": "blanket"}], ids=str
)
def test_every_perturbation_acts_by_its_step(name, method):
    """Another loss than without it, the same for the same step, and Dale's law holds."""
    chance = {name: STRENGTHS[name]}
    losses = {}
    for key, number, perturb in (("none", 0, {}), ("a", 1, chance), ("b", 1, chance),
                                 ("c", 2, chance)):  # fmt: skip
        made = experiment(method, **perturb)
        losses[key] = step(made, number=number)
        assert negative_weights(made.model) in (None, 0)
    assert losses["a"] == losses["b"]
    assert losses["a"] != losses["none"]
    drawn = name not in ("fan_in", "weight_bits", "channel_bits")
    assert (losses["a"] != losses["c"]) == drawn


def test_neutral_numbers_are_no_perturbation():
    plain, neutral = experiment(), experiment(weight_noise=0.0, weight_bits=32)
    assert plain.spec.run_id == neutral.spec.run_id
    assert step(plain) == step(neutral)
    assert all(torch.equal(a, state(neutral)[k]) for k, a in state(plain).items())
    assert experiment(weight_noise=0.1).spec.run_id != plain.spec.run_id


def test_training_that_goes_on_has_the_noise_of_its_epochs():
    whole, halves = (experiment("ei", weight_noise=0.1, spike_drop=0.1) for _ in range(2))
    list(fit(whole, Progress()))
    progress = Progress()
    next(fit(halves, progress))
    list(fit(halves, progress))
    assert all(torch.equal(a, state(halves)[k]) for k, a in state(whole).items())


def test_pieces_of_a_batch_see_the_same_weights():
    """Without norm the gradients of pieces add up to that of the batch."""
    found = []
    for pieces in (1, 4):
        made = experiment("no_norm", {"accumulate": pieces}, weight_noise=0.3)
        made = replace(made, model=made.model.double())
        images, labels = next(epoch_batches(made, 8, 0))
        train_step(made, (images.double(), labels), 0.1, 5)
        found.append(state(made))
    assert all(torch.allclose(a, found[1][k], atol=1e-12) for k, a in found[0].items())


@pytest.mark.parametrize(
    ("perturb", "message"),
    [
        ({"weight_bit": 4}, "did you mean 'weight_bits'"),
        ({"lesion": 0.1}, "unknown key; allowed here: additive_noise"),
        ({"weight_bits": 1}, "2"),
        ({"weight_bits": 4.0}, "whole number"),
        ({"spike_drop": 1.5}, "1"),
        ({"weight_noise": float("nan")}, "finite"),
    ],
)
def test_bad_values_are_refused(perturb, message):
    with pytest.raises(Invalid) as caught:
        experiment(**perturb)
    assert any(message in p.text and p.keys[0] == "perturb" for p in caught.value.problems), [
        p.text for p in caught.value.problems
    ]


def test_a_suite_trains_under_noise(cli, project):
    """As an axis of a suite, beside an evaluation under the same noise."""
    path = project.suite(
        grid={"method": ["batchnorm"], "perturb.weight_noise": [0.0, 0.3]},
        seeds=[0],
        evaluate={"noise": {"weight_noise": [0.3]}},
    )
    done = cli("run", path)
    assert done.code == 0, done.err
    rows = [json.loads(p.read_text()) for p in Path("results/tiny-noise").glob("*/record.json")]
    assert {r["fields"]["perturb.weight_noise"] for r in rows} == {0.0, 0.3}
    assert {r["fields"]["evaluate.weight_noise"] for r in rows} == {0.3}
    done = cli("report", "results/tiny")
    assert done.code == 0 and "weight noise" in done.out, done.out
