"""Runs on streamed images: the same numbers as from memory; damage becomes a record."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eibench.data.machine import MEMORY, WORKERS

INPUT = {"crop": 1, "flip": True, "cutout": 2, "roll": 1, "rotate": 10.0}


@pytest.fixture
def suite(project):
    numbers = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            Path("root", split, name).mkdir(parents=True)
            for i in range(10):
                pixels = numbers.integers(0, 256, (9, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(f"root/{split}/{name}/{i:02}.png")
    base = {
        "data": {"name": "imagefolder", "root": "root", "size": 8, "validation_share": 0.2},
        "train": {"epochs": 2, "batch_size": 6},
        "input": INPUT,
    }
    return project.suite(base=base, grid={"method": ["ei", "tdbn"]})


def test_a_streamed_run_has_the_numbers_of_one_in_memory(cli, suite, project, monkeypatch):
    def numbers(folder):
        assert cli("run", suite, "--device", "cpu", "--results", folder).code == 0
        records = {
            p.parent.name: json.loads(p.read_text()) for p in Path(folder).rglob("record.json")
        }
        results = {name: record["result"] for name, record in records.items()}
        digests = {result.pop("data_digest") for result in results.values()}
        return results, digests

    held, (digest,) = numbers("held")
    monkeypatch.setenv(MEMORY, "0")
    monkeypatch.setenv(WORKERS, "1")
    streamed, (files,) = numbers("streamed")
    assert len(held) == 2
    assert streamed == held  # ids too: where images are is no part of a run
    assert files.startswith("files-") and not digest.startswith("files-")


def test_dry_run_and_probe_of_streamed_images(cli, suite, monkeypatch):
    monkeypatch.setenv(MEMORY, "0")
    monkeypatch.setenv(WORKERS, "0")
    done = cli("run", suite, "--dry-run")
    assert done.code == 0 and "will fail" not in done.out
    assert cli("probe", suite, "--steps", "0,2").code == 0


def test_a_file_damaged_since_the_start_is_the_reason_of_a_failed_run(cli, suite, monkeypatch):
    """Streamed images are looked at when they are read: the run ends there, with the file named."""
    path = Path("root/train/dog/05.png")
    path.write_bytes(path.read_bytes()[:-40])
    monkeypatch.setenv(MEMORY, "0")
    monkeypatch.setenv(WORKERS, "1")
    assert cli("run", suite, "--fail-fast").code == 1
    (record,) = [json.loads(p.read_text()) for p in Path("results").rglob("record.json")]
    assert record["status"] == "error"
    assert record["reason"].startswith(f"DataError: {path}: not a readable image")


def test_the_same_damage_is_refused_before_any_run_where_images_are_held(cli, suite):
    path = Path("root/train/dog/05.png")
    path.write_bytes(path.read_bytes()[:-40])
    done = cli("run", suite)
    assert done.code == 2
    assert done.errors[0].startswith(f"data set imagefolder: {path}: not a readable image")
    assert not Path("results").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_several_jobs_stream_too(cli, suite, project, monkeypatch):
    """Each job has workers of its own; the numbers are those of one job."""
    monkeypatch.setenv(MEMORY, "0")
    monkeypatch.setenv(WORKERS, "1")
    assert cli("run", suite, "--device", "cpu", "--jobs", 2, "--results", "two").code == 0
    assert cli("run", suite, "--device", "cpu", "--results", "one").code == 0
    for path in Path("one").rglob("record.json"):
        other = Path("two", path.relative_to("one"))
        assert json.loads(path.read_text())["result"] == json.loads(other.read_text())["result"]
