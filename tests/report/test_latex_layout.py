"""LaTeX tables: labels, macros, parts that fit a line and a page, and documents that compile."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from eibench.plan.lengths import points
from eibench.report.make import documents, laid_out, make_documents, render
from eibench.report.model.document import Cell, Column, Document, Page, Table, text_cells
from eibench.report.model.layers import make_pivots
from eibench.report.writers import write
from eibench.report.writers.tabular import layouts
from eibench.results.labels import field_called

EVIDENCE = Path(__file__).parents[2] / "results" / "evidence"
WIDTHS = {"article": "345pt", "single column": "5.5in", "two columns": "3.25in"}
MOST_OVERFULL = 5.0
"""Points by which a box may be too wide."""


# ------------------------------------------------------------------------------- labels


def test_a_label_for_each_kind_of_table(depth_scaling, fair_search):
    shapes = [
        {},
        {"metric": "test_loss"},
        {"rows": ["model.depth"]},
        {"against": "ei"},
        {"against": "none"},
        {"pooled": True},
    ]
    found = [
        table.label
        for shape in shapes
        for pivot in make_pivots([depth_scaling.folder], shape.pop("metric", None), **shape)
        for document in documents([pivot])
        for table in document.tables
    ]
    assert found[0] == "depth_scaling"
    assert len(set(found)) == len(shapes)
    twice = write(
        laid_out(documents([make_pivots([depth_scaling.folder], None)[0]] * 2), "latex", None),
        "latex",
    )
    assert re.findall(r"\\label\{(.*)\}", twice) == ["tab:depth_scaling", "tab:depth_scaling-2"]


# ------------------------------------------------------------------------------- macros


def test_macros_of_every_cell(depth_scaling, cli):
    text = cli("report", depth_scaling.folder, "--format", "macros").out
    known = dict(re.findall(r"\\newcommand\{\\(\w+)\}\{\\ensuremath\{(.*)\}\}", text))
    ei = {name.removeprefix("eibDepthScalingEiDepthFour"): v for name, v in known.items()}
    assert {k: v for k, v in ei.items() if not k.startswith("eib")} == {
        "Mean": "97.3", "Deviation": "0.2", "N": "3",
        "Difference": "-0.6", "Low": "-1.1", "High": "-0.1",
    }  # fmt: skip
    assert known["eibDepthScalingTdbnDepthOneSixN"] == "0"
    assert "eibDepthScalingTdbnDepthOneSixMean" not in known
    assert all(re.fullmatch("[A-Za-z]+", name) for name in known)
    assert len(known) == text.count(r"\newcommand")


def test_names_of_macros_are_letters_and_differ():
    words = [
        "a_b",
        "a-b",
        "a b",
        "\u03ba = 0",
        "\u03ba",
        "e\u0301",
        "1.5",
        "15",
        "\n\\end",
        "\U0001f600",
    ]
    numbers = tuple(((word, "mean"), "1") for word in words)
    text = write([Document("t", (), numbers=numbers)], "macros")
    names = re.findall(r"\\newcommand\{\\(.*?)\}", text)
    assert names[:3] == ["eibABMean", "eibABAgainTwoMean", "eibABAgainThreeMean"]
    assert {"eibKappaZeroMean", "eibOnePointFiveMean", "eibOneFiveMean"} <= set(names)
    assert len(set(names)) == len(names) == len(words)
    assert all(re.fullmatch("[A-Za-z]+", name) for name in names)
    assert len(text.splitlines()) == 1 + 2 * len(words)


# ------------------------------------------------------------------------------- layout


def test_lengths():
    assert points("345pt") == 345
    assert points("3.25in") == pytest.approx(234.88, abs=0.01)
    assert points("8.25 cm") == pytest.approx(234.74, abs=0.01)
    for text in ("3.25", "in", "1in", "99999pt", "3.25px", "-4in", "3,25in", "1e3pt"):
        with pytest.raises(ValueError, match=r"such as 3\.25in"):
            points(text)


def wide(columns, together=1):
    heads = [Column("method", stub=True), *(Column(f"c{i}", ("c", str(i))) for i in range(columns))]
    return Table(
        tuple(heads), (text_cells(["ei", *["97.3 \u00b1 0.2"] * columns]),), together=together
    )


def test_columns_are_divided_evenly_into_the_fewest_parts():
    sizes = [len(part.table.columns) - 1 for part in layouts(wide(10), 250.0)]
    assert sizes == [4, 3, 3]
    assert len(layouts(wide(4), 345.0)) == 1


def test_pairs_stand_side_by_side_or_one_below_the_other():
    (beside,) = layouts(wide(4, together=2), 345.0)
    assert len(beside.table.columns) == 5
    (below,) = layouts(wide(6, together=2), 250.0)
    assert [c.levels for c in below.table.columns[1:]] == [("c",)] * 3
    assert below.table.rows[0][1].below == Cell("97.3 \u00b1 0.2")


def test_rows_without_a_cell_in_a_part_are_left_out():
    table = replace(wide(10), rows=(*wide(10).rows, text_cells(["tdbn", "1", *["-"] * 9])))
    first, *others = layouts(table, 250.0)
    assert len(first.table.rows) == 2
    assert all(len(part.table.rows) == 1 for part in others)


def test_a_long_table_goes_on_under_the_same_number():
    rows = tuple(text_cells([f"method {i}", "97.3"]) for i in range(100))
    table = Table(
        (Column("method", stub=True), Column("c")), rows, ("A note.",), caption="C", label="l"
    )
    text = write([Document("t", (table,))], "latex")
    floats = text.split(r"\begin{table}")[1:]
    assert len(floats) == 3
    assert [r"\label{tab:l}" in part for part in floats] == [True, False, False]
    assert [r"\addtocounter{table}{-1}" in part for part in floats] == [False, True, True]
    assert ["A note." in part for part in floats] == [False, False, True]
    assert sum(part.count(r"method ") for part in floats) == 100 + 3
    assert re.findall(r"method (\d+) ", text) == [str(i) for i in range(100)]


def test_powers_of_ten(propagation):
    shape = {"rows": ["layer"], "columns": ["method", "model.depth"]}
    text = render(make_pivots([propagation.folder], None, **shape), "latex")
    assert r"1$\cdot$10$^{-}$$^{1}$$^{5}$" in text


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("depth", "model.depth"),
        ("learning rate", "train.lr"),
        ("lr", "train.lr"),
        ("time_steps", "timesteps"),
        ("network", "model"),
        ("size", "data.size"),
        ("nothing", None),
    ],
)
def test_fields_by_the_words_of_tables(name, field):
    known = ["model", "model.depth", "train.lr", "timesteps", "data.size", "train.size"]
    assert field_called(name, known, ["data.size"]) == field


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("depht", "; did you mean 'depth'?"),
        ("model.dept", "; did you mean 'model.depth'?"),
        ("lerning rate", "; did you mean 'learning rate'?"),
        ("batch_sise", "; did you mean 'batch_size'?"),
        ("nothing_like_it", ""),
    ],
)
@pytest.mark.parametrize("option", ["--rows", "--columns"])
def test_an_unknown_field_is_answered_with_the_nearest_name(cli, depth_scaling, option, name, near):
    """Listed are the fields that vary, without options that a method's label tells."""
    done = cli("report", depth_scaling.folder, option, name)
    assert (done.code, done.out) == (2, "")
    listed = "fields that vary: method, model.depth, train.lr, seed"
    known = f"no run of depth_scaling has this field; {listed}{near}"
    assert done.errors == [f"{option} {name}: {known}"]


def test_rows_by_the_words_of_tables(depth_scaling, cli):
    words = ["report", depth_scaling.folder, "--format", "csv"]
    assert cli(*words, "--rows", "depth").out == cli(*words, "--rows", "model.depth").out
    done = cli(*words, "--rows", "depth,model.depth")
    assert done.code == 2 and "model.depth is listed twice" in done.errors[0]


# --------------------------------------------------------------------------- compilation


def overfull(folder, text):
    """Compile `text`; return by how many points each box is too wide."""
    (folder / "t.tex").write_text(text)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Float too large" not in done.stdout
    assert "multiply defined" not in done.stdout
    return [float(found) for found in re.findall(r"Overfull \\hbox \(([\d.]+)pt", done.stdout)]


needs_latex = pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here")


@pytest.fixture(scope="module")
def evidence():
    return make_documents([EVIDENCE], form="latex")


@needs_latex
@pytest.mark.slow
@pytest.mark.parametrize("notes", ["short", "full"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_all_evidence_fits(tmp_path, evidence, width, notes):
    text = write(laid_out(evidence, "latex", notes, Page(points(width))), "latex", standalone=True)
    assert all(points <= MOST_OVERFULL for points in overfull(tmp_path, text))


@needs_latex
@pytest.mark.slow
def test_macros_and_starred_tables_compile(tmp_path, depth_scaling, fair_search, cli):
    folders = [depth_scaling.folder, fair_search.folder]
    macros = cli("report", *folders, "--format", "macros").out
    words = ["--format", "latex", "--width", "6.75in", "--starred", "--standalone"]
    text = cli("report", *folders, *words).out
    names = re.findall(r"\\newcommand\{(\\\w+)\}", macros)
    used = " ".join(f"{name}, ${name}$" for name in names)
    text = text.replace(r"\begin{document}", f"{macros}\\begin{{document}}{used}")
    assert all(points <= MOST_OVERFULL for points in overfull(tmp_path, text))
