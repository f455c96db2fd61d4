"""Ablations in reports: differences to the base, their intervals, words, and the figure."""

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from eibench.report.figures.draw import make_figures
from eibench.report.figures.tables import caption, choose_axes, draw_table
from eibench.report.make import render
from eibench.report.model.layers import make_pivots
from eibench.report.model.notes import footnotes
from eibench.report.model.pivot import Layout, build_pivot, choose_layout
from eibench.report.model.suite_results import SuiteResults, read_suites
from eibench.results.cells import Run
from eibench.results.dunnett import quantile
from eibench.results.frame import load_results
from eibench.results.metrics import METRICS

HARD = {"neuron": {"reset": "hard"}}
SLOW = {"neuron": {"tau": 4.0}}
BOTH = {"neuron": {"tau": 4.0, "reset": "hard"}}
UNCLIPPED = {"train": {"clip_norm": None}}


@pytest.fixture
def ablated(make_suite):
    """Three seeds; a run that is missing, one that failed, and a row of failures."""
    suite = make_suite("ablated", title="E-I & parts", axes=["ablation"])
    for seed, base in enumerate([97, 96, 98]):
        suite.run(base, seed=seed, ablation="base")
        suite.run(base - 2 - seed, seed=seed, ablation="hard reset", **HARD)  # 95, 93, 94
        if seed < 2:
            suite.run(base - 1 + 3 * seed, seed=seed, ablation="slow", **SLOW)  # 96, 98
        else:
            suite.fail("out_of_memory", "CUDA is full", seed=seed, ablation="slow", **SLOW)
        suite.run(base - 8 + seed, seed=seed, ablation="hard reset + slow", **BOTH)  # 89, 89, 92
        reason = "epoch 3: training loss is nan"
        suite.fail("diverged", reason, seed=seed, ablation="no clipping", **UNCLIPPED)
    return suite


@pytest.fixture
def by_depth(make_suite):
    """Two depths; at depth 16 the base failed under seed 1, and under all seeds of depth 32."""
    suite = make_suite("by_depth", title="Parts", axes=["ablation", "model.depth"])
    for depth in (4, 16, 32):
        for seed in range(3):
            where = {"depth": depth, "seed": seed}
            if depth == 4 or (depth == 16 and seed != 1):
                suite.run(90 + seed, ablation="base", **where)
            else:
                suite.fail("error", "ValueError: x", ablation="base", **where)
            suite.run(89 + seed * seed, ablation="hard", **where, **HARD)
    return suite


NUMBERS = st.floats(0, 100).map(lambda x: round(x, 3))
DIFFERENCE = {"hard reset": -3, "slow": 0, "hard reset + slow": -7}
# variances 1, 2, 3 of n = 3, 2, 3 beside the base's 1 of 3: squared errors 1/3 + 1/3, 1 + 1/3, and
# 1 + 1/3, of which the base's shares are 1/2, 1/4, 1/4; Welch's df are 4, (16/9) / (1 + 1/18) and
# (16/9) / (1/2 + 1/18)
HALF = {
    "hard reset": quantile(4, [1 / 2, 1 / 4, 1 / 4]) * (2 / 3) ** 0.5,  # 3.01
    "slow": quantile(32 / 19, [1 / 2, 1 / 4, 1 / 4]) * (4 / 3) ** 0.5,  # 8.89
    "hard reset + slow": quantile(3.2, [1 / 2, 1 / 4, 1 / 4]) * (4 / 3) ** 0.5,  # 4.83
}


def table_of(suite, metric="test_accuracy", **layout):
    return make_pivots([suite.folder], metric, **layout)[0]


def figure_of(suite):
    results = read_suites([suite.folder])[0]
    x, layout = choose_axes(results)
    table = build_pivot(results, METRICS["test_accuracy"], layout)
    return table, draw_table(table, x)


# --------------------------------------------------------------------------------- tables


def test_ablations_are_rows(by_depth, ablated):
    base = ("ablation", "base")
    assert choose_layout(read_suites([ablated.folder])[0]) == Layout(("ablation",), (), base)
    layout = choose_layout(read_suites([by_depth.folder])[0])
    assert layout == Layout(("ablation",), ("model.depth",), base)


def test_methods_and_their_options_are_columns(make_suite):
    axes = ["ablation", "method", "train.lr"]
    suite = make_suite("methods", axes=axes)
    for method, lr in (("ei", 0.1), ("tdbn", 0.3)):
        suite.run(90, method, ablation="base", train={"lr": lr})
        suite.run(91, method, ablation="hard", train={"lr": lr}, **HARD)
    assert choose_layout(read_suites([suite.folder])[0]).columns == ("method",)
    assert any("`train.lr`: `ei` 0.1, `tdbn` 0.3" in n for n in footnotes(table_of(suite)))
    suite = make_suite("options", axes=["ablation", "method.ei_ratio"])
    for ratio in (2, 4):
        method = {"name": "ei", "ei_ratio": ratio}
        suite.run(90, method, ablation="base")
        suite.run(92, method, ablation="hard", **HARD)
    table = table_of(suite)
    assert table.columns == ((2,), (4,))
    assert {d.mean for d in table.differences.values()} == {2.0}


def test_differences_of_a_table(ablated):
    found = table_of(ablated).differences
    assert {row[0]: one.mean for (row, _), one in found.items()} == {
        "hard reset": -3,
        "slow": 0,
        "hard reset + slow": -7,
    }
    for (row, _), one in found.items():
        low, high = (DIFFERENCE[row[0]] + side * HALF[row[0]] for side in (-1, 1))
        assert one.interval == pytest.approx((low, high))


NAMES = ("base", "hard", "slow")
RESULTS = st.dictionaries(st.tuples(st.sampled_from(NAMES), st.integers(0, 4)), NUMBERS, min_size=1)


@given(RESULTS)
def test_differences_whatever_has_a_number(results):
    """From values alone: the base has none, others have that of their means."""
    runs = [
        Run(f"{name}{seed}", {"ablation": name, "seed": seed}, "ok", "", {"test_accuracy": x}, {})
        for (name, seed), x in results.items()
    ]
    suite = SuiteResults(Path(), "x", "y", ("ablation",), None, (), tuple(runs), 0)
    layout = Layout((), ("ablation",), ("ablation", "base"))
    table = build_pivot(suite, METRICS["test_accuracy"], layout)
    found = {column[0]: one for (_, column), one in table.differences.items()}
    values = {name: [x for (n, _), x in results.items() if n == name] for name, _ in results}
    base = values.pop("base", [])
    assert found.keys() == (values.keys() if base else set())
    for name, one in found.items():
        expected = sum(values[name]) / len(values[name]) - sum(base) / len(base)
        assert one.mean == pytest.approx(expected, abs=1e-9)
        if len(found) == 1 and one.interval:
            known = ttest_ind(values[name], base, equal_var=False).confidence_interval()
            assert one.interval == pytest.approx((known.low, known.high), rel=1e-6, abs=1e-6)


def test_the_base_in_the_same_column_is_taken(by_depth):
    found = table_of(by_depth).differences
    for depth, base in ((4, [90, 91, 92]), (16, [90, 92])):
        known = ttest_ind([89, 90, 93], base, equal_var=False).confidence_interval()
        one = found[("hard",), (depth,)]
        assert one.mean == pytest.approx(-1 / 3)
        assert one.interval == pytest.approx((known.low, known.high))
    assert (("hard",), (32,)) not in found


def test_ablations_in_columns_have_the_same_differences(by_depth):
    down = table_of(by_depth).differences
    across = table_of(by_depth, columns=["ablation"], rows=["model.depth"]).differences
    assert {(column, row): d for (row, column), d in across.items()} == down


def test_no_best_among_ablations(ablated):
    table = table_of(ablated)
    assert not any(cell.best for cell in table.cells.values())
    assert "**" not in render([table], "markdown")


# see `HALF`; with 4 seeds each the df of `hard reset` are 6, its error is sqrt(1/2), and Dunnett's
# quantile of three at 6 df, some 3.1, makes 2.2 < 3
TEXT = """\
E-I & parts: test accuracy (%)

                                  difference to
                   test accuracy  base,
ablation           (%)            95 % CI
------------------ -------------- ------------------
base               97.0 ± 1.0     -
hard reset         94.0 ± 1.0     -3.0 [-6.0, +0.0]
                                  undecided (4
                                  seeds)
slow               97.0 ± 1.4     +0.0 [-8.9, +8.9]
                   (n=2, 1 out    runs failed
                   of memory)
hard reset + slow  90.0 ± 1.7     -7.0 [-11.8, -2.2]
                                  worse
no clipping        diverged (3)   -

Mean ± sample"""

MARKDOWN = """### E-I & parts: test accuracy (%)

| ablation | test accuracy (%) | difference to base, 95 % CI |
|-|-|-|
| base | 97.0 ± 1.0 | - |
| hard reset | 94.0 ± 1.0 | -3.0 [-6.0, +0.0] undecided (4 seeds) |
| slow | 97.0 ± 1.4 (n=2, 1 out of memory) | +0.0 [-8.9, +8.9] runs failed |
| hard reset + slow | 90.0 ± 1.7 | -7.0 [-11.8, -2.2] worse |
| no clipping | diverged (3) | - |
"""

LATEX = r"""  \begin{tabular}{@{}lcc@{}}
    \toprule
     &  & difference to base, \\[-2pt]
    ablation & test accuracy (\%) & 95 \% CI \\
    \midrule
    base & 97.0 $\pm$ 1.0 & -- \\
    hard reset & 94.0 $\pm$ 1.0 & $-$3.0 [$-$6.0, $+$0.0] \\
    slow & 97.0 $\pm$ 1.4\textsuperscript{n=2} & $+$0.0 [$-$8.9, $+$8.9]\,$\dagger$ \\
    hard reset + slow & 90.0 $\pm$ 1.7 & $-$7.0 [$-$11.8, $-$2.2]\,$\downarrow$ \\
    no clipping & diverged (3) & -- \\
    \bottomrule
"""


def test_terminal(ablated):
    text = render([table_of(ablated)], "table")
    assert text.startswith(TEXT)
    assert max(map(len, text.splitlines())) <= 100


def test_markdown(ablated):
    squeezed = re.sub("-{2,}", "-", re.sub(r" +\|", " |", render([table_of(ablated)], "markdown")))
    assert squeezed.startswith(MARKDOWN)


def test_latex(ablated):
    assert LATEX in render([table_of(ablated)], "latex")


def test_latex_differences_stand_below_where_they_do_not_fit_beside(by_depth):
    text = render([table_of(by_depth)], "latex")
    assert text.count(r"\begin{tabular}{@{}lccc@{}}") == 1
    assert r" & \multicolumn{3}{c}{depth} \\" in text
    assert r"ablation & 4 & 16 & 32 \\" in text
    (row,) = re.findall(r"    hard & (.*)\n     & (.*)", text)
    assert [part.count("&") for part in row] == [2, 2]
    assert all(cell.startswith(r"\scriptsize $") for cell in row[1].split(" & ")[:1])


def test_a_name_is_no_option_of_the_line_before(make_suite):
    suite = make_suite("odd", axes=["ablation"])
    suite.run(90, ablation="base")
    suite.run(91, ablation="[2cm] _%", **HARD)
    assert "    {}[2cm] \\_\\% & 91.0 & $+$1.0 \\\\" in render([table_of(suite)], "latex")


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here")
def test_latex_compiles(ablated, by_depth, make_suite, tmp_path):
    odd = make_suite("odd", axes=["ablation"])
    odd.run(90, ablation="base")
    odd.run(91, ablation="[2cm] _%&#${}~^\\<>|", **HARD)
    body = "".join(render([table_of(suite)], "latex") for suite in (ablated, by_depth, odd))
    head = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    (tmp_path / "t.tex").write_text(f"{head}{body}\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_csv(ablated, depth_scaling):
    plain = table_of(depth_scaling, against="none")
    assert "difference" not in render([plain], "csv")
    both = list(csv.DictReader(io.StringIO(render([plain, table_of(ablated)], "csv"))))
    assert {row["difference"] for row in both if row["suite"] == "depth_scaling"} == {""}
    rows = {row["ablation"]: row for row in both if row["suite"] == "ablated"}
    keys = ("difference", "difference_low", "difference_high")
    words = ("verdict", "seeds_needed")
    assert [rows["base"][key] for key in keys + words] == [""] * 5
    assert [rows["no clipping"][key] for key in keys + words] == [""] * 5
    half = HALF["hard reset"]
    assert [float(rows["hard reset"][key]) for key in keys] == pytest.approx(
        [-3, -3 - half, -3 + half]
    )
    assert [rows["hard reset"][key] for key in words] == ["undecided", "4"]


def test_json(ablated):
    (suite,) = json.loads(render([table_of(ablated)], "json"), parse_constant=pytest.fail)
    cells = {cell["row"]["ablation"]: cell for cell in suite["cells"]}
    assert (suite["control"], suite["margin"], suite["paired"]) == ("base", None, False)
    assert cells["base"]["difference"] is cells["base"]["verdict"] is None
    assert (cells["slow"]["difference"], cells["slow"]["verdict"]) == (0, None)  # a run failed
    assert cells["hard reset + slow"]["verdict"] == "worse"
    assert cells["no clipping"]["difference"] is cells["no clipping"]["verdict"] is None


def test_load_results_has_the_column(ablated):
    frame = load_results(ablated.folder)
    assert list(frame["ablation"][:3]) == ["base", "hard reset", "slow"]


# ---------------------------------------------------------------------------------- notes


def test_notes(ablated):
    runs = ablated.content["runs"]
    ids = {(r["fields"]["ablation"], r["fields"]["seed"]): r["run_id"] for r in runs}
    notes = footnotes(table_of(ablated))
    assert notes[2:10] == [
        "Changed in the base run, and nothing else tuned for it: `hard reset`: `neuron.reset` hard;"
        " `slow`: `neuron.tau` 4; `no clipping`: `train.clip_norm` none.",
        "Difference to base, in percentage points, with its 95 % confidence interval (unequal"
        " variances, Welch); those of one control hold together (Dunnett).",
        "Better, worse: the interval excludes 0; undecided: the runs do not tell, and in brackets"
        " stands how many seeds for each would, if means and deviations stay. No margin was fixed,"
        " so nothing is called equivalent.",
        "Runs failed: no verdict from the mean of those that are left.",
        "Not paired by seed: too few shared seeds to tell a correlation with the control.",
        "Diverged: " + ", ".join(f"`{ids['no clipping', s]}` (`no clipping`)" for s in range(3))
        + "; reason: `epoch 3: training loss is nan`.",
        f"Out of memory: `{ids['slow', 2]}` (`slow`); reason: `CUDA is full`.",
        "Computed on Abacus 9000 (4 cores), device: cpu, 2 threads.",
    ]  # fmt: skip


def test_lacking_base_runs_are_named(by_depth):
    text = render([table_of(by_depth)], "table", 1000)
    assert (
        "The base run has no number under: seed 1, depth 16; seed 0, depth 32; seed 1, depth 32;"
        " seed 2, depth 32." in text
    )
    (row,) = [line for line in text.splitlines() if line.startswith("hard")]
    assert row.endswith("90.7 ± 2.1  -")  # the base has no number at all
    assert "runs failed" in text  # of the base
    assert "Runs failed: no verdict from the mean of those that are left." in text


def test_one_seed_has_differences_without_intervals(make_suite):
    suite = make_suite("one", axes=["ablation"])
    suite.run(90, ablation="base")
    suite.run(88.5, ablation="hard", **HARD)
    text = render([table_of(suite)], "table", 1000)
    assert re.search(r"hard +88\.5 +-1\.5\n +no spread$", text, re.MULTILINE)
    assert "no spread over seeds is known, so chance alone may explain it." in text
    assert "Better, worse" not in text


def test_without_any_base(make_suite):
    suite = make_suite("none", axes=["ablation"])
    suite.seeds([91, 92], ablation="hard", **HARD)
    suite.seeds([91, 92], ablation="slow", **SLOW)
    text = render([table_of(suite)], "table", 1000)
    assert [line.split()[-1] for line in text.splitlines() if line[:4] in ("hard", "slow")] == [
        "-",
        "-",
    ]
    assert "No base run is planned, so there are no differences." in text


def test_ablations_of_the_method_are_not_asked_for_tuning_of_their_own(make_suite):
    tuned = make_suite("tuned", axes=["ablation"], tuned_by="search")
    make_suite("search", axes=["train.lr"]).run(90, train={"lr": 0.1})
    tuned.run(90, ablation="base")
    tuned.run(91, {"name": "ei", "ei_ratio": 2}, ablation="more inhibition")
    notes = footnotes(table_of(tuned))
    assert "Per-method values were found in `search`: 1 run for each method." in notes
    assert any("`more inhibition`: `method.ei_ratio` 2" in note for note in notes)


# --------------------------------------------------------------------------------- figure


def test_the_figure_shows_differences(ablated):
    table, figure = figure_of(ablated)
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["hard reset", "slow", "hard reset + slow", "no clipping"]
    lines = [line.get_xydata().tolist() for line in axes.get_lines()]
    assert [x for x, _ in lines[0]] == [0, 0]
    assert lines[1] == [
        [pytest.approx(-3 - HALF["hard reset"]), 0],
        [pytest.approx(-3 + HALF["hard reset"]), 0],
    ]
    assert lines[2] == [[-3, 0]]
    words = {text.get_text() for text in axes.texts} - {""}
    assert words == {"(n=2, 1 out of memory)", "diverged (3)"}
    assert "percentage points" in axes.get_xlabel().replace("\n", " ")
    dots = [c.get_offsets()[:, 0].tolist() for c in axes.collections]
    assert dots == [[-2, -4, -3], [-1, 1], [-8, -8, -5]]  # less the base's mean, 97
    filled = [line.get_markerfacecolor() for line in axes.get_lines() if line.get_marker() == "D"]
    assert [colour == "white" for colour in filled] == [True, True, False]
    assert "all of a panel together (Welch, Dunnett); filled: excludes 0" in caption(table, None)


def test_the_figure_takes_the_other_axes_as_panels(by_depth):
    table, figure = figure_of(by_depth)
    assert [axes.get_title() for axes in figure.axes] == ["depth 4", "depth 16", "depth 32"]
    assert [text.get_text() for text in figure.axes[2].texts] == ["no base"]
    assert "base runs without a number: 4 error" in caption(table, None)


def test_lines_over_an_axis_on_request(by_depth, ablated):
    results = read_suites([by_depth.folder])[0]
    layout = Layout(("ablation",), ("model.depth",), ("ablation", "base"))
    assert choose_axes(results) == (None, layout)
    assert choose_axes(results, x="model.depth") == ("model.depth", layout)
    drawn = next(make_figures([by_depth.folder], "test_accuracy", x="model.depth"))
    assert drawn.x == "model.depth"
    assert all(path.stat().st_size for path in drawn.paths)


def test_nothing_run_yet_is_drawn(make_suite):
    suite = make_suite("planned", axes=["ablation"])
    suite.plan(ablation="base")
    suite.plan(ablation="hard", **HARD)
    (axes,) = figure_of(suite)[1].axes
    assert [text.get_text() for text in axes.texts] == ["missing (1)"]


def test_differences_to_a_method(depth_scaling, cli):
    """The same as pandas and scipy have it: E-I alone has an interval of its own."""
    done = cli("report", depth_scaling.folder, "--against", "batchnorm", "--format", "json")
    assert done.out == cli("report", depth_scaling.folder, "--format", "json").out
    (suite,) = json.loads(done.out)
    cells = {(c["row"]["method"], c["column"]["model.depth"]): c for c in suite["cells"]}
    runs = load_results(depth_scaling.folder)
    wide = runs.pivot_table("test_accuracy", "seed", ["method", "model.depth"])
    for (method, depth), cell in cells.items():
        if method == "batchnorm":
            assert cell["difference"] is None
            continue
        if (method, depth) not in wide:  # all of its runs failed
            assert cell["difference"] is None
            continue
        ours, theirs = wide[method, depth].dropna(), wide["batchnorm", depth].dropna()
        assert cell["difference"] == pytest.approx(ours.mean() - theirs.mean())
        ends = (cell["difference_low"], cell["difference_high"])
        if method == "tdbn":  # the same computation
            assert (ends, cell["verdict"]) == ((None, None), None)
            continue
        known = ttest_ind(ours, theirs, equal_var=False).confidence_interval()
        assert ends == pytest.approx((known.low, known.high))
        assert cell["verdict"] == {4: "worse", 16: None}[depth]
    text = cli("report", depth_scaling.folder, "--against", "batchnorm").out
    assert "difference to batchnorm" in " ".join(text.split())
    assert "Difference to `batchnorm`, in percentage points" in " ".join(text.split())


def test_against_what_does_not_exist(depth_scaling, ablated, cli):
    done = cli("report", depth_scaling.folder, "--against", "batchnrom")
    assert done.code == 2
    assert "did you mean 'batchnorm'?" in done.errors[0]
    done = cli("report", ablated.folder, "--against", "batchnorm")
    assert done.code == 2
    assert "no ablation of ablated; allowed: base" in done.errors[0]
    done = cli(
        "report", depth_scaling.folder, "--rows", "model.depth", "--columns", "", "--against", "ei"
    )
    assert done.code == 2
