"""`eibench tables`: made is what the `report` section asks for, where something has changed."""

import json
import os
from pathlib import Path

import pytest

from eibench.results.packing import pack
from tests.report.conftest import FakeSuite

EVIDENCE = Path("results/evidence")
FOLDER = EVIDENCE / "tiny"


@pytest.fixture
def packed(project):
    """Evidence of the suite `tiny` (E-I at two depths), and its file under a `report` section."""
    live = FakeSuite(Path("results"), "tiny")
    for depth in (2, 3):
        live.seeds([90.0 + depth, 91.0], "ei", depth)
    pack(live.folder, EVIDENCE)
    live.folder.rename("moved")
    return lambda **report: project.suite("suites/tiny.yaml", report=report, seeds=[0, 1])


def made(done):
    assert done.code == 0, done.err
    return [str(Path(line).relative_to(FOLDER)) for line in done.out.splitlines()]


def test_default_is_a_table_and_a_figure(packed, cli):
    packed()
    files = made(cli("tables"))
    assert files == ["table.md", "figures/tiny_test_accuracy.png"]
    assert all((FOLDER / name).is_file() for name in files)
    assert (FOLDER / "table.md").read_text() == cli("report", FOLDER, "--format", "markdown").out


def test_sections_are_the_options_of_report_and_plot(packed, cli):
    packed(
        tables=[
            {"formats": ["csv", "latex", "json"]},
            {"name": "loss", "metric": "firing_rate", "rows": ["model.depth"], "columns": []},
        ],
        figures=[{"metric": "firing_rate", "x": "model.depth", "by": ["method"]}],
    )
    files = made(cli("tables", "tiny"))
    assert files == [
        "table.csv", "table.tex", "table.json", "loss.md", "figures/tiny_firing_rate.png"
    ]  # fmt: skip
    words = ["--metric", "firing_rate", "--rows", "model.depth", "--columns", ""]
    expected = cli("report", FOLDER, *words, "--format", "markdown").out
    assert (FOLDER / "loss.md").read_text() == expected


def test_a_figure_by_its_name(packed, cli):
    packed(tables=[], figures=[{"name": "test_accuracy", "x": "model.depth"}])
    assert made(cli("tables")) == ["figures/tiny_test_accuracy.png"]
    packed(tables=[], figures=[{"name": "test_acuracy"}])
    (line,) = cli("tables").errors
    assert line.startswith("suites/tiny.yaml:")
    assert "report.figures[0].name: test_acuracy: no such figure" in line
    assert "did you mean 'test_accuracy'" in line


def test_made_again_is_only_what_has_changed(packed, cli):
    packed(figures=[])
    assert made(cli("tables")) == ["table.md"]
    assert made(cli("tables")) == []
    assert made(cli("tables", "--all")) == ["table.md"]
    (FOLDER / "table.md").unlink()
    assert made(cli("tables")) == ["table.md"]
    packed(tables=[{"name": "other"}], figures=[])
    assert made(cli("tables")) == ["other.md"]
    suite = Path("suites/tiny.yaml")
    suite.write_text(f"{suite.read_text()}labels: {{ei: Ours}}\n")
    assert made(cli("tables")) == ["other.md"]
    assert not (FOLDER / "table.md").exists()  # no longer asked for
    live = FakeSuite(Path("results"), "tiny")
    live.run(99.0, "ei", 2)
    pack(live.folder, EVIDENCE, "merge")
    assert made(cli("tables")) == ["other.md"]


def test_made_again_is_what_tells_of_a_tuning_that_arrived(packed, cli):
    packed(figures=[])
    suite = Path("suites/tiny.yaml")
    suite.write_text(f"{suite.read_text()}tuned_by: rates\n")
    assert made(cli("tables")) == ["table.md"]
    assert made(cli("tables")) == []
    FakeSuite(Path("results"), "rates").run(80.0, "ei", 2)
    assert made(cli("tables")) == ["table.md"]
    assert made(cli("tables")) == []


def test_live_runs(packed, cli):
    packed(figures=[])
    assert cli("tables", "tiny", "--live").code == 2
    os.rename("moved", "results/tiny")
    done = cli("tables", "tiny", "--live")
    assert done.out == "results/tiny/table.md\n"
    assert not (FOLDER / "table.md").exists()


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ({"tables": [{"rows": ["model.dept"]}]}, "rows: no run has a field 'model.dept'; did you"),
        ({"tables": [{"against": "eii"}]}, "name; allowed: ei; did you mean 'ei'?"),
        ({"tables": [{}, {}]}, "tables[1].name: 'table' is listed twice"),
        ({"tables": [{"name": "../x"}]}, "tables[0].name: must be letters"),
        ({"tables": [{"row": ["method"]}]}, "tables[0].row: unknown key"),
        ({"tables": [{"formats": ["pdf"]}]}, "must be 'markdown'"),
        ({"figures": [{"x": "layer"}]}, "figures[0].x: no run has a field 'layer'"),
        ({"figures": [{"by": ["seeed"]}]}, "did you mean 'seed'"),
        ({"tables": [{"name": "plan", "formats": ["json"]}]}, "plan.json is the file of the plan"),
        ({"plots": []}, "report.plots: unknown key; allowed here: figures, tables"),
    ],
)
def test_a_wrong_section_stops_a_run(packed, cli, report, said):
    path = packed(**report)
    done = cli("run", path, "--results", "fresh")
    assert done.code == 2
    assert done.errors[0].startswith(f"{path}:")
    assert said in done.errors[0]
    assert not Path("fresh").exists()


def test_a_control_that_is_not_there(packed, cli):
    path = packed()
    path.write_text(path.read_text() + "control: eii\n")
    line = len(path.read_text().splitlines())
    done = cli("run", path)
    assert done.code == 2
    assert done.errors == [
        f"{path}:{line}: control: no method of this name; allowed: ei; did you mean 'ei'?"
    ]


def test_tables_pooled_and_without_differences(packed, cli):
    packed(tables=[{"against": "none"}, {"name": "pooled", "against": "ei", "pooled": True}])
    assert made(cli("tables"))[:2] == ["table.md", "pooled.md"]
    assert "difference" not in (FOLDER / "table.md").read_text()
    expected = cli("report", FOLDER, "--against", "ei", "--pooled", "--format", "markdown").out
    assert (FOLDER / "pooled.md").read_text() == expected


def test_a_metric_that_is_not_there(packed, cli):
    packed(tables=[{"metric": "test_acuracy"}])
    done = cli("tables")
    assert done.code == 2
    assert done.errors[0].startswith("suites/tiny.yaml:")
    assert "report.tables[0].metric: test_acuracy: no such metric" in done.errors[0]
    assert "did you mean 'test_accuracy'" in done.errors[0]


@pytest.mark.parametrize(
    "files",
    [
        "../../../precious",
        "runs.tar.xz",
        "figures",
        "folder.md",
        "plan.json",
        1,
        None,
        ["table.md"],
    ],
)
def test_a_strangers_stamp_deletes_nothing(packed, cli, files):
    packed(figures=[])
    Path("precious").write_text("x")
    for folder in ("figures", "folder.md"):
        (FOLDER / folder).mkdir(exist_ok=True)
    before = {path for path in Path().rglob("*") if path.name != "table.md"}
    stamp = FOLDER / ".made.json"
    stamp.write_text(json.dumps({"digest": "", "files": [files]}))
    assert made(cli("tables")) == ["table.md"]
    assert {path for path in Path().rglob("*") if path.name != "table.md"} == before | {stamp}


def test_no_results(project, cli):
    project.suite("suites/tiny.yaml")
    assert cli("tables").errors == ["results: no results of any suites here"]
    assert cli("tables", "tiny").errors == [
        "suites/tiny.yaml: no packed results in results/evidence/tiny"
    ]
