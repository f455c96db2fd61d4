"""`eibench report` and `eibench plot` through the real command line."""

import json

import pytest
from typer.testing import CliRunner

from eibench.cli import app


@pytest.fixture
def eibench(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, list(map(str, words)))


def test_report(depth_scaling, eibench):
    done = eibench("report", depth_scaling.folder)
    assert done.exit_code == 0
    assert "97.9 ± 0.3 *" in done.stdout
    assert "-0.6 [-1.1, -0.1]" in done.stdout  # `scipy.stats.ttest_ind(equal_var=False)`
    assert "\033" not in done.stdout


def test_default_results(depth_scaling, eibench, tmp_path):
    assert "error: results: no results here" in eibench("report").stderr
    (tmp_path / "results").mkdir()
    depth_scaling.folder.rename(tmp_path / "results" / "depth_scaling")
    assert eibench("report").stdout.startswith("Depth & norms: test accuracy (%)")


def test_fields_are_listed_with_commas(depth_scaling, eibench):
    words = ["--rows", "method, model.depth", "--columns", "seed", "--metric", "seconds"]
    done = eibench("report", depth_scaling.folder, "--format", "json", *words)
    (suite,) = json.loads(done.stdout)
    assert (suite["rows"], suite["columns"]) == (["method", "model.depth"], ["seed"])
    assert suite["metric"] == "seconds"


def test_report_into_a_file(depth_scaling, eibench, tmp_path):
    done = eibench("report", depth_scaling.folder, "--format", "latex", "--out", "paper/t.tex")
    assert done.stdout.split() == ["paper/t.tex"]
    lines = (tmp_path / "paper/t.tex").read_text().splitlines()
    assert lines[0].startswith("%") and r"\usepackage{booktabs}" in lines[0]
    assert lines[1] == r"\begin{table}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--metric", "test_acuracy"], "did you mean 'test_accuracy'?"),
        (["--rows", "modell"], "did you mean 'model'?"),
        (["--columns", "data"], "try --columns data,model.depth"),
        (["--out", "."], ".: cannot be written: it is a folder"),
    ],
)
def test_bad_input(depth_scaling, eibench, words, message):
    done = eibench("report", depth_scaling.folder, *words)
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stdout == ""


def test_plot(depth_scaling, eibench):
    done = eibench("plot", depth_scaling.folder, "--out", "figures")
    assert done.exit_code == 0
    stem = "figures/depth_scaling_test_accuracy"
    assert done.stdout.split() == [f"{stem}.png", f"{stem}.pdf"]


def test_plot_without_a_numeric_axis(make_suite, eibench):
    suite = make_suite("names", axes=["method"])
    suite.run(90)
    done = eibench("plot", suite.folder)
    assert done.exit_code == 0
    assert "names: no numeric axis" in done.stderr
