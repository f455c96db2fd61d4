"""Reports within an epoch: when they come, what they say, and that they change no number."""

import pytest
import torch

from eibench.data.digits import digits
from eibench.plan import RunSpec
from eibench.training import steps
from eibench.training.build import build, prepare
from eibench.training.fit import Progress, fit
from eibench.training.steps import StepReport, StepReporter

SPEC = RunSpec.parse(
    {
        "method": "batchnorm",
        "model": {"name": "plain", "depth": 1, "width": 4, "pools": 1},
        "data": "digits",
        "timesteps": 1,
        "train": {"epochs": 2, "batch_size": 256},
    }
)


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    moved = Clock()
    monkeypatch.setattr(steps, "time", moved)
    return moved


def count(reporter, clock, seconds, images=8, loss=16.0):
    clock.now += seconds
    reporter.count(images, torch.tensor(loss))


def test_a_report_comes_after_the_interval(clock):
    heard = []
    reporter = StepReporter(heard.append, epoch=3, steps=5)
    count(reporter, clock, 0.3)
    assert heard == []
    count(reporter, clock, 0.3, loss=24.0)  # 16 images in 0.6 s
    assert heard == [StepReport(3, 2, 5, pytest.approx(16 / 0.6), 1.5)]
    count(reporter, clock, 0.1)
    assert len(heard) == 1
    count(reporter, clock, 0.7)  # 16 more in 0.8 s
    assert heard[1].step == 4
    assert heard[1].images_per_second == pytest.approx(20)
    count(reporter, clock, 0.01)  # the last step of a long epoch
    assert (heard[2].step, heard[2].steps) == (5, 5)


def test_a_short_epoch_has_none(clock):
    heard = []
    reporter = StepReporter(heard.append, epoch=1, steps=2)
    count(reporter, clock, 0.1)
    count(reporter, clock, 0.1)
    assert heard == []


def trained(interval, monkeypatch):
    monkeypatch.setattr(steps, "INTERVAL", interval)
    heard = []
    experiment = build(SPEC, digits())
    prepare(experiment)
    records = list(fit(experiment, Progress(), heard.append))
    for record in records:
        del record["cost"]
    weights = [p.detach().clone() for p in experiment.model.parameters()]
    return records, weights, heard


def test_reports_change_no_number(monkeypatch):
    silent, weights, none = trained(1e9, monkeypatch)
    told, same, heard = trained(0.0, monkeypatch)
    assert none == []
    assert told == silent
    assert all(map(torch.equal, weights, same))
    per_epoch = -(-len(digits().train) // 256)
    assert [(r.epoch, r.step) for r in heard] == [
        (epoch, step + 1) for epoch in (1, 2) for step in range(per_epoch)
    ]
    assert heard[-1].loss == pytest.approx(silent[-1]["train_loss"])
