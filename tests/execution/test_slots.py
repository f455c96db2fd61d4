"""The contract of slots: whatever computes runs gives the same records, hears `Stop`, loses no run
and goes on after failures. Ray runs on a cluster of this machine, each node with room for one run.
"""

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from plugin_state import plugins_taken_away
from slot_kinds import (
    CPU,
    VALUES,
    Kind,
    add_node,
    local,
    lose,
    on_cluster,
    planned,
    ray_cluster,
    reference,
    remove_node,
    unseen,
)

from eibench.execution import ray_engine
from eibench.execution.dataset_cache import DatasetCache
from eibench.execution.slots import Stop
from eibench.plan.plugins import load_plugin

CLUSTER = ("ray", "ray, nothing shared")
LOSABLE = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("worker", *CLUSTER)]
KINDS = ("process", *LOSABLE)
PLUGIN = """
from dataclasses import dataclass
from eibench.methods.norms import BatchNorm, BatchNormOptions
from eibench.plugins import add_method

class MineOptions(BatchNormOptions):
    \"\"\"A method of this file.\"\"\"

    name = "mine"
    fails: bool = False

@dataclass(frozen=True, kw_only=True)
class Mine(BatchNorm):
    options: MineOptions

    def norm(self, channels, branches):
        if self.options.fails:
            raise ValueError("it fails")
        return super().norm(channels, branches)

add_method(MineOptions, Mine)
"""
pytestmark = pytest.mark.usefixtures("forked_workers")


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with ray_cluster() as found:
        yield found


@pytest.fixture(scope="module")
def kind(request, tmp_path_factory):
    """Slots of a kind, two of them unless they are this process, with a folder for results."""
    name, folder = request.param, tmp_path_factory.mktemp("slots")
    (folder / "mine.py").write_text(PLUGIN)
    results = folder / "results"
    results.mkdir()
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        stack.enter_context(plugins_taken_away())
        plugin = load_plugin("mine.py", folder)
        patch.setenv("EIBENCH_DATA", str(folder / "data"))
        (folder / "data").mkdir()
        if name == CLUSTER[1]:
            patch.setattr(ray_engine, "_write_shared", unseen)
        if name in CLUSTER:
            engine = stack.enter_context(on_cluster(request.getfixturevalue("cluster")))
        else:
            engine = local(1 if name == "process" else 2)
        slots = stack.enter_context(engine.open(DatasetCache(CPU), [plugin], results))
        assert slots.count == engine.jobs
        yield Kind(name, slots, results, folder / "mine.py")
    assert not list(results.glob(".*"))


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_records_are_those_of_a_local_run(kind, tmp_path):
    runs = [planned(seed, train={**VALUES["train"], "keep": "best"}) for seed in range(3)]
    heard, left = [], list(runs)

    def work(run):
        return kind.execute(run, lambda record: heard.append(record["epoch"]))

    records = dict(kind.slots.each(work, lambda: left.pop() if left else None))
    assert sorted(heard) == [1, 1, 1, 2, 2, 2]
    for run in runs:
        assert kind.written(run) == reference(run, tmp_path)
        assert kind.files(run).record() == records[run]
        place = records[run]["environment"]
        assert place["slot"].split()[0] == kind.name.split(",")[0]
        assert place["host"].startswith("host-")
        assert "requeued" not in place


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_a_run_that_is_stopped_goes_on_later(kind, tmp_path):
    def stop(record):
        raise Stop

    run, heard = planned(3), []
    files = kind.files(run)
    with pytest.raises(Stop):
        kind.execute(run, stop)
    assert files.record() is None
    assert [record["epoch"] for record in files.epochs()] == [1]
    assert files.checkpoint.exists()
    kind.execute(run, lambda record: heard.append(record["epoch"]))
    assert heard == [1, 2]  # the one before is told again
    assert kind.written(run) == reference(run, tmp_path)


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_what_fails_in_a_run_is_its_record(kind, tmp_path):
    """A data set that is not there, and a plugin's error; the slot goes on with the next run."""
    load_plugin(str(kind.plugin))
    for run, words in (
        (planned(data="cifar10"), "cifar10"),
        (planned(method={"name": "mine", "fails": True}), "it fails"),
    ):
        record = kind.execute(run)
        assert record["status"] == "error"
        assert words in record["reason"]
        assert record == kind.files(run).record()
    assert kind.execute(planned(4))["status"] == "ok"


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_plugins_travel(kind, tmp_path):
    load_plugin(str(kind.plugin))
    run = planned(method="mine")
    record = kind.execute(run)
    assert (record["status"], record["reason"]) == ("ok", None)
    assert list(record["environment"]["plugins"]) == ["method"]
    assert kind.written(run) == reference(run, tmp_path)


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_an_error_of_the_listener_passes(kind):
    def fail(record):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        kind.execute(planned(5), fail)
    assert kind.execute(planned(5))["status"] == "ok"


@pytest.mark.parametrize("kind", LOSABLE, indirect=True)
def test_a_run_whose_slot_is_lost_goes_on_elsewhere(kind, tmp_path):
    run, heard = planned(6), []

    def lose_once(record):
        heard.append(record["epoch"])
        if len(heard) == 1:
            lose(kind.slot_of(run))

    record = kind.execute(run, lose_once)
    assert heard == [1, 1, 2]  # the second attempt starts from the first one's checkpoint
    assert record["environment"]["requeued"] == 1
    assert kind.written(run) == reference(run, tmp_path)


@pytest.mark.parametrize("kind", LOSABLE[:2], indirect=True)
def test_a_run_that_loses_every_slot_has_a_record(kind):
    run = planned(7)
    record = kind.execute(run, lambda record: lose(kind.slot_of(run)))
    assert record["status"] == "error"
    assert record["reason"].endswith(", in each of 3 attempts")
    assert record["environment"]["requeued"] == 2
    assert kind.files(run).record() == record
    assert kind.execute(run)["status"] == "ok"  # from its checkpoint


@pytest.mark.slow
@pytest.mark.parametrize("kind", CLUSTER[1:], indirect=True)
def test_a_node_that_dies_loses_nothing_and_a_new_one_takes_work(kind, cluster, tmp_path, caplog):
    runs, begun = [planned(seed) for seed in (8, 9, 10)], threading.Semaphore(0)
    left, killed = list(runs), threading.Event()

    def wait_for_death(record):
        begun.release()
        assert killed.wait(120)

    def execute_all():
        work = partial(kind.execute, on_epoch=wait_for_death)
        return dict(kind.slots.each(work, lambda: left.pop() if left else None))

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(execute_all)
        assert begun.acquire(timeout=120) and begun.acquire(timeout=120)  # both train
        remove_node(cluster)
        add_node(cluster)
        killed.set()
        records = ended.result()
    assert sum(record["environment"].get("requeued", 0) for record in records.values()) == 1
    assert "the node that ran it died; it is tried again" in caplog.text
    assert [kind.written(run) for run in runs] == [reference(run, tmp_path) for run in runs]
