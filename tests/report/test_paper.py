"""What a paper prints: display names, notes, and what the command line asks for."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eibench.plan import load_plan
from eibench.plan.options import METHODS
from eibench.report.make import render
from eibench.report.model.layers import make_pivots
from eibench.report.model.suite_results import read_suite
from eibench.results.defaults import defaults_beside
from eibench.results.display import METHODS as NAMES
from eibench.results.display import display_name
from eibench.results.plan_file import write_plan


def latex(suite, **layout):
    return render(make_pivots([suite.folder], layout.pop("metric", None), **layout), "latex")


# ------------------------------------------------------------------------- display names


def test_every_method_has_a_name():
    assert {name for name, cls in METHODS.items() if cls.plugin is None} <= NAMES.keys()


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("ei", "E-I (paper)"),
        ("tdbn", "tdBN"),
        ("batchnorm-per_step", "BatchNorm, per step"),
        ("ei-ei_ratio2", "E-I, E/I ratio 2"),
        ("ei-epsilon1e-05-no_dale", "E-I, epsilon 1e-05, no Dale"),
        ("batchnorm-scale0.6-shift-0.3", "BatchNorm, scale 0.6, shift -0.3"),
        ("ei-blanket-plasticity0.1", "Blanket, plasticity 0.1"),
        ("my_norm-rate2", "my_norm, rate 2"),
    ],
)
def test_names_of_labels(label, name):
    assert display_name(label, {"ei-blanket": "Blanket"}) == name


def test_the_paper_is_named_where_all_options_are_its_own():
    labels = ("ei", "ei-blanket", "ei-blanket-plasticity0.1")
    names = ["E-I (paper)", "E-I, blanket", "E-I, blanket, plasticity 0.1"]
    assert [display_name(label, {}) for label in labels] == names
    assert display_name("ei-blanket", {"ei": "Circuit"}) == "Circuit, blanket"


@given(st.text())
def test_any_label_has_a_name(label):
    assert isinstance(display_name(label, {}), str)


def test_labels_of_a_suite_go_before_names_of_methods(depth_scaling):
    depth_scaling.content["labels"] = {"ei": "Ours & best_", "tdbn": "td"}
    depth_scaling.write()
    text = latex(depth_scaling)
    assert r"    Ours \& best\_ & 97.3" in text
    assert "td is the same computation as BatchNorm here." in text
    assert "| ei " in render(make_pivots([depth_scaling.folder], None), "markdown")


def test_ablations_networks_and_data_have_labels(make_suite):
    suite = make_suite("named", axes=["ablation", "model"], labels={"hard": "Hard!", "plain": "P"})
    for model in ({"name": "plain"}, {"name": "mlp"}):
        suite.seeds([90, 91], ablation="base", model=model)
        suite.seeds([91, 93], ablation="hard", model=model, neuron={"reset": "hard"})
    text = latex(suite)
    assert "    Hard! &" in text
    assert r"\multicolumn{2}{c}{P} & \multicolumn{2}{c}{mlp}" in text


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"eii": "x"}, "labels.eii: no method, ablation, network, data set or value of this name"),
        ({"ei": ""}, "labels.ei: must"),
        ({"ei": "a\nb"}, "labels.ei: must be one line of printable text"),
    ],
)
def test_a_wrong_label_stops_a_run(project, cli, labels, message):
    path = project.suite(labels=labels)
    done = cli("run", path, "--results", "fresh")
    assert done.code == 2
    assert message in done.errors[0] and str(path) in done.errors[0]


def test_a_layout_has_a_label(project, cli):
    model = {"name": "vgg", "layout": "4 P 8"}
    path = project.suite(grid={"model": [model]}, labels={"4 P 8": "2 convolutions"})
    assert cli("run", path, "--dry-run").code == 0


def test_labels_are_kept_beside_the_results_and_are_no_identity(project, tmp_path):
    plain = load_plan(project.suite(), [])
    labelled = load_plan(project.suite(labels={"ei": "E-I"}), [])
    assert labelled.runs == plain.runs
    for plan, labels in ((plain, None), (labelled, {"ei": "E-I"})):
        write_plan(tmp_path / "r", plan)
        assert json.loads((tmp_path / "r" / "plan.json").read_text()).get("labels") == labels


# -------------------------------------------------------------------------------- notes


@pytest.mark.parametrize("level", ["none", "short", "full"])
def test_levels_of_notes(depth_scaling, level, cli):
    text = cli("report", depth_scaling.folder, "--format", "latex", "--notes", level).out
    command = r"\texttt{eibench run depth\_\allowbreak{}scaling}"
    assert (command in text) == (level == "full")
    assert (r"\footnotesize" in text) == (level != "none")


def test_a_paper_names_no_run_command_or_folder(depth_scaling, cli):
    text = cli("report", depth_scaling.folder, "--format", "latex").out
    for run in depth_scaling.content["runs"]:
        assert run["run_id"] not in text.replace("\\", "")
    assert "eibench run" not in text and "commit" not in text and "/" not in text
    short = cli("report", depth_scaling.folder, "--notes", "short").out
    assert "Runs without a result: 2 diverged, 1 out of memory." in short
    assert "Abacus" not in short


def test_times_name_the_machine(depth_scaling):
    assert "Computed on Abacus 9000" in latex(depth_scaling, metric="seconds")


def test_default_options_beside_other_values(make_suite):
    suite = make_suite("options", axes=["method"])
    ratio = {"name": "ei", "ei_ratio": 2}
    init, rate = ({"name": "no_norm", "init": "spikeinit", **more} for more in ({}, {"rate": 0.2}))
    blanket = {"name": "ei", "preset": "blanket"}
    for method in ("ei", ratio, blanket, "batchnorm", "no_norm", init, rate):
        suite.seeds([90, 91], method)
    assert defaults_beside(read_suite(suite.folder).unchanged) == {
        "ei": {"ei_ratio": 4},  # not the many options of the preset
        "no_norm": {"init": "kaiming"},  # not `rate`, which stands beside `spikeinit` alone
        "no_norm-spikeinit": {"rate": 0.1},
    }
    text = latex(suite)
    assert "Default options: E-I (paper): E/I ratio 4; No norm: init kaiming; No norm," in text
    assert "`ei` `ei_ratio` 4" in render(make_pivots([suite.folder], None), "markdown")


def test_untuned_methods_are_named(make_suite):
    suite = make_suite("fixed", axes=["method"])
    suite.seeds([90, 91], "ei")
    suite.seeds([90, 92], "batchnorm")
    assert "Untuned: all methods, at the default learning rate 0.1." in latex(suite)
    suite.seeds([90, 92], "tdbn", train={"lr": 0.3})
    assert "Untuned: E-I (paper); BatchNorm, at the default learning rate 0.1." in latex(suite)
    assert "UNTUNED: `ei`, `batchnorm`, at" in render(make_pivots([suite.folder], None), "markdown")
    suite.content["tuned_by"] = "elsewhere"
    suite.write()
    assert "ntuned" not in latex(suite)
    alone = make_suite("alone", axes=["method"])
    alone.seeds([90, 91], "ei")
    assert "ntuned" not in latex(alone)


def test_no_method_is_untuned_where_rates_are_compared(make_suite):
    suite = make_suite("rates", axes=["method", "train.lr"])
    for method in ("ei", "batchnorm"):
        for rate in (0.1, 0.3):
            suite.seeds([90, 91], method, train={"lr": rate})
    assert "ntuned" not in latex(suite)


# -------------------------------------------------------------------------- command line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "latex", "--width", "3"], "such as 3.25in"),
        (["--width", "3.25in"], "belong to --format latex"),
        (["--standalone"], "belong to --format latex"),
        (["--notes", "all"], "none"),
    ],
)
def test_bad_options(depth_scaling, cli, words, message):
    done = cli("report", depth_scaling.folder, *words)
    assert done.code == 2
    assert message in done.err


def test_starred_and_standalone(depth_scaling, cli):
    words = ["report", depth_scaling.folder, "--format", "latex", "--width", "6.75in"]
    text = cli(*words, "--starred", "--standalone").out
    assert text.startswith("\\documentclass[twocolumn]{article}\n\\usepackage{booktabs}\n")
    assert text.endswith("\\end{document}\n")
    assert r"\begin{table*}" in text and r"\setlength{\textwidth}{487.822pt}" in text
    assert r"\begin{table}" not in text


def test_without_an_argument_suites_choose(project, cli):
    from tests.report.conftest import FakeSuite

    for name in ("asked", "other"):
        FakeSuite(Path("results"), name).seeds([90.0, 91.0])
    assert cli("report", "--format", "latex").out.count(r"\begin{table}") == 2
    tables = [
        {"formats": ["latex"]},
        {"name": "narrow", "formats": ["latex"], "width": "3.25in", "notes": "none"},
    ]
    project.suite("suites/asked.yaml", name="asked", report={"tables": tables})
    project.suite("suites/other.yaml", name="other")
    done = cli("report", "--format", "latex")
    assert re.findall(r"\\label\{(.*)\}", done.out) == ["tab:asked", "tab:asked-2"]
    assert "2 tables of suites' `report`" in done.err
    assert done.out.count(r"\footnotesize") == 1
    assert cli("report").out.count("test accuracy (%)") >= 2
