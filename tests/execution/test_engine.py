"""Where slots are and how many: GPUs in turn, `--jobs auto`, and slots that come late or not at
all. There is no GPU here; the number of devices is a stand-in."""

import os

import pytest
import torch
from slot_kinds import CPU, SUITE, planned

from eibench.cli.engine import EngineChoice, EngineName
from eibench.cli.options import Device
from eibench.errors import UserError
from eibench.execution import engine, slots
from eibench.execution.dataset_cache import DatasetCache
from eibench.execution.device import VISIBLE, gpus_of_jobs
from eibench.execution.engine import LocalEngine
from eibench.execution.slots import Slot, SlotLost, Slots, ThisProcess
from eibench.execution.workers import _seeing
from eibench.results.store import RunFolder

CUDA = torch.device("cuda")


@pytest.fixture
def gpus(monkeypatch):
    """`gpus(3, "4,5,6")`: so many devices, and what names them."""

    def set_up(count, visible=None):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        if visible is None:
            monkeypatch.delenv(VISIBLE, raising=False)
        else:
            monkeypatch.setenv(VISIBLE, visible)

    return set_up


@pytest.mark.parametrize(
    ("count", "visible", "jobs", "expected"),
    [
        (2, None, 2, ["0", "1"]),
        (2, None, 5, ["0", "1", "0", "1", "0"]),
        (4, None, 2, ["0", "1"]),
        (2, "3, 1", 3, ["3", "1", "3"]),
        (2, "GPU-aa,GPU-bb", 2, ["GPU-aa", "GPU-bb"]),
        (1, "7,99", 2, ["7", "7"]),  # torch stops at the first that is not there
    ],
)
def test_processes_have_gpus_in_turn(gpus, count, visible, jobs, expected):
    gpus(count, visible)
    assert gpus_of_jobs(CUDA, jobs) == expected
    assert gpus_of_jobs(CPU, jobs) == [None] * jobs


def test_each_process_sees_its_gpu_alone(gpus, monkeypatch):
    gpus(2, "4,5")
    opened = LocalEngine(CUDA, 3).open(DatasetCache(CPU), (), None)
    assert [(slot.gpu, slot.name) for slot in opened.slots] == [
        ("4", "worker 1"),
        ("5", "worker 2"),
        ("4", "worker 3"),
    ]
    assert {slot.settings.device for slot in opened.slots} == {"cuda"}
    with _seeing("5"):
        assert os.environ[VISIBLE] == "5"
    assert os.environ[VISIBLE] == "4,5"
    monkeypatch.delenv(VISIBLE)
    with _seeing("1"):
        assert os.environ[VISIBLE] == "1"
    assert VISIBLE not in os.environ


def test_as_many_jobs_as_are_of_use(gpus, monkeypatch):
    gpus(4)
    assert LocalEngine(CUDA, None, 10).jobs == 4
    assert LocalEngine(CUDA, None, 3).jobs == 3
    monkeypatch.setattr(engine, "available_cores", lambda: 8)
    monkeypatch.setattr(engine, "memory_bytes", lambda: 64 * 2**30)
    assert LocalEngine(CPU, None, 100).jobs == 8
    assert LocalEngine(CPU, None, 1).jobs == 1
    monkeypatch.setattr(engine, "memory_bytes", lambda: 7 * 2**30)
    assert LocalEngine(CPU, None).jobs == 3
    monkeypatch.setattr(engine, "memory_bytes", lambda: 2**30)
    assert LocalEngine(CPU, None).jobs == 1
    (slot,) = LocalEngine(CPU, None).open(DatasetCache(CPU), (), None).slots
    assert isinstance(slot, ThisProcess)


class Stub(Slot):
    """A slot that is lost as often as it is told to, then gives a record."""

    def __init__(self, name, losses=0, again=True, problem=None):
        self.name, self.losses, self.again, self.problem = name, losses, again, problem
        self.ready, self.starts = problem is None, 0

    def start(self):
        self.starts += 1
        if self.problem:
            raise self.problem
        self.ready = True

    def execute(self, run, suite, folder, on_epoch, on_step=None):
        if self.losses:
            self.losses -= 1
            self.ready = False
            raise SlotLost("its place was lost", self.again)
        return {"status": "ok", "state": suite.state}

    def end(self):
        pass


def execute(found, tmp_path):
    run = planned()
    return found.execute(run, SUITE, RunFolder(tmp_path / run.run_id), lambda record: None)


@pytest.mark.parametrize("losses", [0, 1, 2])
def test_a_run_is_tried_three_times(losses, tmp_path):
    slot = Stub("a", losses)
    record = execute(Slots([slot]), tmp_path)
    requeued = {"requeued": losses} if losses else {}
    assert record == {"status": "ok", "state": {"slot": "a", **requeued}}
    assert slot.starts == losses


@pytest.mark.parametrize(
    ("again", "reason"),
    [(True, "its place was lost, in each of 3 attempts"), (False, "its place was lost")],
)
def test_then_it_is_an_error(again, reason, tmp_path):
    record = execute(Slots([Stub("a", 3, again)]), tmp_path)
    assert (record["status"], record["reason"]) == ("error", reason)
    assert record["environment"].get("requeued") == (2 if again else None)


def test_why_no_slot_will_ever_be_ready(tmp_path):
    found = Slots([Stub("a", problem=UserError("no eibench there"))])
    for _ in range(2):  # threads of several runs hear of it
        with pytest.raises(UserError, match="no eibench there"):
            execute(found, tmp_path)


def test_waiting_for_a_slot_is_said_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(slots, "PATIENCE", 0.0)
    found = Slots([])
    for name in ("a", "b"):
        slot = Stub(name)
        real = found.idle.get
        monkeypatch.setattr(found, "idle", _Late(found.idle, slot))
        assert execute(found, tmp_path)["state"]["slot"] == name
        monkeypatch.setattr(found, "idle", found.idle.real)
        real()
    assert [r.message for r in caplog.records] == ["runs wait until the cluster has room for them"]


class _Late:
    """A queue into which a slot is put when it is waited for without end."""

    def __init__(self, real, slot):
        self.real, self.slot = real, slot

    def get(self, timeout=None):
        if timeout is None:
            self.real.put(self.slot)
        return self.real.get(timeout=timeout)

    def put(self, item):
        self.real.put(item)


def test_what_is_cleaned_up_last():
    done = []
    with Slots([Stub("a")], clean_up=lambda: done.append("cleaned")):
        assert done == []
    assert done == ["cleaned"]


@pytest.mark.parametrize(
    ("engine", "device", "here"),
    [("ray", "cuda", "auto"), ("ray", "cpu", "cpu"), ("local", "cuda", "cuda")],
)
def test_a_cluster_has_its_gpus_elsewhere(engine, device, here):
    choice = EngineChoice.read(EngineName(engine), Device(device), None, None, None, 1)
    assert choice.device_here is Device(here)
