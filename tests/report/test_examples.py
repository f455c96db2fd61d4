"""The examples in the help of `report` and `plot`, run on results as small as they come."""

import json
import shlex
from pathlib import Path

import pytest

from eibench.cli.help import EXAMPLES

METHODS = ("ei", "batchnorm", "tdbn", {"name": "no_norm", "init": "fluctuation"})


@pytest.fixture
def results(make_suite):
    """The suites that examples name: four methods, at two depths in one, of two epochs each."""
    for name, depths in {"quickstart": (4,), "depth_scaling": (4, 16)}.items():
        suite = make_suite(f"results/{name}")
        suite.content["suite"] = name
        for depth in depths:
            for method in METHODS:
                run = suite.run(80.0 + depth, method, depth)
                epochs = [
                    {
                        **{f"{split}_loss": 1.0 for split in ("train", "validation")},
                        **{f"{split}_accuracy": 80.0 for split in ("train", "validation")},
                        **{"epoch": epoch, "lr": 0.1, "firing_rate_by_layer": [0.1] * depth},
                        "cost": {"train_seconds": 2.0, "evaluation_seconds": 0.5},
                    }
                    for epoch in (1, 2)
                ]
                text = "".join(json.dumps(epoch) + "\n" for epoch in epochs)
                (run.path / "epochs.jsonl").write_text(text)


CURVES = "eibench plot results/depth_scaling --curves --size 5.5,3 --no-title"


@pytest.mark.parametrize("example", [*EXAMPLES["report"], *EXAMPLES["plot"]])
def test_examples_end_well(cli, results, example):
    _, *words = shlex.split(example)
    done = cli(*words)
    assert done.code == 0, done.err
    assert all(Path(path).is_file() for path in done.out.split() if "plot" in words)
    assert ("skipped:" in done.err) is (example == CURVES)
    if example == CURVES:
        start, _, size = done.err.splitlines()[-1].partition("; try --size ")
        name = "depth_scaling_rate_map"
        assert start == f"skipped: {name}: 5.5 x 3 inches leave no room for its axes"
        assert [Path(path).suffix for path in done.out.split()] == [".png", ".pdf"]
        width, height = map(float, size.split(","))
        assert width / height == pytest.approx(5.5 / 3, rel=0.03)  # the shape stays
        assert width > 5.5


def test_no_figure_with_room_is_an_error(cli, results):
    done = cli("plot", "results/depth_scaling", "--size", "1,1")
    assert (done.code, done.out) == (2, "")
    (message,) = done.errors
    assert message.startswith(
        "depth_scaling_test_accuracy: 1 x 1 inches leave no room for its axes; try --size "
    )
