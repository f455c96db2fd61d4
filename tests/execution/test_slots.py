"""The contract of slots: whatever computes runs gives records, hears `Stop` and can be closed."""

import pytest
import torch

from eibench.execution.dataset_cache import DatasetCache
from eibench.execution.environment import SuiteSource
from eibench.execution.slots import Stop
from eibench.execution.workers import open_slots
from eibench.plan import RunSpec
from eibench.plan.suite import PlannedRun
from eibench.results.store import RunFolder

SUITE = SuiteSource("tiny")


def run(seed):
    spec = RunSpec.parse(
        {
            "method": "batchnorm",
            "model": {"name": "plain", "depth": 1, "width": 4, "pools": 1},
            "data": "digits",
            "seed": seed,
            "timesteps": 1,
            "train": {"epochs": 2, "batch_size": 512},
        }
    )
    return PlannedRun(spec.run_id, spec)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_slots(jobs, tmp_path):
    heard = []

    def work(planned):
        folder = RunFolder(tmp_path / planned.run_id)
        return slots.execute(planned, SUITE, folder, lambda epoch: heard.append(epoch["epoch"]))

    def stop(epoch):
        raise Stop

    left = [run(0), run(1), run(2)]
    with open_slots(jobs, DatasetCache(torch.device("cpu"))) as slots:
        assert slots.count == jobs
        records = dict(slots.each(work, lambda: left.pop() if left else None))
        assert {planned.spec.seed for planned in records} == {0, 1, 2}
        for planned, record in records.items():
            assert record["status"] == "ok"
            assert RunFolder(tmp_path / planned.run_id).record() == record
        assert sorted(heard) == [1, 1, 1, 2, 2, 2]
        stopped = run(3)
        with pytest.raises(Stop):
            slots.execute(stopped, SUITE, RunFolder(tmp_path / stopped.run_id), stop)
        assert RunFolder(tmp_path / stopped.run_id).record() is None
