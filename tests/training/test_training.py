"""The training loop: schedules by hand, streams, selection on validation, divergence."""

import dataclasses
import math

import pytest
import torch
from tiny_training import tiny_data, trained
from torch import nn

from eibench.data.base import Split
from eibench.data.batches import over_time
from eibench.nn import LIF
from eibench.plan import RunSpec
from eibench.plan.options import METHODS, TrainOptions
from eibench.training import checkpoint
from eibench.training.build import build, prepare
from eibench.training.evaluate import FiringProbe, evaluate, negative_weights
from eibench.training.fit import Diverged, Progress, final_result, fit
from eibench.training.optim import OPTIMIZERS, learning_rate, make_optimizer
from eibench.training.seeds import generator, stream_seed


def tiny_spec(method="ei", seed=0, **train):
    options = {"epochs": 3, "batch_size": 8, **train}
    model = {"name": "plain", "depth": 2, "width": 4, "pools": 1}
    values = {"method": method, "model": model, "data": "digits", "train": options, "seed": seed}
    return RunSpec.parse({**values, "timesteps": 2})


def test_cosine_by_hand():
    """4 epochs of 2 steps, 1 of warm-up: 0.5, 1, then (1 + cos(pi k/6)) / 2."""
    options = TrainOptions(epochs=4, warmup_epochs=1, lr=1.0)
    rates = [learning_rate(step, 2, options) for step in range(8)]
    half = math.sqrt(3) / 4
    by_hand = [0.5, 1.0, 1.0, 0.5 + half, 0.75, 0.5, 0.25, 0.5 - half]
    assert rates == pytest.approx(by_hand)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("on", ["matrices", "all"])
@pytest.mark.parametrize("method", METHODS)
def test_weight_decay_by_hand(method, on, optimizer):
    """Without a gradient a step leaves 1 - 0.1 * 0.5 of what decays, and all of the rest.

    Exponentiated gradients leave exp(-0.1 * 0.5) of matrices and kernels.
    """
    options = TrainOptions(lr=0.1, weight_decay=0.5, weight_decay_on=on, optimizer=optimizer)
    experiment = build(tiny_spec(method), tiny_data())
    groups = experiment.method.param_groups(experiment.model, options.weight_decay)
    vectors = {id(p) for group in groups if group.get("vectors") for p in group["params"]}
    changed = make_optimizer(groups, options)
    trained = [p for p in experiment.model.parameters() if p.requires_grad]
    for parameter in trained:
        torch.nn.init.constant_(parameter, 2.0)
        parameter.grad = torch.zeros_like(parameter)
    changed.step()
    for parameter in trained:
        decays = on == "all" or parameter.dim() > 1
        multiplied = optimizer == "eg" and parameter.dim() > 1 and id(parameter) not in vectors
        left = math.exp(-0.05) if multiplied else 0.95
        assert torch.allclose(parameter, torch.full_like(parameter, 2 * left if decays else 2.0))


def test_gains_and_biases_of_the_circuit_decay_with_all_others():
    """The purpose of `all`: g_I, g_E and b_E decay, in training as set by a suite."""
    experiment = build(tiny_spec("ei", weight_decay_on="all", weight_decay=0.25), tiny_data())
    decay = {
        id(p): g["weight_decay"] for g in experiment.optimizer.param_groups for p in g["params"]
    }
    named = {name: decay[id(p)] for name, p in experiment.model.named_parameters()}
    assert {name.rpartition(".")[2] for name in named} >= {"gain_i", "gain_e", "bias"}
    assert set(named.values()) == {0.25}


def test_constant_schedule():
    options = TrainOptions(epochs=3, schedule="constant", lr=0.2)
    assert {learning_rate(step, 5, options) for step in range(15)} == {0.2}


def test_streams_are_named_and_stable():
    assert stream_seed(0, "order", 1) != stream_seed(0, "order", 2) != stream_seed(1, "order", 2)
    assert stream_seed(0, "order", 1) == 4489457307835839548
    first = torch.rand(2, generator=generator(3, "x"))
    assert torch.equal(first, torch.rand(2, generator=generator(3, "x")))


def test_every_method_sees_the_same_batches(monkeypatch):
    seen = {}
    for method in METHODS:
        batches = []
        original = over_time
        monkeypatch.setattr(
            "eibench.training.fit.over_time",
            lambda x, t, keep=batches, f=original: keep.append(x.clone()) or f(x, t),
        )
        trained(tiny_spec(method), epochs=2)
        seen[method] = batches
    reference = seen.pop("ei")
    assert len(reference) == 6
    assert not torch.equal(reference[0], reference[3])  # the second epoch has another order
    assert all(
        torch.equal(a, b) for other in seen.values() for a, b in zip(reference, other, strict=True)
    )


def test_methods_of_the_same_form_start_from_the_same_weights():
    weights = [
        next(build(tiny_spec(method), tiny_data()).model.parameters())
        for method in ("batchnorm", "tdbn", "no_norm")
    ]
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(("asked", "size"), [(None, 8), (3, 3), (20, 20), (100, 24)])
def test_preparation_sees_the_first_training_images(monkeypatch, asked, size):
    """E-I Init reads the batch that the first step will train on, or so many images of training."""
    first = []
    spec = tiny_spec(init_batch_size=asked)
    experiment = build(spec, tiny_data())
    monkeypatch.setattr(
        type(experiment.method), "prepare", lambda self, model, batch, g: first.append(batch)
    )
    prepare(experiment)
    order = torch.randperm(24, generator=generator(0, "order", 0))[:size]
    assert torch.equal(first[0], tiny_data().train.images[order].expand(2, size, 1, 4, 4))


@pytest.mark.parametrize(
    ("method", "optimizer", "lr"),
    [
        ("batchnorm", "sgd", 0.05),
        ("ei", "adamw", 0.01),
        ("batchnorm", "muon", 0.03),
        ({"name": "ei", "preset": "blanket"}, "muon", 0.02),
        ({"name": "ei", "preset": "blanket"}, "eg", 0.3),
    ],
)
def test_learning_happens(method, optimizer, lr):
    _, progress = trained(tiny_spec(method, epochs=20, lr=lr, optimizer=optimizer))
    losses = [record["train_loss"] for record in progress.history]
    assert losses[-1] < losses[0]
    assert progress.history[-1]["validation_accuracy"] > 90


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="another kind of processor")
def test_denormal_numbers_are_flushed_while_a_network_trains(monkeypatch):
    """And not after it, also where a step fails; threads that torch has started stay so."""

    def small() -> list[float]:
        return torch.full((4,), 1e-39).mul(0.5).tolist()

    seen = []

    def step(*args: object) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(small())
        raise ZeroDivisionError

    monkeypatch.setattr("eibench.training.fit.train_step", step)
    with pytest.raises(ZeroDivisionError):
        trained(tiny_spec())
    assert seen == [[0.0] * 4]
    assert all(number > 0 for number in small())


def test_an_epoch_record_is_complete():
    _, progress = trained(tiny_spec(), epochs=1)
    (record,) = progress.history
    assert record.keys() == {
        "epoch",
        "train_loss",
        "train_accuracy",
        "validation_loss",
        "validation_accuracy",
        "lr",
        "firing_rate_by_layer",
        "cost",
    }
    assert len(record["firing_rate_by_layer"]) == 2


def test_dales_law_holds_after_every_epoch():
    experiment, progress = trained(tiny_spec(lr=1.0))
    assert negative_weights(experiment.model) == 0
    assert final_result(experiment, progress)["negative_weights"] == 0
    assert negative_weights(nn.Linear(2, 2)) is None


def test_negative_weights_are_counted_where_dales_law_holds():
    held = build(tiny_spec({"name": "ei"}), tiny_data()).model
    free = build(tiny_spec({"name": "ei", "dale": False}), tiny_data()).model
    for model in (held, free):
        with torch.no_grad():
            model.readout.weight_ee[0] = -1.0
    assert negative_weights(held) == held.readout.weight_ee.shape[1]
    assert negative_weights(free) is None
    assert negative_weights(nn.ModuleList([held, free])) == held.readout.weight_ee.shape[1]


def test_selection_is_on_validation_and_ties_go_to_the_lower_loss_then_the_earlier():
    model, progress = nn.Linear(1, 1), Progress()
    seen = [(50.0, 1.0), (80.0, 0.9), (80.0, 0.7), (80.0, 0.7), (70.0, 0.1)]
    for epoch, (accuracy, loss) in enumerate(seen, start=1):
        nn.init.constant_(model.weight, epoch)
        record = {"epoch": epoch, "validation_accuracy": accuracy, "validation_loss": loss}
        progress.note(record, model)
    assert progress.best_epoch == 3
    assert progress.best_weights["weight"].item() == 3


def test_test_split_is_read_only_at_the_end():
    """With a test split of other labels, nothing before `final_result` changes."""
    spec, data = tiny_spec(), tiny_data()
    other = dataclasses.replace(data, test=Split(data.test.images, 1 - data.test.labels))
    finals = []
    for variant in (data, other):
        experiment = build(spec, variant)
        prepare(experiment)
        progress = Progress()
        for record in fit(experiment, progress):
            record.pop("cost")
        finals.append((progress.history, final_result(experiment, progress)["test_accuracy"]))
    assert finals[0][0] == finals[1][0]
    assert finals[0][1] == pytest.approx(100 - finals[1][1])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_divergence_is_noticed(value):
    experiment = build(tiny_spec(), tiny_data())
    prepare(experiment)
    with torch.no_grad():
        experiment.model.readout.weight_ee.fill_(value)
    with pytest.raises(Diverged, match="epoch 1"):
        next(fit(experiment, Progress()))


def test_evaluation_by_hand():
    """Two of three right; the mean of the three cross-entropies."""

    class Fixed(nn.Module):
        def forward(self, x):
            return torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 2.0]]).expand(x.shape[0], 3, 2)

    split = Split(torch.zeros(3, 1, 1, 1), torch.tensor([0, 1, 0]))
    model = nn.Sequential(LIF(), Fixed())
    seen = evaluate(model, split, timesteps=4, batch_size=3)
    right, wrong = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
    assert seen.accuracy == pytest.approx(200 / 3)
    assert seen.loss == pytest.approx((2 * right + wrong) / 3)
    assert seen.silent_share == 1.0


def test_spikes_are_counted_in_one_order():
    """A batch of one image lies otherwise in memory than the batches before it."""
    spikes = (torch.rand(2, 3, 5, 4, 4, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    last = spikes.flatten(0, 1).contiguous(memory_format=torch.channels_last).view_as(spikes)
    model, wanted = nn.Sequential(LIF()), (spikes.sum((0, 1)) == 0).double().mean().item()
    for second in (spikes, last):
        with FiringProbe(model) as probe:
            for part in (spikes, second):
                probe._counter(0)(model[0], (), part)
        assert probe.silent_share() == wanted


def test_firing_probe_by_hand():
    """Constant current 1 fires at each step; 0.5 with tau 2 reaches 0.75, 0.875: never."""
    model = nn.Sequential(LIF())
    current = torch.tensor([1.0, 0.5]).expand(3, 4, 2)
    with FiringProbe(model) as probe:
        model(current)
        model(current)
    assert probe.rates() == [0.5]
    assert probe.mean_rate() == 0.5
    assert probe.silent_share() == 0.5
    assert not model[0]._forward_hooks


@pytest.mark.parametrize("method", METHODS)
def test_resuming_between_epochs_changes_nothing(method, tmp_path):
    spec = tiny_spec(method)
    whole, unbroken = trained(spec)
    part, progress = trained(spec, epochs=2)
    checkpoint.save(tmp_path / "c.pt", part, progress)
    torch.manual_seed(99)
    again = build(spec, tiny_data())
    resumed = checkpoint.restore(tmp_path / "c.pt", again)
    for _ in fit(again, resumed):
        pass
    for a, b in zip(unbroken.history, resumed.history, strict=True):
        assert {**a, "cost": 0} == {**b, "cost": 0}
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[key])
    assert final_result(whole, unbroken) == final_result(again, resumed)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half a zip"])
def test_a_damaged_checkpoint_is_told_apart(content, tmp_path):
    path = tmp_path / "c.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a checkpoint of this run"):
        checkpoint.restore(path, build(tiny_spec(), tiny_data()))


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    experiment, progress = trained(tiny_spec("batchnorm"), epochs=1)
    checkpoint.save(tmp_path / "c.pt", experiment, progress)
    with pytest.raises(ValueError, match="not a checkpoint of this run"):
        checkpoint.restore(tmp_path / "c.pt", build(tiny_spec("ei"), tiny_data()))
