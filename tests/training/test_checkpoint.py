"""A checkpoint resumes exactly, or the run starts over as if there were none."""

import copy
import dataclasses
import hashlib
import io
import json
import os
import random
from types import SimpleNamespace

import pytest
import torch
from tiny_training import tiny_data, trained

from eibench.data.base import Split
from eibench.execution.environment import SuiteSource
from eibench.execution.run_one import execute
from eibench.plan import RunSpec
from eibench.plan.suite import PlannedRun
from eibench.results.store import RunFolder
from eibench.training import checkpoint
from eibench.training.build import build


def tiny_spec(seed=0):
    model = {"name": "plain", "depth": 1, "width": 4, "pools": 1}
    train = {"epochs": 3, "batch_size": 8, "optimizer": "adamw"}
    values = {"method": "ei", "model": model, "data": "digits", "train": train, "seed": seed}
    return RunSpec.parse({**values, "timesteps": 2})


SPEC = tiny_spec()
WRONG = [None, 3, "text", [], {}, torch.zeros(2), float("nan")]


def run_in(path, data=None, on_epoch=lambda record: None, spec=SPEC):
    """The run's record and epochs, without what the clock says."""
    datasets = SimpleNamespace(device=torch.device("cpu"), get=lambda spec: data or tiny_data())
    folder = RunFolder(path / spec.run_id)
    planned = PlannedRun(spec.run_id, spec)
    record = execute(planned, SuiteSource("tiny"), folder, datasets, on_epoch)
    epochs = [{**epoch, "cost": 0} for epoch in folder.epochs()]
    return {key: record[key] for key in ("status", "reason", "result", "fields")}, epochs


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """An undisturbed run."""
    return run_in(tmp_path_factory.mktemp("fresh"))


@pytest.fixture
def half_way(tmp_path):
    """The folder of a run that was stopped after two of three epochs."""
    part, progress = trained(SPEC, epochs=2)
    for record in progress.history:
        record["cost"]["peak_memory_mib"] = 1.0
    folder = RunFolder(tmp_path / SPEC.run_id)
    checkpoint.save(folder.checkpoint, part, progress)
    folder.begin_epochs(progress.history)
    return folder


def read_state(path):
    """The digest with which a checkpoint begins, and its state."""
    content = path.read_bytes()
    digest, content = content[: checkpoint.DIGEST], content[checkpoint.DIGEST :]
    return digest, torch.load(io.BytesIO(content), weights_only=True)


def saved(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def places(value, path=()):
    """The place of every value within `value`, as keys."""
    inner = enumerate(value) if isinstance(value, list) else ()
    for key, part in value.items() if isinstance(value, dict) else inner:
        yield (*path, key)
        yield from places(part, (*path, key))


def within(state, path):
    for key in path:
        state = state[key]
    return state


def damages(state):
    """The state with one place deleted, replaced by each other type, or altered."""
    chance = random.Random(0)
    for path in places(state):
        for wrong in [*chance.sample([..., *WRONG], 2), "altered"]:
            damaged = copy.deepcopy(state)
            holder, key = within(damaged, path[:-1]), path[-1]
            found = holder[key]
            if wrong is ...:
                del holder[key]
            elif wrong != "altered" if isinstance(wrong, str) else True:
                if repr(wrong) == repr(found):
                    continue
                holder[key] = wrong
            elif isinstance(found, torch.Tensor):
                holder[key] = found[:-1] if found.dim() else found + 1
            elif isinstance(found, (int, float)):
                holder[key] = found + 1
            else:
                continue
            yield path, damaged


def test_every_part_that_is_damaged_is_noticed_and_the_run_starts_over(half_way, fresh, tmp_path):
    digest, state = read_state(half_way.checkpoint)
    experiment, started = build(SPEC, tiny_data()), set()
    count = 0
    for path, damaged in damages(state):
        half_way.checkpoint.write_bytes(digest + saved(damaged))
        with pytest.raises(checkpoint.Unusable, match="not a checkpoint of this run"):
            checkpoint.restore(half_way.checkpoint, experiment)
        count += 1
        if path[0] not in started:  # the whole run for one damage of each part
            started.add(path[0])
            assert run_in(tmp_path) == fresh, path
            (half_way.path / "record.json").unlink()
    assert count > 200
    assert len(started) > 5


def test_a_small_file_of_endless_many_values_is_refused(half_way):
    """Of lists that hold the same list twice: 2^60 values in 3 kB."""
    _, state = read_state(half_way.checkpoint)
    shared = [0]
    for _ in range(60):
        shared = [shared, shared]
    content = saved({**state, "progress": {**state["progress"], "history": shared}})
    half_way.checkpoint.write_bytes(hashlib.sha256(content).digest() + content)
    with pytest.raises(checkpoint.Unusable, match="more than 1000000 values"):
        checkpoint.restore(half_way.checkpoint, build(SPEC, tiny_data()))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_file_that_was_cut_or_altered(half_way, fresh, tmp_path, share):
    content = half_way.checkpoint.read_bytes()
    half_way.checkpoint.write_bytes(content[: int(share * len(content))])
    assert run_in(tmp_path) == fresh
    (half_way.path / "record.json").unlink()
    position = int(share * len(content))
    flipped = bytes([content[position] ^ 255])
    half_way.checkpoint.write_bytes(content[:position] + flipped + content[position + 1 :])
    assert run_in(tmp_path) == fresh


def test_a_run_that_another_command_has_ended_meanwhile_stays_as_it_is(fresh, tmp_path):
    """This one was suspended, wakes in its last epoch, and would have cut the other's files."""
    folder = RunFolder(tmp_path / SPEC.run_id)

    def end_elsewhere(record):
        if record["epoch"] == 1:
            assert run_in(tmp_path) == fresh
            stamps.update({p.name: p.stat().st_mtime_ns for p in folder.path.iterdir()})

    stamps = {}
    assert run_in(tmp_path, on_epoch=end_elsewhere) == fresh
    assert "checkpoint.pt" not in stamps
    assert stamps == {p.name: p.stat().st_mtime_ns for p in folder.path.iterdir()}


def test_a_whole_checkpoint_goes_on(half_way, fresh, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("eibench.execution.run_one.set_first_weights", None)  # it would start over
    assert run_in(tmp_path) == fresh
    assert not caplog.text


def test_a_link_in_its_place_is_not_followed(half_way, tmp_path):
    elsewhere = tmp_path / "elsewhere.pt"
    os.rename(half_way.checkpoint, elsewhere)
    before = elsewhere.read_bytes()
    (half_way.path / "checkpoint.pt").symlink_to(elsewhere)
    record, _ = run_in(tmp_path)
    assert record["status"] == "error"
    assert "checkpoint.pt: is a link" in record["reason"]
    assert elsewhere.read_bytes() == before


def other_data():
    data = tiny_data()
    return dataclasses.replace(data, train=Split(data.train.images, 1 - data.train.labels))


def test_other_data(half_way, tmp_path, caplog):
    """Labels swapped in the meantime: half learned the other way round, they would be a result."""
    expected = run_in(tmp_path / "fresh", other_data())
    assert run_in(tmp_path, other_data()) == expected
    (line,) = caplog.text.splitlines()
    assert "the data set has changed since it was saved); starting over" in line


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("VERSION", 4, "another version of eibench"),
        ("CODE_DIGEST", "0", "eibench's code has changed"),
        ("torch.__version__", "1.0.0", "another version of torch"),
    ],
)
def test_another_version(half_way, fresh, tmp_path, caplog, monkeypatch, name, value, words):
    monkeypatch.setattr(f"eibench.training.checkpoint.{name}", value)
    assert run_in(tmp_path) == fresh
    assert words in caplog.text


def test_one_of_an_older_eibench(half_way, fresh, tmp_path, caplog):
    torch.save(read_state(half_way.checkpoint)[1], half_way.checkpoint)
    assert run_in(tmp_path) == fresh
    assert "another version of eibench" in caplog.text


def test_one_of_another_run(half_way, fresh, tmp_path, caplog):
    part, progress = trained(tiny_spec(seed=5), epochs=1)
    checkpoint.save(half_way.checkpoint, part, progress)
    assert run_in(tmp_path) == fresh
    assert "of a run with other settings" in caplog.text


def test_too_little_memory_to_read_it_is_no_damage(half_way, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("torch.load", refuse)
    record, _ = run_in(tmp_path)
    assert record["status"] == "out_of_memory"
    assert half_way.checkpoint.exists()


# ------------------------------------------------------------- files that change under a run


def cut(folder):
    path = folder.path / "epochs.jsonl"
    path.write_bytes(path.read_bytes()[:-9])


def delete(folder):
    for path in sorted(folder.path.parent.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


TAMPERING = {
    "cut": cut,
    "removed": lambda folder: (folder.path / "epochs.jsonl").unlink(),
    "replaced": lambda folder: (folder.path / "epochs.jsonl").write_text('{"epoch": 7}\n'),
    "the folder deleted": delete,
}


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize("how", TAMPERING)
def test_epochs_are_written_again(fresh, tmp_path, how, epoch):
    folder = RunFolder(tmp_path / SPEC.run_id)

    def tamper(record):
        if record["epoch"] == epoch:
            TAMPERING[how](folder)

    assert run_in(tmp_path, on_epoch=tamper) == fresh
    assert {path.name for path in folder.path.iterdir()} == {
        "spec.yaml",
        "epochs.jsonl",
        "record.json",
    }


def test_a_listener_that_fails_is_no_failure_of_the_run(tmp_path, fresh):
    def full(record):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run_in(tmp_path, on_epoch=full)
    folder = RunFolder(tmp_path / SPEC.run_id)
    assert folder.record() is None
    assert json.loads((folder.path / "epochs.jsonl").read_text())["epoch"] == 1
    assert run_in(tmp_path) == fresh
