"""`eibench data speed`: measurements, verdicts, and bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eibench.cli.speed import verdicts
from eibench.data.machine import MEMORY, WORKERS
from eibench.profile.throughput import LoadingRate, Throughput

FAST = ("--model", "plain", "--set", "model={depth: 1, width: 4, pools: 1}", "--seconds", "0.1")


@pytest.fixture
def root():
    numbers = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            Path("root", split, name).mkdir(parents=True)
            for i in range(12):
                pixels = numbers.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(f"root/{split}/{name}/{i:02}.png")
    return "root"


def measured(cli, *words):
    done = cli("data", "speed", *words, *FAST, "--json", "--batch-size", 8)
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


def test_a_set_that_lies_in_memory_alone(cli):
    found = measured(cli, "digits")
    assert [(r["workers"], r["augmented"]) for r in found["rates"]] == [(None, False), (None, True)]
    assert all(rate["images_per_second"] > 0 for rate in found["rates"])
    assert found["training"] > 0
    assert (found["images"], found["image"]) == (195, [1, 8, 8])
    assert found["run"]["input"] | {"crop": 4, "flip": True, "cutout": 8} == found["run"]["input"]
    assert found["run"]["train"]["batch_size"] == 8
    assert {"torch", "cpu", "commit"} <= found["environment"].keys()


def test_a_folder_is_read_from_memory_and_from_its_files(cli, root, monkeypatch):
    monkeypatch.setenv(WORKERS, "1")
    found = measured(cli, "imagefolder", "--set", f"data.root={root}")
    places = [None, None, 0, 0, 1, 1]
    assert [rate["workers"] for rate in found["rates"]] == places
    assert [rate["augmented"] for rate in found["rates"]] == [False, True] * 3
    assert len(found["verdicts"]) == 3


def test_what_does_not_fit_is_not_held(cli, root, monkeypatch):
    monkeypatch.setenv(MEMORY, "0")
    monkeypatch.setenv(WORKERS, "0")
    found = measured(cli, "imagefolder", "--set", f"data.root={root}")
    assert [rate["workers"] for rate in found["rates"]] == [0, 0, 1, 1]


def test_the_table(cli):
    done = cli("data", "speed", "digits", *FAST, "--set", "input.crop=1")
    assert done.code == 0
    lines = done.out.splitlines()
    first = "digits: 195 training images of 1x8x8, in batches of 128, on cpu, "
    assert lines[0].startswith(first)
    rows = [line.rsplit(None, 1)[0].strip() for line in lines[4:7]]
    assert [" ".join(row.split()) for row in rows] == [
        "held in memory no",
        "held in memory yes",
        "training step of plain-depth1-width4-pools1, batchnorm, T = 4",
    ]
    assert lines[-1].startswith("held in memory: ")


def test_verdicts_by_hand():
    rates = (
        LoadingRate(None, False, 9.0),
        LoadingRate(None, True, 123_456.0),
        LoadingRate(0, True, 50.0),
        LoadingRate(1, True, 99.9),
    )
    speed = Throughput(10, (1, 8, 8), (*rates, LoadingRate(4, True, 100.0)), 100.0, "cpu", {})
    assert verdicts(speed) == [
        "held in memory: 1,235 times what training takes; is no bottleneck",
        "streamed, no workers: 0.5 times what training takes; IS THE BOTTLENECK",
        "streamed, 1 worker: 0.999 times what training takes; IS THE BOTTLENECK",
        "streamed, 4 workers: 1 times what training takes; is no bottleneck",
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["digit"], "DATA digit: unknown data set 'digit'; allowed: digits"),
        (["digits", "--model", "vgh"], "--model vgh: unknown model 'vgh'; allowed: "),
        (["digits", "--set", "input.crop=-1"], "--set input.crop=-1: "),
        (["imagefolder"], "DATA imagefolder: root: is missing"),
        (["imagefolder", "--set", "data.root=nowhere"], "nowhere/train: no such folder"),
        (["digits", "--method", "ei", "--set", "input.normalize=true"], "negative values"),
        (["digits", "--model", "vgg"], "model vgg on data set digits: "),
    ],
)
def test_bad_input_is_one_message(cli, words, expected):
    done = cli("data", "speed", *words)
    assert done.code == 2
    assert len(done.errors) == 1
    assert expected in done.errors[0]


def test_a_bad_setting_of_the_machine(cli, root, monkeypatch):
    monkeypatch.setenv(WORKERS, "many")
    done = cli("data", "speed", "imagefolder", "--set", f"data.root={root}", *FAST)
    assert (done.code, len(done.errors)) == (2, 1)
    assert "EIBENCH_WORKERS is 'many'; it must be a whole number of at least 0" in done.errors[0]


def test_nothing_is_written(cli, project):
    cli("data", "speed", "digits", *FAST)
    assert project.files() == {}
