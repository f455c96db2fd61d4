"""Ablations in reports: differences to the base by seed, their intervals, words, and the figure."""

import csv
import io
import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t, ttest_1samp

from eibench.report.figures.draw import make_figures
from eibench.report.figures.tables import caption, choose_axes, draw_table
from eibench.report.make import render
from eibench.report.model.layers import make_pivots
from eibench.report.model.notes import footnotes
from eibench.report.model.pivot import Layout, build_pivot, choose_layout
from eibench.report.model.suite_results import SuiteResults, read_suites
from eibench.results.cells import Run
from eibench.results.frame import load_results
from eibench.results.metrics import METRICS
from eibench.results.statistics import difference, half_width

HARD = {"neuron": {"reset": "hard"}}
SLOW = {"neuron": {"tau": 4.0}}
BOTH = {"neuron": {"tau": 4.0, "reset": "hard"}}
UNCLIPPED = {"train": {"clip_norm": None}}


def sample(*values):
    return dict(enumerate(values))


@pytest.fixture
def ablated(make_suite):
    """Three seeds; a run that is missing, one that failed, and a row of failures."""
    suite = make_suite("ablated", title="E-I & parts", axes=["ablation"])
    for seed, base in enumerate([97, 96, 98]):
        suite.run(base, seed=seed, ablation="base")
        suite.run(base - 2 - seed, seed=seed, ablation="hard reset", **HARD)  # -2, -3, -4
        if seed < 2:
            suite.run(base - 1 + 3 * seed, seed=seed, ablation="slow", **SLOW)  # -1, +2
        else:
            suite.fail("out_of_memory", "CUDA is full", seed=seed, ablation="slow", **SLOW)
        suite.run(base - 8 + seed, seed=seed, ablation="hard reset + slow", **BOTH)  # -8, -7, -6
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


def table_of(suite, metric="test_accuracy", **layout):
    return make_pivots([suite.folder], metric, **layout)[0]


def figure_of(suite):
    results = read_suites([suite.folder])[0]
    x, layout = choose_axes(results)
    table = build_pivot(results, METRICS["test_accuracy"], layout)
    return table, draw_table(table, x)


# ------------------------------------------------------------------------------ statistics


def test_difference_by_hand():
    # differences 1, 2, 3: mean 2, deviation 1; t(0.975, 2) = 4.30265, so 2 +- 4.30265 / sqrt 3
    found = difference(sample(11, 22, 33), sample(10, 20, 30))
    assert (found.mean, found.n) == (2.0, 3)
    assert found.interval == pytest.approx((2 - 2.48414, 2 + 2.48414), abs=1e-5)
    assert not found.excludes_zero


def test_two_seeds_have_a_wide_interval():
    # differences -1, -2: mean -1.5, deviation 1 / sqrt 2; with one degree of freedom
    # t(0.975) = tan(0.475 pi) = 12.7062, so the half width is 12.7062 / 2
    found = difference(sample(9, 8), sample(10, 10))
    half = math.tan(0.475 * math.pi) / 2
    assert found.interval == pytest.approx((-1.5 - half, -1.5 + half))


def test_the_factor_of_an_interval():
    assert half_width(3) == pytest.approx(2.484, abs=1e-3)
    assert half_width(5) == pytest.approx(1.242, abs=1e-3)
    assert half_width(9) == pytest.approx(t(8).ppf(0.975) / 3)


@pytest.mark.parametrize(
    ("a", "b", "mean", "n"),
    [({0: 3.0}, {0: 1.0}, 2.0, 1), ({0: 3.0}, {1: 1.0}, None, 0), ({}, {0: 1.0}, None, 0)],
)
def test_too_few_shared_seeds_have_no_interval(a, b, mean, n):
    found = difference(a, b)
    assert (found.mean, found.n, found.interval, found.excludes_zero) == (mean, n, None, False)


def test_rounding_is_no_difference():
    found = difference(sample(0.1 + 0.2, 0.3), sample(0.3, 0.3))
    assert (found.mean, found.interval, found.excludes_zero) == (0.0, (0.0, 0.0), False)


NUMBERS = st.floats(0, 100).map(lambda x: round(x, 3))
SAMPLES = st.dictionaries(st.integers(0, 9), NUMBERS, max_size=8)


@given(SAMPLES, SAMPLES, st.randoms())
def test_pairing_is_by_seed_and_not_by_order(a, b, random):
    shuffled = dict(random.sample(list(a.items()), len(a)))
    found = difference(shuffled, b)
    assert found == difference(a, b)
    assert found.values.keys() == a.keys() & b.keys()
    assert all(found.values[seed] == pytest.approx(a[seed] - b[seed]) for seed in found.values)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=8))
def test_the_interval_is_that_of_a_t_test(pairs):
    a, b = sample(*(x for x, _ in pairs)), sample(*(y for _, y in pairs))
    differences = [x - y for x, y in pairs]
    if len({round(d, 6) for d in differences}) > 1:
        expected = ttest_1samp(differences, 0).confidence_interval(0.95)
        assert difference(a, b).interval == pytest.approx(tuple(expected), abs=1e-9)


# --------------------------------------------------------------------------------- tables


def test_ablations_are_rows(by_depth, ablated):
    assert choose_layout(read_suites([ablated.folder])[0]) == Layout(("ablation",), ())
    layout = choose_layout(read_suites([by_depth.folder])[0])
    assert layout == Layout(("ablation",), ("model.depth",))


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
    values = {row[0]: difference.values for (row, _), difference in found.items()}
    assert values == {
        "hard reset": {0: -2, 1: -3, 2: -4},
        "slow": {0: -1, 1: 2},
        "hard reset + slow": {0: -8, 1: -7, 2: -6},
        "no clipping": {},
    }


NAMES = ("base", "hard", "slow")
RESULTS = st.dictionaries(st.tuples(st.sampled_from(NAMES), st.integers(0, 4)), NUMBERS, min_size=1)


@given(RESULTS)
def test_differences_whatever_has_a_number(results):
    """From values alone: the base has none, others pair by seed."""
    runs = [
        Run(f"{name}{seed}", {"ablation": name, "seed": seed}, "ok", "", {"test_accuracy": x}, {})
        for (name, seed), x in results.items()
    ]
    suite = SuiteResults(Path(), "x", "y", ("ablation",), None, (), tuple(runs), 0)
    table = build_pivot(suite, METRICS["test_accuracy"], Layout((), ("ablation",)))
    found = {column[0]: difference.values for (_, column), difference in table.differences.items()}
    assert found.keys() == {name for name, _ in results} - {"base"}
    for name, values in found.items():
        shared = [s for s in range(5) if (name, s) in results and ("base", s) in results]
        expected = {seed: results[name, seed] - results["base", seed] for seed in shared}
        assert values == pytest.approx(expected)


def test_the_base_in_the_same_column_is_taken(by_depth):
    found = table_of(by_depth).differences
    assert found[("hard",), (4,)].values == {0: -1, 1: -1, 2: 1}
    assert found[("hard",), (16,)].values == {0: -1, 2: 1}
    assert found[("hard",), (32,)].values == {}


def test_ablations_in_columns_have_the_same_differences(by_depth):
    down = table_of(by_depth).differences
    across = table_of(by_depth, columns=["ablation"], rows=["model.depth"]).differences
    assert {(column, row): d for (row, column), d in across.items()} == down


def test_no_best_among_ablations(ablated):
    table = table_of(ablated)
    assert table.comparisons == ()
    assert not any(cell.best for cell in table.cells.values())
    assert "**" not in render([table], "markdown")


# hard reset: mean -3, deviation 1: -3 +- 2.48; slow: 0.5 +- 12.706 x 2.1213 / 1.4142 = 19.06;
# the pair: -7 +- 2.48
TEXT = """\
E-I & parts: test accuracy (%)

                                  difference to
                   test accuracy  base
ablation           (%)            [95 % CI]
------------------ -------------- -------------------
base               97.0 ± 1.0     -
hard reset         94.0 ± 1.0     -3.0 [-5.5, -0.5] †
slow               97.0 ± 1.4     +0.5 [-18.6, +19.6]
                   (n=2, 1 out    (n=2)
                   of memory)
hard reset + slow  90.0 ± 1.7     -7.0 [-9.5, -4.5] †
no clipping        diverged (3)   -

Mean ± sample"""

MARKDOWN = r"""### E-I & parts: test accuracy (%)

| ablation | test accuracy (%) | difference to base \[95 % CI\] |
|-|-|-|
| base | 97.0 ± 1.0 | - |
| hard reset | 94.0 ± 1.0 | -3.0 [-5.5, -0.5] † |
| slow | 97.0 ± 1.4 (n=2, 1 out of memory) | +0.5 [-18.6, +19.6] (n=2) |
| hard reset + slow | 90.0 ± 1.7 | -7.0 [-9.5, -4.5] † |
| no clipping | diverged (3) | - |
"""

LATEX = r"""  \begin{tabular}{lcc}
    \toprule
    ablation & test accuracy (\%) & \begin{tabular}[b]{@{}c@{}}{difference to base} \\ {[95 \% CI]}\end{tabular} \\
    \midrule
    base & 97.0 $\pm$ 1.0 & - \\
    hard reset & 94.0 $\pm$ 1.0 & $-$3.0 [$-$5.5, $-$0.5] $\dagger$ \\
    slow & \begin{tabular}[t]{@{}c@{}}97.0 $\pm$ 1.4 \\ \scriptsize (n=2, 1 out of memory)\end{tabular} & \begin{tabular}[t]{@{}c@{}}$+$0.5 [$-$18.6, $+$19.6] \\ \scriptsize (n=2)\end{tabular} \\
    hard reset + slow & 90.0 $\pm$ 1.7 & $-$7.0 [$-$9.5, $-$4.5] $\dagger$ \\
    no clipping & diverged (3) & - \\
    \bottomrule
"""  # noqa: E501


def test_terminal(ablated):
    text = render([table_of(ablated)], "table")
    assert text.startswith(TEXT)
    assert max(map(len, text.splitlines())) <= 100


def test_markdown(ablated):
    squeezed = re.sub("-{2,}", "-", re.sub(r" +\|", " |", render([table_of(ablated)], "markdown")))
    assert squeezed.startswith(MARKDOWN)


def test_latex(ablated):
    assert LATEX in render([table_of(ablated)], "latex")


def test_latex_heads_over_two_parts(by_depth):
    text = render([table_of(by_depth)], "latex")
    assert r" & \multicolumn{4}{c}{depth} \\" in text
    assert r" & \multicolumn{2}{c}{4} & \multicolumn{2}{c}{16} \\" in text
    assert r"\cmidrule(lr){2-3} \cmidrule(lr){4-5}" in text
    assert text.index(r"\begin{tabular}{lcccc}") < text.index(r"\begin{tabular}{lcc}")
    assert r" & \multicolumn{2}{c}{32} \\" in text  # which the page has no width for


def test_a_name_is_no_option_of_the_line_before(make_suite):
    suite = make_suite("odd", axes=["ablation"])
    suite.run(90, ablation="base")
    suite.run(91, ablation="[2cm] _%", **HARD)
    assert "    {}[2cm] \\_\\% & 91.0 & $+$1.0 \\\\\n" in render([table_of(suite)], "latex")


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
    plain = table_of(depth_scaling)
    assert "difference" not in render([plain], "csv")
    both = list(csv.DictReader(io.StringIO(render([plain, table_of(ablated)], "csv"))))
    assert {row["difference"] for row in both if row["suite"] == "depth_scaling"} == {""}
    rows = {row["ablation"]: row for row in both if row["suite"] == "ablated"}
    keys = ("difference", "difference_low", "difference_high", "difference_n")
    assert [rows["base"][key] for key in keys] == ["", "", "", ""]
    assert [rows["no clipping"][key] for key in keys] == ["", "", "", "0"]
    assert [float(rows["hard reset"][key]) for key in keys] == pytest.approx(
        [-3, -3 - 2.48414, -3 + 2.48414, 3], abs=1e-5
    )


def test_json(ablated):
    (suite,) = json.loads(render([table_of(ablated)], "json"), parse_constant=pytest.fail)
    cells = {cell["row"]["ablation"]: cell for cell in suite["cells"]}
    assert cells["base"]["difference"] is cells["base"]["difference_n"] is None
    assert cells["slow"]["difference"] == pytest.approx(0.5)
    assert cells["slow"]["difference_n"] == 2
    assert (cells["no clipping"]["difference"], cells["no clipping"]["difference_n"]) == (None, 0)


def test_load_results_has_the_column(ablated):
    frame = load_results(ablated.folder)
    assert list(frame["ablation"][:3]) == ["base", "hard reset", "slow"]


# ---------------------------------------------------------------------------------- notes


def test_notes(ablated):
    runs = ablated.content["runs"]
    ids = {(r["fields"]["ablation"], r["fields"]["seed"]): r["run_id"] for r in runs}
    notes = footnotes(table_of(ablated))
    assert notes[2:8] == [
        "Changed in the base run, and nothing else tuned for it: `hard reset`: `neuron.reset` hard;"
        " `slow`: `neuron.tau` 4; `no clipping`: `train.clip_norm` none.",
        "Difference to base: mean over the shared seeds, in percentage points, and its 95 %"
        " confidence interval by the paired t distribution. †: the interval excludes 0. The 3"
        " intervals of this table are not corrected for their number: by chance alone one in 20"
        " would exclude 0.",
        "An interval from 3 seeds reaches 2.5 standard deviations of the differences to either"
        " side, and 3 numbers tell that deviation badly: an interval that holds 0 does not show"
        " that there is no effect.",
        "Diverged: " + ", ".join(f"`{ids['no clipping', s]}` (`no clipping`)" for s in range(3))
        + "; reason: `epoch 3: training loss is nan`.",
        f"Out of memory: `{ids['slow', 2]}` (`slow`); reason: `CUDA is full`.",
        "Computed on Abacus 9000 (4 cores), device: cpu, 2 threads.",
    ]  # fmt: skip


def test_lacking_base_runs_are_named(by_depth):
    text = render([table_of(by_depth)], "table", 1000)
    assert (
        "The base run has no number under: seed 1, depth 16; seed 0, depth 32; seed 1, depth 32;"
        " seed 2, depth 32. Differences there use the other seeds, if any." in text
    )
    (row,) = [line for line in text.splitlines() if line.startswith("hard")]
    assert row.endswith("no shared seed")


def test_one_seed_has_differences_without_intervals(make_suite):
    suite = make_suite("one", axes=["ablation"])
    suite.run(90, ablation="base")
    suite.run(88.5, ablation="hard", **HARD)
    text = render([table_of(suite)], "table", 1000)
    assert re.search(r"hard +88\.5 +-1\.5$", text, re.MULTILINE)
    assert "one shared seed gives no interval, so chance alone may explain it." in text
    assert "†" not in text


def test_equal_differences_are_said_to_be_so(make_suite):
    suite = make_suite("equal", axes=["ablation"])
    suite.seeds([90, 91], ablation="base")
    suite.seeds([91, 92], ablation="hard", **HARD)
    text = render([table_of(suite)], "table", 1000)
    assert "+1.0 [+1.0, +1.0] †" in text
    assert "An interval without width comes from seeds that differ by the same amount." in text


def test_without_any_base(make_suite):
    suite = make_suite("none", axes=["ablation"])
    suite.seeds([91, 92], ablation="hard", **HARD)
    suite.seeds([91, 92], ablation="slow", **SLOW)
    text = render([table_of(suite)], "table", 1000)
    assert text.count("no shared seed") == 2
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
        [pytest.approx(-5.48414, abs=1e-5), 0],
        [pytest.approx(-0.51586, abs=1e-5), 0],
    ]
    assert lines[2] == [[-3, 0]]
    words = {text.get_text() for text in axes.texts} - {""}
    assert words == {"(n=2, 1 out of memory)", "diverged (3)"}
    assert "percentage points" in axes.get_xlabel().replace("\n", " ")
    assert "3 of them, not corrected" in caption(table, None)


def test_the_figure_takes_the_other_axes_as_panels(by_depth):
    table, figure = figure_of(by_depth)
    assert [axes.get_title() for axes in figure.axes] == ["depth 4", "depth 16", "depth 32"]
    assert [text.get_text() for text in figure.axes[2].texts] == ["no shared seed"]
    assert "base runs without a number, left out with their seeds: 4 error" in caption(table, None)


def test_lines_over_an_axis_on_request(by_depth, ablated):
    results = read_suites([by_depth.folder])[0]
    assert choose_axes(results) == (None, Layout(("ablation",), ("model.depth",)))
    expected = ("model.depth", Layout(("ablation",), ("model.depth",)))
    assert choose_axes(results, x="model.depth") == expected
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
    """Paired by seed, and the same as pandas has it."""
    done = cli("report", depth_scaling.folder, "--against", "batchnorm", "--format", "json")
    (suite,) = json.loads(done.out)
    cells = {(c["row"]["method"], c["column"]["model.depth"]): c for c in suite["cells"]}
    runs = load_results(depth_scaling.folder)
    wide = runs.pivot_table("test_accuracy", "seed", ["method", "model.depth"])
    for (method, depth), cell in cells.items():
        if method == "batchnorm":
            assert cell["difference"] is None
            continue
        if (method, depth) not in wide:  # all of its runs failed
            assert cell["difference_n"] == 0
            continue
        paired = (wide[method, depth] - wide["batchnorm", depth]).dropna()
        assert cell["difference_n"] == len(paired)
        if len(paired):
            assert cell["difference"] == pytest.approx(paired.mean())
        assert not cell["best"]
    text = cli("report", depth_scaling.folder, "--against", "batchnorm").out
    assert "difference to batchnorm" in " ".join(text.split())
    assert "Difference to `batchnorm`: mean over the shared seeds" in " ".join(text.split())


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
