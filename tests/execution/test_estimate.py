"""Estimates: by processor time on a busy machine, by records of this machine, without the data."""

import dataclasses
import itertools
from types import SimpleNamespace

import pytest
import torch

from eibench.data import events
from eibench.data.stand_in import stand_in
from eibench.execution import estimate
from eibench.execution.device import device_name
from eibench.execution.environment import cpu_name
from eibench.execution.estimate import Estimator, fastest_step
from eibench.plan import DATASETS, load_plan
from eibench.results import packing
from eibench.results.paths import RESULTS
from eibench.results.plan_file import write_plan
from eibench.results.store import RunFolder
from eibench.training.fit import total_steps

CPU = torch.device("cpu")


def ticking(*ticks):
    """A clock that each step moves by the next of `ticks`, the last of them again and again."""
    passed = itertools.chain(ticks, itertools.repeat(ticks[-1]))
    times = itertools.accumulate(x for tick in passed for x in (0.0, tick))
    return lambda: next(times)


@pytest.fixture
def plan(project):
    return load_plan(project.suite(base={"train": {"epochs": 4}}, seeds=[0, 1]), [])


def estimator(plan, **more):
    return Estimator(plan, plan.runs, RESULTS, CPU, **more)


# -------------------------------------------------------------------------- a busy machine


def test_a_busy_machine_does_not_slow_the_estimate(plan, monkeypatch):
    """Each step takes 100 s, of which this process computes for half a second."""
    clocks = SimpleNamespace(thread_time=ticking(0.5), perf_counter=ticking(100.0))
    monkeypatch.setattr(estimate, "time", clocks)
    found = estimator(plan)
    run = plan.runs[0]
    steps = 4 * 5  # epochs, and batches of 256 in the 1149 training images
    assert total_steps(run.spec, found.datasets.get(run.spec)) == steps
    assert found.seconds(run) == pytest.approx(0.5 * steps * 1.2)
    assert found.basis() == "training steps timed now (1 network)"


def counted(monkeypatch):
    """The steps that `fastest_step` takes."""
    taken = []

    def step(*_):
        taken.append(1)
        return torch.zeros(()), None

    monkeypatch.setattr(estimate, "train_step", step)
    return taken


def stepped(*ticks):
    experiment = SimpleNamespace(spec=SimpleNamespace(train=SimpleNamespace(lr=0.1)))
    return fastest_step(experiment, itertools.repeat(None), ticking(*ticks))


def test_the_fastest_of_six_steps_counts(monkeypatch):
    taken = counted(monkeypatch)
    assert stepped(3.0, 1.5, 0.25, 2.0, 0.5, 0.75, 0.1) == 0.25
    assert len(taken) == 6


def test_slow_steps_are_few(monkeypatch):
    taken = counted(monkeypatch)
    assert stepped(7.0, 8.0, 1.0) == 7.0
    assert len(taken) == 2


# -------------------------------------------------------------------------------- records


def record(run, seconds, folder=None, **changes):
    """Write the record of a run that took `seconds` on this machine."""
    environment = {"cpu": cpu_name(), "device": device_name(CPU), **changes.pop("environment", {})}
    content = {
        "schema": 1,
        "suite": "tiny",
        "run_id": run.run_id,
        "status": "ok",
        "reason": None,
        "fields": run.fields(),
        "result": {"test_accuracy": 50.0, "gradient_decades": 1.0},
        "cost": {"seconds": seconds},
        "environment": environment,
        **changes,
    }
    RunFolder((folder or RESULTS / "tiny") / run.run_id).finish(content)


def with_seed(run, seed):
    spec = dataclasses.replace(run.spec, seed=seed)
    return dataclasses.replace(run, run_id=spec.run_id, spec=spec)


@pytest.fixture
def no_steps(monkeypatch):
    """A step takes a second."""
    monkeypatch.setattr(estimate, "_seconds_per_step", lambda *_: 1.0)


def test_records_of_this_machine_are_used(plan, no_steps):
    shallow, deep, other_seed = plan.runs[:3]
    assert (shallow.spec.model.depth, other_seed.spec.model.depth) == (1, 1)
    record(shallow, 40.0)
    found = estimator(plan)
    assert found.seconds(shallow) == found.seconds(other_seed) == 40.0
    assert found.seconds(deep) == pytest.approx(1.0 * 20 * 1.2)
    text = "records of this machine (1 network), training steps timed now (1 network)"
    assert found.basis() == text


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": {"cpu": "another"}},
        {"environment": {"device": "cpu, 64 threads"}},
        {"status": "diverged", "reason": "loss is nan"},
        {"cost": {"seconds": None}},
    ],
    ids=["cpu", "threads", "diverged", "no cost"],
)
def test_other_records_are_not_used(plan, no_steps, changes):
    record(plan.runs[0], 40.0, **changes)
    assert estimator(plan).seconds(plan.runs[0]) == pytest.approx(24.0)


def test_the_median_of_records_counts(plan, no_steps):
    """One of three runs had to share its core."""
    runs = [with_seed(plan.runs[0], seed) for seed in (0, 1, 1000)]
    for run, seconds in zip(runs, (40.0, 400.0, 44.0), strict=True):
        record(run, seconds)
    found = estimator(plan, seeds=[1000])
    assert found.seconds(plan.runs[0]) == 44.0


def test_committed_evidence_is_used_for_results_elsewhere(plan, no_steps, tmp_path):
    folder = tmp_path / "fresh" / "tiny"
    write_plan(folder, plan)
    record(plan.runs[1], 60.0, folder)
    packing.pack(folder, RESULTS / "evidence")
    found = Estimator(plan, plan.runs, tmp_path / "elsewhere", CPU)
    assert found.seconds(plan.runs[1]) == 60.0


def test_trials_of_a_search_are_records_too(plan, no_steps):
    trial = with_seed(plan.runs[0], 1000)
    record(trial, 20.0, RESULTS / "tiny" / "search")
    assert estimator(plan).seconds(plan.runs[0]) == pytest.approx(24.0)
    assert estimator(plan, seeds=[1000]).seconds(plan.runs[0]) == 20.0


def test_probes_by_their_steps(project, no_steps):
    path = project.suite(kind="probe", grid={"probe.steps": [0, 3]})
    plan = load_plan(path, [])
    record(plan.runs[0], 2.0)
    found = estimator(plan)
    assert found.seconds(plan.runs[0]) == 2.0
    assert found.seconds(plan.runs[1]) == 3 + estimate.PROBE_STEPS


# --------------------------------------------------------------------- data that are not here

TRAINING = {
    "mnist": 54_000,
    "fashion_mnist": 54_000,
    "cifar10": 45_000,
    "cifar100": 45_000,
    "tiny_imagenet": 90_000,
    "cifar10_dvs": 8_100,
    "dvs_gesture": 969,
    "nmnist": 54_000,
    "shd": 7_340,
}
"""Training images of each set that is fetched, of which a tenth is validation."""


@pytest.mark.parametrize("name", TRAINING)
def test_random_images_in_shape_and_number(name):
    options = DATASETS[name]()
    shape = options.shape()
    data = stand_in(options, timesteps=3)
    assert len(data.train) == len(data.train.images) == TRAINING[name]
    assert data.image == shape.image
    assert data.train.images.shape[1:-3] == ((3,) if options.events else ())
    assert set(data.train.labels.tolist()) == set(range(shape.classes))
    for split in data.splits.values():
        assert split.images.untyped_storage().nbytes() < 1_000_000
        assert not torch.equal(split.images[0], split.images[1])
        assert split.images[:2].unique().numel() > 1


@pytest.mark.parametrize("name", ["cifar10_dvs", "dvs_gesture", "nmnist", "shd"])
def test_numbers_of_recordings(name):
    parts = getattr(events, name.upper()).parts
    assert sum(DATASETS[name].known_counts) == sum(parts.values())


def test_shares_are_rounded_as_scikit_learn_does():
    assert DATASETS["dvs_gesture"](validation_share=0.1).counts() == (969, 108, 264)
    assert DATASETS["cifar10"](validation_share=0.25).counts() == (37_500, 12_500, 10_000)


def test_files_alone_tell():
    assert stand_in(DATASETS["imagefolder"](root="x"), 3) is None


def test_an_absent_set_is_named(project, no_steps, monkeypatch):
    monkeypatch.setenv("EIBENCH_DATA", "nowhere")
    source = {"name": "events_from", "source": "mnist"}
    plan = load_plan(project.suite(base={"data": source, "timesteps": 2}, grid={}), [])
    found = estimator(plan)
    assert found.seconds(plan.runs[0]) == pytest.approx(211 * 1.2)  # 54,000 in batches of 256
    assert found.basis().endswith("random images in place of events_from, which is not here")
