"""Perturbations of trained networks on the command line and in suites."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import eibench
from eibench.plan import load_plan
from eibench.plan.conditions import CONDITIONS

ROOT = Path(__file__).parents[2]
SWEEPS = {
    "bits": {"weight_bits": [2, 8, 32]},
    "lesion": {"lesion": [0, 1.0]},
    "both": {"weight_noise": [0.5], "spike_drop": [0.5], "contrast": [0.5]},
}


def results(name: str) -> list[dict]:
    return [json.loads(p.read_text()) for p in Path("results").glob(f"{name}/*/record.json")]


def test_a_suite_is_perturbed(cli, project):
    grid = {"method": ["batchnorm", "ei"]}
    path = project.suite(
        grid=grid, seeds=[0, 1], evaluate={k: SWEEPS[k] for k in ("bits", "lesion")}
    )
    done = cli("run", path)
    assert done.code == 0, done.err
    bits = results("tiny-bits")
    forms = {(r["fields"]["method"], r["fields"]["evaluate.weight_bits"]): r["result"]["form"]
             for r in bits}  # fmt: skip
    assert forms["batchnorm", 8] == "2 norms folded"
    assert forms["batchnorm", 32] == forms["ei", 32] == forms["ei", 8] == "as trained"
    trained = {key: r["result"]["test_accuracy"] for key, r in project.records().items()}
    for row in bits:
        if row["fields"]["evaluate.weight_bits"] == 32:
            assert row["result"]["test_accuracy"] == trained[row["fields"]["weights.run"]]
        assert row["result"]["negative_weights"] in (None, 0)
    lesion = eibench.load_results("results/tiny-lesion")
    found = set(zip(lesion.method, lesion["evaluate.lesion"], lesion.status, strict=True))
    assert found == {(method, share, "ok") for method in ("batchnorm", "ei") for share in (0, 1)}
    kept = lesion[lesion.method == "batchnorm"]
    assert kept.groupby("seed").test_accuracy.nunique().eq(1).all()  # no cells to lose
    rows = [r for r in results("tiny-lesion") if r["fields"]["evaluate.lesion"]]
    forms = {r["result"]["form"] for r in rows if r["fields"]["method"] == "batchnorm"}
    assert forms == {"2 norms folded, no inhibitory cells"}

    done = cli("report", "results/tiny-bits", "--area", "weight_bits")
    assert done.code == 0 and "mean over weight bits from 2 to 32" in done.out, done.err
    assert cli("plot", "results/tiny-bits", "--x", "weight_bits", "--by", "method").code == 0
    done = cli("report", "results/tiny-bits", "--area", "weight_bit")
    assert done.code == 2 and "did you mean" in done.err


def test_the_order_of_methods_does_not_matter(cli, project):
    found = []
    for methods in (["batchnorm", "ei"], ["ei", "batchnorm"]):
        sweep = {"both": SWEEPS["both"]}
        path = project.suite(grid={"method": methods}, evaluate=sweep)
        assert cli("run", path, "--results", methods[0]).code == 0
        rows = Path(methods[0]).glob("tiny-both/*/record.json")
        records = [json.loads(path.read_text()) for path in rows]
        found.append({r["run_id"]: r["result"] for r in records})
    assert found[0] == found[1] and len(found[0]) == 2


def test_one_network_is_perturbed(cli, project):
    assert cli("run", project.suite(grid=..., base={"method": "batchnorm"}), "--keep", "best")
    (folder,) = Path("results/tiny").glob("*/")
    done = cli("evaluate", folder, "--under", "weight_bits=4,8", "--under", "spike_jitter=0,0.2")
    assert (done.code, len(done.out.splitlines())) == (0, 4), done.err


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"weight_bits": [1]}, "evaluate.a.weight_bits[0]: must be from 2 to 32, not 1"),
        ({"weight_bits": [4.5]}, "must be a whole number, not 4.5"),
        ({"lesion": [1.5]}, "must be from 0 to 1, not 1.5"),
        ({"weight_bitz": [4]}, "did you mean 'weight_bits'"),
    ],
)
def test_bad_strengths_are_messages(condition, message, cli, project):
    done = cli("run", project.suite(evaluate={"a": condition}))
    assert done.code == 2 and message in done.err and "tiny.yaml:" in done.err, done.err


def test_the_suite_of_hardware_is_planned():
    plan = load_plan(ROOT / "suites" / "hardware.yaml", [])
    assert len(plan.runs) == 50 and len(plan.sweeps) == 13


def test_every_condition_is_documented():
    text = "".join((ROOT / "docs" / name).read_text() for name in ("weights.md", "hardware.md"))
    assert [name for name in CONDITIONS if f"| `{name}` |" not in text] == []
