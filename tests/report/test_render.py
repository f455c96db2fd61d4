"""What people and programs read: a terminal's table, Markdown, CSV, JSON."""

import csv
import io
import json
import re

import pytest

from eibench.report.make import render
from eibench.report.model.layers import make_pivots
from eibench.results.cells import Aggregate
from eibench.results.metrics import METRICS

# intervals of E-I: `scipy.stats.ttest_ind(equal_var=False).confidence_interval()`
TEXT = """\
Depth & norms: test accuracy (%)

                         difference to                     difference to
                         batchnorm,                        batchnorm,
method     depth 4       95 % CI            depth 16       95 % CI
---------- ------------- ------------------ -------------- ------------------
ei         97.3 ± 0.2    -0.6 [-1.1, -0.1]  95.9 ± 0.4     +4.6 [-2.6, +11.9]
                         worse                             runs failed
batchnorm  97.9 ± 0.3 *  -                  91.2 ± 1.1     -
                                            (n=2, 1 out
                                            of memory)
tdbn       97.9 ± 0.3 *  +0.0               diverged (2),  -
                         equal              missing (1)

Mean ± sample"""

MARKDOWN = """\
### Depth & norms: test accuracy (%)

| method | depth 4 | difference to batchnorm, 95 % CI | depth 16 | difference to batchnorm, 95 % CI |
|-|-|-|-|-|
| ei | 97.3 ± 0.2 | -0.6 [-1.1, -0.1] worse | 95.9 ± 0.4 | +4.6 [-2.6, +11.9] runs failed |
| batchnorm | **97.9 ± 0.3** | - | 91.2 ± 1.1 (n=2, 1 out of memory) | - |
| tdbn | **97.9 ± 0.3** | +0.0 equal | diverged (2), missing (1) | - |

- Mean ± sample"""  # noqa: E501


@pytest.fixture
def table(depth_scaling):
    return make_pivots([depth_scaling.folder], "test_accuracy")[0]


@pytest.mark.parametrize(
    ("values", "absent", "number", "remark"),
    [
        ({0: 97, 1: 97.5, 2: 97.3}, {}, "97.3 ± 0.3", ""),
        ({0: 97.04}, {"missing": 2}, "97.0", "(n=1, 2 missing)"),
        ({0: 97, 1: 97}, {"diverged": 1}, "97.0 ± 0.0", "(n=2, 1 diverged)"),
        ({0: 97, 1: 98}, {}, "97.5 ± 0.7", "(n=2)"),
    ],
)
def test_cell_text(table, values, absent, number, remark):
    cell = Aggregate(values, absent)
    assert cell.number(table.metric) == number
    assert cell.remark(table.metric, table.planned) == remark


def test_empty_cell_text():
    cell = Aggregate({}, {"out_of_memory": 2, "not_measured": 1})
    assert cell.reasons(METRICS["test_accuracy"]) == "out of memory (2), not measured (1)"


def test_terminal(table):
    assert render([table], "table").startswith(TEXT)


def test_bold_on_a_terminal_keeps_the_columns(table):
    plain, styled = render([table], "table"), render([table], "table", styled=True)
    assert "\033[1m97.9 ± 0.3\033[0m *" in styled
    assert re.sub(r"\033\[\dm", "", styled) == plain


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_wide_table_continues_below(make_suite, width):
    suite = make_suite("wide")
    for depth in range(2, 20):
        suite.seeds([90, 91], "ei", depth)
        suite.seeds([80, 82], "batchnorm", depth)
    text = render(make_pivots([suite.folder], "test_accuracy"), "table", width)
    assert max(map(len, text.splitlines())) <= width
    heads = " ".join(line for line in text.splitlines() if line.startswith("method"))
    assert re.findall(r"depth (\d+)", heads) == [str(depth) for depth in range(2, 20)]


def test_cells_outside_the_plan(make_suite):
    suite = make_suite("holes")
    suite.run(90, "ei", 4)
    suite.run(90, "no_norm", 16)
    lines = render(make_pivots([suite.folder], "test_accuracy"), "table").splitlines()
    assert [line.split() for line in lines[4:6]] == [["ei", "90.0", "-"], ["no_norm", "-", "90.0"]]


def test_markdown(table):
    squeezed = [
        re.sub(r" +\|", " |", re.sub("-+", "-", text))
        for text in (render([table], "markdown"), MARKDOWN)
    ]
    assert squeezed[0].startswith(squeezed[1])


def test_markdown_escapes_what_suites_name(make_suite):
    suite = make_suite("odd", axes=["method", "data.root"], title="a|b *c* <d>")
    suite.content["runs"].append({})
    for root in ("x|y", "*z*"):
        suite.content["runs"] = [r for r in suite.content["runs"] if r]
        suite.run(90, data={"name": "imagefolder", "root": root})
    text = render(make_pivots([suite.folder], "test_accuracy"), "markdown")
    assert text.startswith(r"### a\|b \*c\* \<d\>: test")
    assert r"x\|y" in text
    assert r"\*z\*" in text


def test_csv(table):
    rows = list(csv.DictReader(io.StringIO(render([table], "csv"))))
    assert list(rows[0]) == [
        "suite", "metric", "method", "model.depth",
        "mean", "std", "n", "best", "failed", "missing", "trained", "not_measured",
        "difference", "difference_low", "difference_high", "verdict", "seeds_needed", "seeds",
    ]  # fmt: skip
    assert len(rows) == 6
    first, worst = rows[0], rows[-1]
    assert float(first["mean"]) == table.cells[("ei",), (4,)].mean
    assert float(first["std"]) == table.cells[("ei",), (4,)].deviation
    assert (first["n"], first["best"], first["seeds"]) == ("3", "False", "0 1 2")
    assert (worst["mean"], worst["n"], worst["failed"], worst["missing"]) == ("", "0", "2", "1")


def test_csv_of_unlike_suites(table, make_suite):
    other = make_suite("lr", axes=["method", "train.lr"])
    for lr in (0.1, 0.2):
        other.run(90, "ei", train={"lr": lr})
    tables = [table, *make_pivots([other.folder], "test_accuracy")]
    rows = list(csv.DictReader(io.StringIO(render(tables, "csv"))))
    assert [row["suite"] for row in rows] == ["depth_scaling"] * 6 + ["lr"] * 2
    assert (rows[-1]["model.depth"], rows[-1]["train.lr"]) == ("", "0.2")


def test_json(table):
    (suite,) = json.loads(render([table], "json"), parse_constant=pytest.fail)
    assert (suite["suite"], suite["rows"], suite["columns"]) == (
        "depth_scaling", ["method"], ["model.depth"],
    )  # fmt: skip
    cells = {(c["row"]["method"], c["column"]["model.depth"]): c for c in suite["cells"]}
    assert len(cells) == 6
    assert cells["ei", 4]["mean"] == table.cells[("ei",), (4,)].mean
    assert cells["tdbn", 16]["mean"] is None
    assert suite["footnotes"][-1] == "Command: `eibench run depth_scaling`."


@pytest.mark.parametrize("form", ["table", "markdown", "latex", "csv", "json"])
def test_several_suites_in_every_format(table, make_suite, form):
    other = make_suite("other", title="Other title")
    other.plan("ei")
    tables = [table, *make_pivots([other.folder], "test_accuracy")]
    text = render(tables, form)
    for suite in (
        ("depth_scaling", "other") if form in ("csv", "json") else ("Depth", "Other title")
    ):
        assert suite in text
