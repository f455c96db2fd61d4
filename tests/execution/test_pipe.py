"""The other end of a pipe: a process that dies, goes silent or ignores us, and a listener that
fails, without a real process."""

from types import SimpleNamespace

import pytest
import torch

from eibench.execution import worker
from eibench.execution.environment import SuiteSource
from eibench.execution.slots import SlotLost, Stop
from eibench.execution.worker import Settings
from eibench.execution.workers import WorkerProcess
from eibench.plan import RunSpec
from eibench.plan.suite import PlannedRun
from eibench.results.store import RunFolder

VALUES = {
    "method": "batchnorm",
    "model": {"name": "plain", "depth": 1, "width": 4, "pools": 1},
    "data": "digits",
}
SPEC = RunSpec.parse(VALUES)
SUITE = SuiteSource("tiny", {"dirty": True})


class Pipe:
    """Gives messages one after another; `None` is a poll in vain, an exception is raised."""

    def __init__(self, *messages):
        self.messages, self.sent = list(messages), []

    def send(self, message):
        self.sent.append(message)

    def poll(self, timeout=0.0):
        if self.messages and self.messages[0] is None:
            self.messages.pop(0)
            return False
        return bool(self.messages)

    def recv(self):
        message = self.messages.pop(0)
        if isinstance(message, Exception):
            raise message
        return message


class Child:
    """Stands for a process; `stubborn` ones have to be killed."""

    def __init__(self, alive=True, stubborn=False, exitcode=1):
        self.alive, self.stubborn, self.exitcode, self.calls = alive, stubborn, exitcode, []

    def is_alive(self):
        return self.alive

    def join(self, timeout):
        self.calls.append("join")

    def terminate(self):
        self.calls.append("terminate")
        self.alive = self.alive and self.stubborn

    def kill(self):
        self.calls.append("kill")
        self.alive = False


@pytest.fixture
def execute(tmp_path):
    def call(pipe, child, on_epoch=lambda record: None):
        process = WorkerProcess(Settings("cpu", 1, [], None))
        process.pipe, process.process = pipe, child
        run = PlannedRun(SPEC.run_id, SPEC)
        try:
            return process.execute(run, SUITE, RunFolder(tmp_path / SPEC.run_id), on_epoch)
        finally:
            call.process = process

    return call


def test_a_record_comes_back(execute):
    heard = []
    pipe = Pipe(None, ("epoch", {"epoch": 1}), ("record", {"status": "ok"}))
    assert execute(pipe, Child(), heard.append) == {"status": "ok"}
    assert heard == [{"epoch": 1}]
    assert pipe.sent[1:] == [True]


def test_a_run_that_is_stopped(execute):
    def stop(record):
        raise Stop

    pipe = Pipe(("epoch", {}), ("stopped", None))
    with pytest.raises(Stop):
        execute(pipe, Child(), stop)
    assert pipe.sent[1:] == [False]


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), EOFError(), ValueError()]
)
def test_an_error_of_the_listener_is_its_own_and_the_process_is_ended(execute, error):
    """The journal's full disk, which is no death of the process."""

    def fail(record):
        raise error

    child = Child(stubborn=True)
    with pytest.raises(type(error)):
        execute(Pipe(("epoch", {})), child, fail)
    assert child.calls == ["terminate", "join", "kill", "join"]
    assert execute.process.process is None  # the next run gets a new one


def test_a_record_that_could_not_be_written(execute):
    with pytest.raises(OSError, match="No space") as caught:
        execute(Pipe(("unwritten", (28, "No space left on device", "x.json"))), Child())
    assert caught.value.filename == "x.json"


def test_what_failed_before_the_run_is_its_record(execute):
    record = execute(Pipe(("failed", "a plugin's code has changed")), Child())
    assert (record["status"], record["reason"]) == ("error", "a plugin's code has changed")
    assert record["environment"]["dirty"] is True


@pytest.mark.parametrize(
    ("pipe", "child", "cause"),
    [
        (Pipe(EOFError()), Child(alive=False, exitcode=0), "exit code 0"),
        (Pipe(ConnectionResetError()), Child(alive=False, exitcode=-11), "signal 11"),
        (
            Pipe(None, None),
            Child(alive=False, exitcode=3),
            "exit code 3",
        ),  # its child holds it open
        (Pipe(EOFError()), Child(alive=True, stubborn=True), "it no longer answered"),
    ],
)
def test_a_death_is_the_loss_of_the_slot(execute, pipe, child, cause):
    with pytest.raises(SlotLost) as lost:
        execute(pipe, child)
    assert str(lost.value) == f"the process that ran it died ({cause})"
    assert lost.value.again
    assert execute.process.process is None
    assert not child.alive


def test_a_process_that_was_killed_is_not_tried_again(execute):
    with pytest.raises(SlotLost, match="needs too much memory") as lost:
        execute(Pipe(EOFError()), Child(alive=False, exitcode=-9))
    assert not lost.value.again


def test_it_is_ended_once_and_for_all(execute):
    child = Child()
    process = WorkerProcess(Settings("cpu", 1, [], None))
    process.process = child
    process.end()
    process.end()
    assert child.calls == ["terminate", "join"]
    with pytest.raises(KeyboardInterrupt):
        process._start_process()


def served(project_job, datasets=None):
    pipe = Pipe()
    return worker._served(pipe, datasets or SimpleNamespace(), [], project_job)


def test_a_run_whose_plugin_has_changed_is_not_executed(tmp_path):
    job = worker.RunRequest("other_id", SPEC.to_dict(), None, None, SUITE, tmp_path)
    assert served(job) == ("failed", "a plugin's code has changed since the command began")


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit(), ValueError("no")])
def test_data_that_exit_are_a_record(tmp_path, error):
    def get(spec):
        raise error

    job = worker.RunRequest(SPEC.run_id, SPEC.to_dict(), None, None, SUITE, tmp_path)
    kind, record = served(job, SimpleNamespace(get=get, device=torch.device("cpu")))
    assert kind == "record"
    assert record["reason"].startswith(type(error).__name__)
