"""LaTeX tables that are wider than a page go on below."""

import re

from eibench.report.make import render
from eibench.report.model.document import Column, Document, Table, text_cells
from eibench.report.model.layers import make_pivots
from eibench.report.writers import write

RATES = [0.01 * n for n in range(1, 11)]


def test_a_table_of_ten_columns_is_cut(make_suite):
    suite = make_suite("wide", axes=["method", "train.lr"])
    for rate in RATES:
        suite.seeds([90.0, 91.0], train={"lr": rate})
    (table,) = make_pivots([suite.folder], "test_accuracy", ["method"], ["train.lr"])
    text = render([table], "latex")
    assert text.count(r"\begin{tabular}{@{}lccccc@{}}") == 2
    assert text.count(r"\begin{table}") == 1
    assert r"method & 0.01 & 0.02 & 0.03 & 0.04 & 0.05 \\" in text
    assert r"method & 0.06 & 0.07 & 0.08 & 0.09 & 0.1 \\" in text


def test_a_table_of_many_columns_repeats_what_names_its_rows():
    stubs = (Column(name, stub=True) for name in ("method", "depth"))
    keys = (Column(f"key {i}") for i in range(12))
    columns = (*stubs, *keys, Column("words", paragraph=0.3))
    row = text_cells(["ei", "4", *["0.123456"] * 12, "running text"])
    table = Table(columns, (row,), caption="Title: trials", label="t", narrow=True)
    text = write([Document("Title", (table,))], "latex")
    parts = re.findall(r"\\begin\{tabular\}\{@\{\}(ll.*)@\{\}\}\n", text)
    assert len(parts) > 1
    running = [part.endswith("\\linewidth}") for part in parts]
    assert running == [False] * (len(parts) - 1) + [True]
    assert len(re.findall(r"^    ei & 4 & ", text, re.MULTILINE)) == len(parts)
