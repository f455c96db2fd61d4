"""Results that were damaged or made up: read as a table or refused in one message, nothing else."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from pathlib import Path

import optuna
import pytest

from eibench.errors import UserError
from eibench.report.figures.draw import make_figures
from eibench.report.make import render
from eibench.report.model.layers import make_pivots
from eibench.report.model.search_results import read_searches
from eibench.results.frame import load_layers, load_results
from eibench.results.paths import JOURNAL
from eibench.search.journal import open_journal
from tests.fuzz.mutate import count, mutated_bytes, mutated_data
from tests.report.conftest import RATE, FakeSearch, FakeSuite

FORMATS = ("table", "markdown", "latex", "macros", "csv", "json")
EPOCH = {
    "epoch": 1,
    "train_loss": 2.0,
    "train_accuracy": 30.0,
    "validation_loss": 1.5,
    "validation_accuracy": 40.0,
    "lr": 0.1,
    "firing_rate_by_layer": [0.1, 0.2],
    "cost": {"train_seconds": 1.0, "evaluation_seconds": 0.5, "peak_memory_mib": 100.0},
}
LINES = [
    {"op_code": 0, "worker_id": "w", "study_name": "s", "directions": [2]},
    {"op_code": 4, "worker_id": "w", "study_id": 0, "datetime_start": "2026-01-01T00:00:00.000000"},
    {"op_code": 8, "worker_id": "w", "trial_id": 0, "user_attr": {"reason": "diverged"}},
    {"op_code": 7, "worker_id": "w", "trial_id": 0, "step": 1, "intermediate_value": 40.0},
    {
        "op_code": 6,
        "worker_id": "w",
        "trial_id": 0,
        "state": 1,
        "values": [50.0],
        "datetime_complete": "2026-01-01T00:01:00.000000",
    },
]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A suite with ablations, probes, an interrupted run, and a search with its winners."""
    root = tmp_path / "results"
    suite = FakeSuite(root, "ablated", axes=["ablation"], same=[["ei", "no_norm"]])
    for seed in (0, 1, 2):
        suite.run(90.0 + seed, seed=seed, ablation="base")
        suite.run(80.0 + seed, seed=seed, ablation="no kappa", train={"lr": 0.3})
    suite.fail("diverged", "epoch 3: loss is nan", seed=3, ablation="base")
    begun = suite.plan(seed=4, ablation="base")
    begun.path.mkdir()
    for n in (1, 2):
        begun.append_epoch({**EPOCH, "epoch": n})
    probes = FakeSuite(root, "probes", kind="probe")
    probes.probe([1.0, 0.1], "ei", 2)
    probes.probe([1.0, 0.0, 2.0], "no_norm", 3)
    search = FakeSearch(root, "searched")
    search.study("ei, depth 4", {"method": "ei", "model.depth": 4}, {"train.lr": RATE})
    search.trial(95.0, {"train.lr": 0.1})
    search.trial(97.5, {"train.lr": 0.3})
    search.confirm([96.0, 97.0, 98.0])
    return root


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file of the user's, beside the results."""
    path = tmp_path / "precious"
    path.write_text("{}")
    return path


def damage(path: Path, outside: Path, chance: random.Random) -> None:
    """Damage the file at `path`, or put something else in its place."""
    content, kind = path.read_bytes(), chance.random()
    if kind < 0.55:
        lines = path.suffix == ".jsonl"
        data = [json.loads(x) for x in content.splitlines()] if lines else json.loads(content)
        changed = mutated_data(data, chance)
        values = changed if lines and isinstance(changed, list) else [changed]
        path.write_text("\n".join(map(json.dumps, values)) + "\n", errors="surrogatepass")
    elif kind < 0.9:
        path.write_bytes(mutated_bytes(content, chance))
    else:
        path.unlink()
        other = chance.choice(["nothing", "folder", "link", "linked folder", "pipe", "deep", "bom"])
        if other == "folder":
            path.mkdir()
        elif other == "link":
            path.symlink_to(outside)
        elif other == "linked folder":
            moved = outside.parent / f"moved-{path.parent.name}"
            path.parent.rename(moved)
            path.parent.symlink_to(moved)
        elif other == "pipe":
            os.mkfifo(path)
        elif other == "deep":
            path.write_text("[" * 10_000)
        elif other == "bom":
            path.write_bytes(b"\xef\xbb\xbf" + content)


def read(root: Path, i: int) -> None:
    """Read what a user would, in one of the ways."""
    form = FORMATS[i % len(FORMATS)]
    if i % 7 == 6:
        frame = load_results(root)
        if "test_accuracy" in frame:
            assert frame["test_accuracy"].dropna().between(0, 100).all()
        if (frame["status"] == "ok").all() and root.name == "probes":
            load_layers(root)
        return
    tables = make_pivots([root], None)
    text = render(tables, form, searches=read_searches([root]))  # type: ignore[arg-type]
    if form != "csv":
        assert text.replace("\n", "").isprintable()
    text.encode()
    if i % 100 == 99:
        for drawn in make_figures([root], None):
            assert all(path.is_relative_to(root) for path in drawn.paths)


def test_damaged_results_are_read_or_refused(results: Path, outside: Path, tmp_path: Path):
    files = sorted(p for p in results.rglob("*") if p.is_file())
    read(results, 4)
    whole = tmp_path / "whole"
    shutil.copytree(results, whole)
    refused = 0
    for i in range(count(500)):
        chance = random.Random(i)
        path = chance.choice(files)
        damage(path, outside, chance)
        began = time.monotonic()
        try:
            read(results / path.relative_to(results).parts[0], i)
        except UserError as error:
            refused += "results" in str(error)
        except Exception as error:
            raise AssertionError(f"results {i}: {path.name}: {type(error).__name__}") from error
        assert time.monotonic() - began < 90, f"results {i}: {path}"
        assert outside.read_text() == "{}"
        for moved in tmp_path.glob("moved-*"):
            # a suite's own folder may be a link: figures are drawn into it, and nothing else
            assert records_in(moved) <= records_in(whole / path.parent.relative_to(results))
            shutil.rmtree(moved)
        restore(results, whole, path)
    assert refused > count(500) / 4  # most, but for tables of an unlikely shape


def records_in(folder: Path) -> set[Path]:
    """Return the paths of all that is in `folder` but figures, relative to it."""
    found = {path.relative_to(folder) for path in folder.rglob("*")}
    return {path for path in found if path.parts[0] != "figures"}


def restore(results: Path, whole: Path, path: Path) -> None:
    """Put back the folder of `path`."""
    folder = path.parent
    folder.unlink() if folder.is_symlink() else shutil.rmtree(folder)
    shutil.copytree(whole / folder.relative_to(results), folder)


def test_damaged_journals_are_opened_or_refused(tmp_path: Path):
    whole = "".join(json.dumps(line) + "\n" for line in LINES).encode()
    for i in range(count(500) // 5):
        chance, folder = random.Random(i), tmp_path / str(i)
        folder.mkdir()
        if chance.random() < 0.5:
            lines = mutated_data(LINES, chance)
            lines = lines if isinstance(lines, list) else [lines]
            content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        else:
            content = mutated_bytes(whole, chance)
        (folder / JOURNAL).write_bytes(content)
        try:
            storage = open_journal(folder)
        except UserError:
            continue
        for name in optuna.get_all_study_names(storage):
            for trial in optuna.load_study(study_name=name, storage=storage).get_trials():
                assert trial.params is not None
