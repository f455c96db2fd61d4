"""Every optimizer with every method: groups, one step, Dale's law, divergence, resume."""

import copy
import dataclasses
from typing import get_args

import pytest
import torch
from tiny_training import tiny_data, trained

from eibench.nn import EILayer
from eibench.plan import RunSpec
from eibench.plan.options import METHODS, TrainOptions
from eibench.training import checkpoint
from eibench.training.build import build, epoch_batches, prepare
from eibench.training.evaluate import negative_weights
from eibench.training.fit import Diverged, Progress, fit, train_step
from eibench.training.optim import OPTIMIZERS

EACH = [(method, optimizer) for method in METHODS for optimizer in OPTIMIZERS]
NEW = ("muon", "eg")


def tiny_spec(method, **train):
    model = {"name": "plain", "depth": 2, "width": 4, "pools": 1}
    train = {"epochs": 3, "batch_size": 8, **train}
    values = {"method": method, "model": model, "data": "digits", "train": train, "timesteps": 2}
    return RunSpec.parse(values)


def ready(method, optimizer, **train):
    experiment = build(tiny_spec(method, optimizer=optimizer, **train), tiny_data())
    prepare(experiment)
    return experiment


def one_step(experiment, lr=0.05):
    batch = next(epoch_batches(experiment, 8, 0))
    return train_step(experiment, batch, lr)


def test_every_optimizer_of_the_options_exists():
    assert get_args(TrainOptions.model_fields["optimizer"].annotation) == tuple(OPTIMIZERS)


@pytest.mark.parametrize(("method", "optimizer"), EACH)
def test_every_method_takes_a_step(method, optimizer):
    """All that has a gradient moves, at one learning rate, and Dale's law holds after it."""
    experiment = ready(method, optimizer)
    before = {name: p.detach().clone() for name, p in experiment.model.named_parameters()}
    loss, _ = one_step(experiment)
    assert loss.isfinite()
    assert {group["lr"] for group in experiment.optimizer.param_groups} == {0.05}
    for name, p in experiment.model.named_parameters():
        assert p.isfinite().all(), name
        assert not torch.equal(p, before[name]) or not p.grad.any(), name
    dale = any(isinstance(m, EILayer) for m in experiment.model.modules())
    assert negative_weights(experiment.model) == (0 if dale else None)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("optimizer", NEW)
def test_each_parameter_has_one_optimizer(method, optimizer):
    """Matrices and kernels the named one; biases, gains and all scales of norms the other."""
    experiment = ready(method, optimizer)
    matrices, vectors = (
        [p for group in part.param_groups for p in group["params"]]
        for part in experiment.optimizer.parts
    )
    trained = [p for p in experiment.model.parameters() if p.requires_grad]
    assert sorted(map(id, matrices + vectors)) == sorted(map(id, trained))
    assert all(p.dim() > 1 for p in matrices)
    wide = {tuple(p.shape) for p in vectors if p.dim() > 1}
    assert wide == ({(2, 4)} if method in ("bntt", "tab") else set())  # of each time step


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_warm_up_reaches_all_groups(optimizer):
    experiment, progress = trained(tiny_spec("tab", optimizer=optimizer, warmup_epochs=2), epochs=1)
    rates = {group["lr"] for group in experiment.optimizer.param_groups}
    assert rates == {progress.history[0]["lr"]} == {0.1 * 3 / 6}


def test_exponentiated_gradients_keep_the_signs_of_signed_weights():
    experiment = ready("batchnorm", "eg", momentum=0.9)
    weights = [p for p in experiment.model.parameters() if p.dim() > 1]
    before = [p.sign() for p in weights]
    for _ in range(5):
        one_step(experiment, lr=3.0)
    assert all(torch.equal(p.sign(), s) for p, s in zip(weights, before, strict=True))


def test_dales_law_needs_no_clamp_under_exponentiated_gradients(monkeypatch):
    """But for gains, which are vectors."""
    experiment = ready("ei", "eg")
    monkeypatch.setattr(type(experiment.method), "project", lambda self, model: None)
    for _ in range(5):
        one_step(experiment, lr=3.0)
    matrices = [p for p in experiment.model.parameters() if p.dim() > 1]
    assert all((p > 0).all() for p in matrices)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_rate_that_is_too_large_is_divergence(optimizer):
    experiment = ready("no_norm", optimizer, lr=1e30, clip_norm=None)
    with pytest.raises(Diverged, match="loss is"):
        for _ in fit(experiment, Progress()):
            pass


@pytest.mark.parametrize("method", ["ei", "tab"])
@pytest.mark.parametrize("optimizer", ["adamw", *NEW])
def test_resuming_between_epochs_changes_nothing(method, optimizer, tmp_path):
    spec = tiny_spec(method, optimizer=optimizer)
    whole, unbroken = trained(spec)
    part, progress = trained(spec, epochs=2)
    checkpoint.save(tmp_path / "c.pt", part, progress)
    again = build(spec, tiny_data())
    resumed = checkpoint.restore(tmp_path / "c.pt", again)
    for _ in fit(again, resumed):
        pass
    assert [{**r, "cost": 0} for r in unbroken.history] == [
        {**r, "cost": 0} for r in resumed.history
    ]
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[key])
    assert list(map(list, whole.optimizer.state.values())) == list(
        map(list, again.optimizer.state.values())
    )


@pytest.mark.parametrize("optimizer", NEW)
def test_state_is_listed_by_parameter(optimizer):
    experiment = ready("ei", optimizer)
    one_step(experiment)
    assert experiment.optimizer.state.keys() == set(experiment.model.parameters())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_copy_with_its_network_steps_alike(optimizer):
    """As probes do to see the next update."""
    experiment = ready("tab", optimizer)
    one_step(experiment)
    model, copied = copy.deepcopy((experiment.model, experiment.optimizer))
    before = copy.deepcopy(experiment.model.state_dict())
    one_step(dataclasses.replace(experiment, model=model, optimizer=copied))
    for key, value in experiment.model.state_dict().items():
        assert torch.equal(value, before[key])
    one_step(experiment)
    for key, value in experiment.model.state_dict().items():
        assert torch.equal(value, model.state_dict()[key])
