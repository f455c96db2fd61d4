"""What an actor does beside Ray: files of runs and plugins that travel, and the choice of slots.
None of it needs the package."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
from slot_kinds import CPU, SUITE, planned

from eibench.errors import UserError
from eibench.execution.ray_engine import SHARED, RayEngine, Request, _write_shared
from eibench.execution.ray_worker import (
    ClusterSettings,
    Mirror,
    PluginSource,
    RayWorker,
    SharedFile,
)
from eibench.execution.worker import RunRequest, Settings
from eibench.plan.plugins import load_plugin


def test_shared_storage_is_told_by_the_nonce(tmp_path):
    """A copy of the folder on another machine has an older nonce, or none."""
    first, second = _write_shared(tmp_path), _write_shared(tmp_path)
    assert first.is_visible() and second.is_visible()
    assert first.nonce != second.nonce
    assert not SharedFile(first.path, second.nonce).is_visible()
    first.path.unlink()
    assert not first.is_visible()


def test_files_of_killed_commands_are_removed(tmp_path):
    import os

    old, new = _write_shared(tmp_path), _write_shared(tmp_path)
    os.utime(old.path, (0, 0))
    last = _write_shared(tmp_path)
    assert {path.name for path in tmp_path.glob(f"{SHARED}*")} == {new.path.name, last.path.name}


def test_a_mirror_tells_what_changed(tmp_path):
    folder = tmp_path / "run"
    assert Mirror(folder).changes() == {}  # there is no folder yet
    folder.mkdir()
    (folder / "checkpoint.pt").write_bytes(b"1")
    mirror = Mirror(folder)
    assert mirror.changes() == {}
    (folder / "record.json").write_bytes(b"{}")
    (folder / "spec.yaml").write_bytes(b"s")
    (folder / ".spec.yaml.tmp").write_bytes(b"half")
    (folder / "checkpoint.pt").unlink()
    found = mirror.changes()
    assert list(found.items()) == [
        ("spec.yaml", b"s"),
        ("record.json", b"{}"),  # after all others: it says that the run has ended
        ("checkpoint.pt", None),
    ]
    assert mirror.changes() == {}
    (folder / "spec.yaml").write_bytes(b"longer")
    assert mirror.changes() == {"spec.yaml": b"longer"}


def test_a_plugin_is_its_own_file_or_a_copy(tmp_path):
    Path("mine.py").write_text("x = 1\n")
    source = PluginSource.of(load_plugin("mine.py"))
    assert source.local_entry(tmp_path / "there") == str(Path("mine.py").resolve())
    Path("mine.py").write_text("x = 2\n")  # another machine has another version
    copy = Path(source.local_entry(tmp_path / "there"))
    assert copy.name == "mine.py"
    assert copy.read_text() == "x = 1\n"
    assert copy.is_relative_to(tmp_path / "there")
    assert PluginSource("installed").local_entry(tmp_path) == "installed"


def worker(shared, code="a"):
    settings = Settings("cpu", 1, [], None)
    return RayWorker(ClusterSettings(settings, [], ["run"], "nowhere", None, shared, code))


def request(folder):
    run = planned()
    return RunRequest(run.run_id, run.spec.to_dict(), None, None, SUITE, folder / run.run_id)


def test_where_nothing_is_shared_a_run_goes_on_from_files_that_were_sent(tmp_path):
    here = worker(SharedFile(tmp_path / "nowhere", "nonce"))
    for content in (b"first", b"second"):
        here.send(request(tmp_path), {"checkpoint.pt": content})
        sent = here.pipe.recv()
        assert not sent.folder.is_relative_to(tmp_path)
        assert [path.read_bytes() for path in sent.folder.iterdir()] == [content]
    here.send(True, {})
    assert here.pipe.recv() is True
    here.pipe.send(("step", 1))
    here.pipe.send(("epoch", {}))
    assert [here.receive()[0] for _ in range(3)] == ["step", "files", "epoch"]
    assert list(tmp_path.iterdir()) == []


def test_where_files_are_shared_none_travels(tmp_path):
    here = worker(_write_shared(tmp_path))
    here.send(request(tmp_path), {})
    assert here.pipe.recv().folder == tmp_path / planned().run_id
    here.pipe.send(("epoch", {}))
    assert here.receive() == ("epoch", {})


def test_another_eibench_on_a_node(tmp_path):
    problem, _ = worker(_write_shared(tmp_path), code="that of the command").prepare()
    assert problem == "eibench's code on a node of the cluster is not that of this command"


# --------------------------------------------------------------------- the choice of slots

NODES = [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 4.0}, {"CPU": 3.0, "GPU": 1.0}]


@pytest.mark.parametrize(
    ("wishes", "jobs", "gpus"),
    [
        ({}, 3, 1.0),
        ({"gpus_per_run": 0.5}, 6, 0.5),
        ({"gpus_per_run": 0.5, "cpus_per_run": 3}, 3, 0.5),  # 2 + 0 + 1
        ({"gpus_per_run": 0}, 15, 0.0),
        ({"device": "cpu"}, 15, 0.0),
        ({"device": "cpu", "cpus_per_run": 4}, 3, 0.0),
        ({"device": "cuda", "gpus_per_run": 2}, 1, 2),
        ({"jobs": 40}, 40, 1.0),  # those without room wait
    ],
)
def test_as_many_runs_as_the_nodes_have_room_for(wishes, jobs, gpus):
    engine = RayEngine(Request(**wishes))
    engine._choose(NODES)
    assert (engine.jobs, engine.gpus, engine.device) == (jobs, gpus, CPU)
    few = RayEngine(Request(**wishes), runs=2)
    few._choose(NODES)
    assert few.jobs == (wishes.get("jobs") or min(jobs, 2))


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"gpus_per_run": 3}, "1 of CPU, 3 of GPU"),
        ({"device": "cpu", "cpus_per_run": 9}, "9 of CPU"),
    ],
)
def test_no_node_is_large_enough(wishes, words):
    with pytest.raises(UserError, match="no node of the cluster has what a run asks for") as caught:
        RayEngine(Request(**wishes))._choose(NODES)
    assert f"({words})" in str(caught.value)


# --------------------------------------------------------------------- the command line


@pytest.mark.parametrize("command", ["run", "probe"])
def test_without_ray(cli, project, monkeypatch, command):
    monkeypatch.setitem(sys.modules, "ray", None)
    done = cli(command, project.suite(), "--engine", "ray")
    assert done.code == 2
    assert done.errors == ["--engine ray needs the package ray: pip install 'eibench[ray]'"]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", "--engine ray: no cluster at 127.0.0.1:1: "),
        ("ray://127.0.0.1:1", "--engine ray: no cluster at ray://127.0.0.1:1: "),
        ("here", "--address here: must be HOST:PORT, auto or local"),
        ("here:70000", "--address here:70000: must be HOST:PORT, auto or local"),
    ],
)
def test_no_cluster_at_the_address(cli, project, monkeypatch, address, words):
    """Found out without Ray, which would try for minutes."""
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    done = cli("run", project.suite(), "--engine", "ray", "--address", address)
    assert done.code == 2
    (error,) = done.errors
    assert error.startswith(words)
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert cli("run", project.suite(), "--engine", "ray").errors == [error]
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--jobs=0"], "--jobs 0: must be a whole number from 1 to 1024, or auto"),
        (["--jobs=all"], "--jobs all: must be a whole number from 1 to 1024, or auto"),
        (["--address=here:1"], "--address: only with --engine ray"),
        (["--gpus-per-run=1"], "--gpus-per-run: only with --engine ray"),
        (["--cpus-per-run=2"], "--cpus-per-run: only with --engine ray"),
        (["--engine=ray", "--device=cpu", "--gpus-per-run=1"], "runs with --device cpu use none"),
        (
            ["--engine=ray", "--device=cuda", "--gpus-per-run=0"],
            "--device cuda need a GPU",
        ),
        (["--engine=ray", "--gpus-per-run=1.5"], "1.5 is neither below 1 nor a whole number"),
        (["--engine=ray", "--gpus-per-run=-1"], "greater than or equal to 0"),
        (["--engine=ray", "--cpus-per-run=0"], "equal to 0.01"),
        (["--engine=ray", "--cpus-per-run=inf"], "inf is not a finite number"),
        (["--engine=ray", "--cpus-per-run=nan"], "equal to 0.01"),
        (["--engine=spark"], "'spark' is not one of 'local', 'ray'"),
    ],
)
def test_options_that_are_refused(cli, project, options, words):
    done = cli("run", project.suite(), *options)
    assert done.code == 2
    assert words in " ".join(done.err.split())
    assert not Path("results").exists()


def test_a_run_with_as_many_jobs_as_are_of_use(cli, project):
    """One run needs no process of its own."""
    suite = project.suite(grid={"model.depth": [1]}, base={"method": "batchnorm"})
    assert cli("run", suite, "--jobs", "auto").code == 0
    (record,) = project.records().values()
    assert record["environment"]["slot"] == "process"
