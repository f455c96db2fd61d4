"""`eibench cost`: rows of a suite, tables of runs, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import eibench
from eibench.report.model.cost import cost_document
from eibench.results.metrics import METRICS_OF

METHODS = {"grid": {"method": ["batchnorm", "ei"]}, "seeds": [0, 1]}


@pytest.fixture
def trained(cli, project):
    path = project.suite(**METHODS, base={"train": {"keep": "last"}})
    assert cli("run", path).code == 0
    return path


def test_rows_of_a_suite_are_results(cli, project, trained):
    done = cli("cost", trained, "--images", 8, "--format", "json")
    assert done.code == 0, done.err
    (values,) = json.loads(done_out := done.out)
    assert [row["name"] for row in values["rows"]] == ["batchnorm", "ei"]
    assert [row["runs"] for row in values["rows"]] == [2, 2] and values["images"] == 8
    assert values["constants"][0]["source"]
    frame = eibench.load_results("results/tiny-cost")
    assert list(frame.status) == ["ok"] * 4 and frame.planned.all()
    assert set(METRICS_OF["cost"]) <= set(frame.columns)
    assert frame[list(METRICS_OF["cost"])].notna().all(axis=None)
    accuracies = {r["result"]["test_accuracy"] for r in project.records().values()}
    assert set(frame.test_accuracy) == accuracies
    mean = frame[frame.method == "ei"].full_divisions.mean()
    assert values["rows"][1]["mean"]["full_divisions"] == mean > 0
    assert (frame[frame.method == "batchnorm"].full_divisions == 0).all()
    done = cli("report", "results/tiny-cost", "--metric", "folded_macs")
    assert done.code == 0 and "MACs, folded (per image)" in done.out and "95 % CI" in done.out
    assert "modelled energy" in cli("report", "results/tiny-cost").out

    again = cli("cost", "results/tiny-cost", "--format", "json")
    assert (again.code, again.out) == (0, done_out)
    before = project.files()
    assert cli("cost", trained, "--images", 8).code == 0  # nothing is counted again
    changed = {key for key, value in project.files().items() if value != before.get(key)}
    assert changed <= {"results/tiny-cost/.lock"}


def test_networks_before_training_and_other_images_stand_apart(cli, trained):
    """A ratio of an untrained network to a trained one, or over unlike images, says nothing."""
    assert cli("cost", trained, "--images", 8, "--only", "method=batchnorm").code == 0
    some = cli("cost", trained, "--images", 4, "--only", "method=ei", "--initialised")
    assert some.code == 0
    done = cli("cost", "results/tiny-cost", "--format", "json")
    found = json.loads(done.out)
    assert [[row["name"] for row in one["rows"]] for one in found] == [["batchnorm"], ["ei"]]
    assert [one["images"] for one in found] == [8, 4]
    path = next(Path("results/tiny-cost").glob("batchnorm_*s1*/record.json"))
    record = {**json.loads(path.read_text()), "status": "error", "reason": "lost", "result": {}}
    path.write_text(json.dumps(record))
    again = cli("cost", "results/tiny-cost", "--format", "json")
    assert [len(one["failed"]) for one in json.loads(again.out)] == [1, 0] and again.code == 1
    text = cli("report", "results/tiny-cost", "--format", "markdown").out
    mixed = "MIXED COUNTS: costs are of networks trained, 8 images and before training, 4 images"
    assert mixed in text
    text = cli("cost", "results/tiny-cost", "--format", "markdown").out
    assert ", trained, 8 images" in text and ", before training, 4 images" in text
    assert "x batchnorm" not in text.rpartition("before training")[2]


def test_a_damaged_count_is_made_again(cli, trained):
    words = ["cost", trained, "--images", 4, "--seeds", 0, "--format", "csv"]
    first = cli(*words)
    path = next(Path("results/tiny-cost").glob("ei_*/record.json"))
    record = json.loads(path.read_text())
    for work in ({}, "many", {**record["result"]["work"], "products": [{"bits": "one"}]}):
        path.write_text(json.dumps({**record, "result": {**record["result"], "work": work}}))
        again = cli(*words)
        assert (again.code, again.out) == (0, first.out)


def test_rows_print_their_tables_again(cli, trained, tmp_path):
    """Also packed; what is damaged or missing is named, and options of counting are refused."""
    words = ["--format", "markdown"]
    counted = cli("cost", trained, "--images", 4, *words)
    assert cli("results", "pack", "results/tiny-cost", "--out", tmp_path / "packed").code == 0
    packed = cli("cost", tmp_path / "packed" / "tiny-cost", *words)
    assert (packed.code, packed.out) == (0, counted.out)
    refused = cli("cost", "results/tiny-cost", "--train-steps", 3)
    assert refused.code == 2 and "these networks are counted" in refused.err
    first, second, *_ = sorted(Path("results/tiny-cost").glob("ei_*/record.json"))
    record = json.loads(first.read_text())
    first.write_text(json.dumps({**record, "result": {**record["result"], "work": "many"}}))
    second.unlink()
    done = cli("cost", "results/tiny-cost", *words)
    assert done.code == 1 and "| ei" not in done.out and "| batchnorm" in done.out
    assert "not counted: its row is damaged or of an older version" in done.err
    assert "not counted: not run" in done.err


def test_tables_of_a_run(cli, trained):
    run = next(Path("results/tiny").glob("ei_*_s0_*"))
    done = cli("cost", run, "--images", 4)
    assert done.code == 0, done.err
    titles = ("Synaptic operations", "Energy, a model: memory, step by step", "Synapses of ei")
    notes = ("A model, not a measurement", "Horowitz", "ceil(log2(T + 1))")
    for words in (*titles, "Spikes of ei by layer", *notes):
        assert words in done.out, words
    assert not Path("results/tiny-cost").exists()
    both = cli("cost", *sorted(Path("results/tiny").glob("ei_*")), "--images", 4, "--format", "csv")
    assert len(both.out.splitlines()) == 3 and both.out.startswith("title,name,runs,")


def test_networks_before_training(cli, project):
    path = project.suite(**METHODS)
    done = cli(
        "cost", path, "--initialised", "--images", 4, "--only", "seed=0", "--format", "markdown"
    )
    assert done.code == 0, done.err
    assert "| batchnorm" in done.out and "x batchnorm" in done.out
    frame = eibench.load_results("results/tiny-cost")
    assert list(frame.status.value_counts().items()) == [("ok", 2), ("missing", 2)]
    assert frame.test_accuracy.isna().all()


def test_batch_norm_before_training_is_calibrated(few_digits):
    """Its current has mean 0 and deviation 1 over channels in evaluation: neurons fire."""
    from eibench.cost.run import _initialised
    from eibench.plan.spec import RunSpec

    model = {"name": "plain", "depth": 4, "width": 8, "pools": 0}
    spec = RunSpec.parse({"method": "batchnorm", "model": model, "data": "digits"})
    network = _initialised(spec, few_digits)
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert all(norm.running_mean.abs().max() > 0.05 and norm.momentum == 0.1 for norm in norms)
    assert not network.training


def test_training_steps_stand_in_the_same_document(cli, project):
    path = project.suite(**METHODS)
    words = ["--initialised", "--images", 4, "--seeds", 0, "--train-steps", 3, "--device", "cpu"]
    done = cli("cost", path, *words, "--format", "csv")
    assert done.code == 0, done.err
    head, *rows = (line.split(",") for line in done.out.splitlines())
    macs = head.index("train_macs_per_image")
    assert all(float(row[macs]) > 0 for row in rows)


def test_training_steps_stand_beside_accuracy(cli, trained):
    """Times and memory are also over batch norm's."""
    words = ["--images", 4, "--train-steps", 3, "--device", "cpu", "--format", "json"]
    done = cli("cost", trained, *words)
    assert done.code == 0, done.err
    (values,) = json.loads(done.out)
    document = cost_document(values, "here")
    table = next(one for one in document.tables if one.title == "A training step")
    heads = [column.name for column in table.columns]
    assert heads.count("x batchnorm") == 2
    accuracy, step = heads.index("test accuracy (%)"), heads.index("x batchnorm")
    rows = {row[0].text: [cell.text for cell in row] for row in table.rows}
    seconds = {row["name"]: row["step_seconds"] for row in values["training"]["rows"]}
    assert rows["batchnorm"][step] == "1.00"
    assert rows["ei"][step] == f"{seconds['ei'] / seconds['batchnorm']:.2f}"
    means = {row["name"]: row["mean"]["test_accuracy"] for row in values["rows"]}
    assert rows["ei"][accuracy].startswith(f"{means['ei']:.1f}")
    values["training"]["environment"]["commit"] = "0123456789"
    (note,) = next(t.notes for t in cost_document(values, "here").tables if t.title == table.title)
    assert "commit 01234567;" in note


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "nothing: no such suite or file"),
        (["tiny.yaml", "tiny.yaml"], "name one suite, or folders of runs"),
        (["tiny.yaml", "--only", "method=ei", "--images", 4], "no network could be counted"),
        (["."], ".: a folder without spec.yaml; name a suite or folders of its runs"),
        (["tiny.yaml", "--seeds", "a"], "must be whole numbers"),
        (["tiny.yaml", "--images", "0"], "--images"),
    ],
)
def test_bad_words_are_messages(words, message, cli, project):
    project.suite(**METHODS)
    done = cli("cost", *words)
    assert done.code == 2 and message in done.err, done.err
    if "no network" in message:
        assert "not counted: the run has not ended; --initialised counts" in done.err


def test_a_run_under_another_name(cli, trained, monkeypatch, tmp_path):
    """Its record is not damaged: the folder was copied, or named by `.`."""
    run = next(Path("results/tiny").glob("ei_*_s0_*"))
    shutil.copytree(run, "copy")
    assert cli("cost", "copy", "--images", 4).code == 0
    monkeypatch.chdir(run)
    done = cli("cost", ".", "--images", 4)
    assert (done.code, done.err) == (0, "")


def test_unlike_networks_are_not_timed_side_by_side(cli, project, trained):
    other = project.suite(
        "other.yaml", name="other", base={"train": {"keep": "last"}, "timesteps": 3}
    )
    assert cli("run", other, "--only", "seed=0").code == 0
    runs = [next(Path(f"results/{name}").glob("*_s0_*")) for name in ("tiny", "other")]
    assert cli("cost", *runs, "--images", 4).code == 0
    done = cli("cost", *runs, "--images", 4, "--train-steps", 2, "--device", "cpu")
    assert done.code == 2 and "share data, time steps and batch size" in done.err


def test_costs_do_not_replace_the_plan_of_a_suite(cli, project):
    other = project.suite("other.yaml", name="tiny-cost", grid={}, seeds=[0])
    assert cli("run", other).code == 0
    before = Path("results/tiny-cost/plan.json").read_bytes()
    done = cli("cost", project.suite(**METHODS), "--initialised", "--images", 4)
    assert done.code == 2 and "holds the runs of a suite called tiny-cost" in done.err
    assert Path("results/tiny-cost/plan.json").read_bytes() == before


def test_options_of_suites_are_refused_for_runs(cli, trained):
    run = next(Path("results/tiny").glob("ei_*_s0_*"))
    done = cli("cost", run, "--initialised")
    assert done.code == 2 and "are for suites" in done.err


def test_conditions_have_tables_of_their_own(cli, project):
    """Each with its own control; LaTeX has the names of a paper."""
    labels = {"ei": "E-I (ours) & more"}
    path = project.suite(
        **{**METHODS, "grid": {**METHODS["grid"], "model.depth": [1, 2]}}, labels=labels
    )
    words = ["cost", path, "--initialised", "--images", 4, "--seeds", 0]
    done = cli(*words, "--format", "json")
    shallow, deep = json.loads(done.out)
    assert [row["name"] for row in (*shallow["rows"], *deep["rows"])] == ["batchnorm", "ei"] * 2
    for values in (shallow, deep):
        assert "to_control_range" in values["rows"][1]["energy"]["compute"]
    assert shallow["rows"][0]["mean"]["nb_dense"] < deep["rows"][0]["mean"]["nb_dense"]
    latex = cli(*words, "--format", "latex").out
    assert r"E-I (ours) \& more" in latex and "depth 2. All operations" in latex
    assert cli(*words, "--format", "html").out.count("E-I (ours) &amp; more") > 2


def test_a_suite_without_a_control_has_none(cli, project):
    path = project.suite(**METHODS, control=None)
    done = cli("cost", path, "--initialised", "--images", 4, "--seeds", 0, "--format", "json")
    (values,) = json.loads(done.out)
    assert values["control"] is None
    assert all("to_control" not in row["energy"]["compute"] for row in values["rows"])
    assert "95 % CI" not in cli("report", "results/tiny-cost", "--metric", "folded_macs").out
