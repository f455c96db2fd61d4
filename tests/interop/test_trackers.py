"""Results in trackers: event files read back, and wandb's interface by a stub."""

from __future__ import annotations

import json
import shutil
import sys
import types
from pathlib import Path

import pytest

from eibench.interop.tracked import tracked_runs
from eibench.interop.trackers import LEDGER

WORDS = ("--to", "tensorboard", "--out", "board")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Results of two runs of two epochs."""
    import yaml
    from typer.testing import CliRunner

    from eibench.cli import app

    folder = tmp_path_factory.mktemp("tracked")
    model = {"name": "plain", "depth": 2, "width": 2, "pools": 2}
    base = {"method": "batchnorm", "model": model, "data": "digits", "timesteps": 1,
            "train": {"epochs": 2, "batch_size": 512}}  # fmt: skip
    suite = {"name": "tiny", "title": "Tiny", "base": base, "seeds": [0, 1]}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(suite))
    words = ["run", str(folder / "tiny.yaml"), "--results", str(folder / "results")]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    return folder / "results"


@pytest.fixture
def results(trained, project) -> Path:
    shutil.copytree(trained, "results")
    return Path("results")


def interrupt(results: Path) -> Path:
    """Take a run's record away, and its last epoch; return its folder."""
    folder = next(results.glob("tiny/*_s1_*"))
    (folder / "record.json").unlink()
    lines = (folder / "epochs.jsonl").read_text().splitlines(keepends=True)
    (folder / "epochs.jsonl").write_text(lines[0])
    return folder


def test_tensorboard_reads_the_numbers(cli, results):
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    done = cli("export", results, *WORDS)
    assert (done.code, done.out, done.err) == (0, "board: 2 runs, 2 new or changed\n", "")
    for run in tracked_runs(results):
        found = event_accumulator.EventAccumulator(str(Path("board/tiny") / run.run_id)).Reload()
        for name in ("train_loss", "validation_accuracy", "lr", "firing_rate/layer2"):
            events = found.Scalars(name)
            assert [e.step for e in events] == [1, 2]
            assert [e.value for e in events] == pytest.approx([e[name] for e in run.epochs])
        (accuracy,) = found.Scalars("result/test_accuracy")
        record = json.loads((results / "tiny" / run.run_id / "record.json").read_text())
        assert accuracy.value == pytest.approx(record["result"]["test_accuracy"])
        assert accuracy.step == 2 and accuracy.wall_time == run.ended > 1.7e9
        assert run.times[0] < run.times[1] <= run.ended
        data = found.summary_metadata["_hparams_/session_start_info"].plugin_data
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

        settings = HParamsPluginData.FromString(data.content).session_start_info.hparams
        assert settings["method"].string_value == "batchnorm"
        assert settings["train.epochs"].number_value == 2


def test_tensorboard_is_idempotent_and_follows_a_run(cli, results):
    folder = interrupt(results)
    assert cli("export", results, *WORDS).out.endswith("2 runs, 2 new or changed\n")
    files = {p: p.read_bytes() for p in Path("board").rglob("*") if p.is_file()}
    assert len(files) == 2
    assert cli("export", results, *WORDS).out.endswith("2 runs, 0 new or changed\n")
    assert cli("run", "tiny.yaml", "--results", results).code == 2  # no such suite here
    line = (folder / "epochs.jsonl").read_text()
    (folder / "epochs.jsonl").write_text(line + line.replace('"epoch": 1', '"epoch": 2'))
    assert cli("export", results, *WORDS).out.endswith("2 runs, 1 new or changed\n")
    assert files.keys() == {p for p in Path("board").rglob("*") if p.is_file()}


class Stub(types.ModuleType):
    """What eibench uses of wandb and trackio."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.runs: list[dict] = []

    def init(self, **arguments: object) -> None:
        self.runs.append({**arguments, "logged": []})

    def log(self, numbers: dict, step: int) -> None:
        assert all(type(value) is float for value in numbers.values())
        self.runs[-1]["logged"].append((step, numbers))

    def finish(self) -> None:
        self.runs[-1]["finished"] = True


@pytest.fixture(params=["wandb", "trackio"])
def tracker(request, monkeypatch) -> Stub:
    stub = Stub(request.param)
    stub.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, request.param, stub)
    for name in ("WANDB_DIR", "TRACKIO_DIR"):
        monkeypatch.setenv(name, "elsewhere")
    return stub


def test_a_tracker_gets_each_epoch_once(cli, results, tracker):
    folder = interrupt(results)
    words = ("export", results, "--to", tracker.__name__, "--project", "mine")
    done = cli(*words)
    assert (done.code, done.err) == (0, "") and done.out.endswith("2 runs, 2 new or changed\n")
    whole, part = tracker.runs
    assert whole["project"] == "mine" and whole["name"] in {
        f"tiny-{p.name}" for p in results.glob("tiny/*")
    }
    assert [step for step, _ in whole["logged"]] == [1, 2, 2] and whole["finished"]
    assert whole["config"]["method"] == "batchnorm" and whole["config"]["suite"] == "tiny"
    assert [step for step, _ in part["logged"]] == [1]
    assert part["config"]["status"] == "interrupted"
    if tracker.__name__ == "wandb":
        assert whole["id"] == whole["name"] and whole["mode"] == "offline"
    assert cli(*words).out.endswith("2 runs, 0 new or changed\n") and len(tracker.runs) == 2
    line = (folder / "epochs.jsonl").read_text()
    (folder / "epochs.jsonl").write_text(line + line.replace('"epoch": 1', '"epoch": 2'))
    assert cli(*words).out.endswith("2 runs, 1 new or changed\n")
    assert [step for step, _ in tracker.runs[2]["logged"]] == [2]
    assert cli(*words[:-1], "other").out.endswith("2 runs, 2 new or changed\n")


def test_bad_input_is_a_message(cli, results, tracker, monkeypatch):
    assert "no results here" in cli("export", "nothing", *WORDS).err
    name = tracker.__name__
    Path(name).mkdir()
    for text in ("{", "[]", '{"a": 1}', '{"a": {"epochs": -1}}'):
        (Path(name) / LEDGER).write_text(text)
        done = cli("export", results, "--to", name)
        assert done.code == 2 and "damaged (" in done.err and "delete it" in done.err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = cli("export", results, "--to", name)
    assert done.code == 2 and f"pip install 'eibench[{name}]'" in done.err


def test_text_and_numbers_of_strangers(cli, results):
    path = next(results.glob("tiny/*_s0_*/epochs.jsonl"))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**line, "\ud800": 10**400}) + "\n" for line in lines))
    plan = results / "tiny" / "plan.json"
    content = json.loads(plan.read_text())
    for run in content["runs"]:
        run["fields"]["note"] = "\ud800"
    plan.write_text(json.dumps(content))
    done = cli("export", results, *WORDS)
    assert (done.code, done.err) == (0, "")


def test_what_a_tracker_refuses_is_a_message(cli, results, tracker, monkeypatch):
    def refuse(**arguments):
        raise RuntimeError("Invalid project name")

    monkeypatch.setattr(tracker, "init", refuse)
    done = cli("export", results, "--to", tracker.__name__, "--project", "a/b")
    text = f"error: {tracker.__name__}, project 'a/b': Invalid project name\n"
    assert (done.code, done.err) == (2, text)
