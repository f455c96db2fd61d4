"""Published numbers beside ours, in every format, from results made by hand."""

import csv
import io
import json
import re
import shutil
import subprocess

import pytest

from eibench.report.make import render
from eibench.report.model.layers import make_pivots

FORMATS = ("table", "markdown", "latex", "json", "csv")
PREAMBLE = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
NASTY = "_ % & # $ { } ~ ^ \\ < > | \" ' -- ± \u00d7 \u2013 end\\end{table} $x$ %c"
PAPER = "A and B, 50% of_it (2026)"

TEXT = """
Published numbers

cell                    ours         published  difference  what differs: ours for theirs
----------------------- ------------ ---------- ----------- ----------------------------------------
ei, plain depth 4,      85.0 ± 1.0   87.03 [1]  -2.0        epochs 30 for 300; clip norm 1 for none;
digits                  (n=3)                               n = 3 for 1; epoch selected on
                                                            validation, theirs: best epoch on the
                                                            test split
batchnorm, plain depth  91.0 ± 1.4   90 [2]     +1.0        data Digits (JPEG) for digits; encoding,
4, Digits (JPEG)        (n=2, 1                             theirs: as spikes; theirs: no bias
                        diverged)
batchnorm, plain depth  missing (3)  50 [1]     -           nothing that is recorded differs
8, digits

Difference: our mean less the published number in percentage points. Other code, machines and
  protocols made the published ones; what is named differs, what is not named may. Ours train
  without the validation split.
[1] A and B, 50% of_it (2026).
[2] C and *D* (2025).
"""

MARKDOWN = r"""
#### Published numbers

| cell                                    | ours                         | published   | difference   | what differs: ours for theirs                                                                                            |
|-----------------------------------------|------------------------------|-------------|--------------|--------------------------------------------------------------------------------------------------------------------------|
| ei, plain depth 4, digits               | 85.0 ± 1.0 (n=3)             | 87.03 \[1\] | -2.0         | epochs 30 for 300; clip norm 1 for none; n = 3 for 1; epoch selected on validation, theirs: best epoch on the test split |
| batchnorm, plain depth 4, Digits (JPEG) | 91.0 ± 1.4 (n=2, 1 diverged) | 90 \[2\]    | +1.0         | data Digits (JPEG) for digits; encoding, theirs: as spikes; theirs: no bias                                              |
| batchnorm, plain depth 8, digits        | missing (3)                  | 50 \[1\]    | -            | nothing that is recorded differs                                                                                         |

- Difference: our mean less the published number in percentage points. Other code, machines and protocols made the published ones; what is named differs, what is not named may. Ours train without the validation split.
- \[1\] A and B, 50% of_it (2026).
- \[2\] C and \*D\* (2025).
"""  # noqa: E501

LATEX = r"""
\begin{table}
  \centering\small
  \setlength{\tabcolsep}{4pt}\setlength{\emergencystretch}{3em}
  \caption{Depth \& norms: test accuracy (\%); published numbers}
  \label{tab:depth_scaling-published}
  \par\smallskip
  \begin{tabular}{@{}p{0.22\linewidth}cccp{0.34\linewidth}@{}}
    \toprule
    cell & ours & published & difference & what differs: ours for theirs \tabularnewline
    \midrule
    \raggedright E-I (paper), plain depth 4, digits & \begin{tabular}[t]{@{}c@{}}{85.0 $\pm$ 1.0} \\ {\scriptsize (n=3)}\end{tabular} & 87.03 [1] & $-$2.0 & \raggedright epochs 30 for 300; clip norm 1 for none; n = 3 for 1; epoch selected on validation, theirs: best epoch on the test split \tabularnewline
    \raggedright BatchNorm, plain depth 4, Digits (JPEG) & \begin{tabular}[t]{@{}c@{}}{91.0 $\pm$ 1.4} \\ {\scriptsize (n=2, 1} \\ {\scriptsize diverged)}\end{tabular} & 90 [2] & $+$1.0 & \raggedright data Digits (JPEG) for digits; encoding, theirs: as spikes; theirs: no bias \tabularnewline
    \raggedright BatchNorm, plain depth 8, digits & missing (3) & 50 [1] & -- & \raggedright nothing that is recorded differs \tabularnewline
    \bottomrule
  \end{tabular}
  \par\medskip
  {\footnotesize\raggedright Difference: our mean less the published number in percentage points. Other code, machines and protocols made the published ones; what is named differs, what is not named may. Ours train without the validation split.\par}
  {\footnotesize\raggedright [1] A and B, 50\% of\_\allowbreak{}it (2026).\par}
  {\footnotesize\raggedright [2] C and *D* (2025).\par}
\end{table}
"""  # noqa: E501


def ids(suite, **fields):
    """The planned runs with these values."""
    wanted = {key.replace("__", "."): value for key, value in fields.items()}
    runs = suite.content["runs"]
    return [run["run_id"] for run in runs if wanted.items() <= run["fields"].items()]


def reference(suite, method="ei", depth=4, value=87.03, **changes):
    return {
        "method": method,
        "model": {"name": "plain", "depth": depth},
        "data": "digits",
        "data_title": None,
        "metric": "test_accuracy",
        "value": value,
        "source": PAPER,
        "fields": {},
        "notes": {},
        "runs": ids(suite, method=method, model__depth=depth),
        **changes,
    }


@pytest.fixture
def filled(suite):
    """Means by hand: ei 85 ± 1 at depth 4; batchnorm (90 + 92) / 2 = 91 ± sqrt(2)."""
    suite.seeds([84, 85, 86], "ei", 4)
    suite.seeds([90, 92], "batchnorm", 4)
    suite.fail("diverged", "loss is nan", "batchnorm", 4, 2)
    for seed in range(3):
        suite.plan("batchnorm", 8, seed)
    return suite


@pytest.fixture
def compared(filled):
    suite = filled
    suite.content["references"] = [
        reference(
            suite,
            fields={"timesteps": 4, "train.epochs": 300, "train.lr": 0.1, "train.clip_norm": None},
            notes={"seeds": 1, "selection": "best epoch on the test split"},
        ),
        reference(
            suite,
            "batchnorm",
            value=90,
            data_title="Digits (JPEG)",
            source="C and *D* (2025)",
            fields={"input.crop": 0},
            notes={"seeds": 2, "encoding": "as spikes", "other": "no bias"},
        ),
        reference(suite, "batchnorm", 8, 50, notes={"seeds": 1}),
    ]
    write(suite)
    return suite


def write(suite):
    (suite.folder / "plan.json").write_text(json.dumps(suite.content))


def report(suite, form="table", **layout):
    return render(make_pivots([suite.folder], layout.pop("metric", None), **layout), form)


@pytest.mark.parametrize(
    ("form", "expected"), [("table", TEXT), ("markdown", MARKDOWN), ("latex", LATEX)]
)
def test_golden(compared, form, expected):
    """The table of published numbers stands behind that of ours, which stays as it was."""
    text = report(compared, form)
    assert text.endswith(expected)
    del compared.content["references"]
    write(compared)
    assert text == report(compared, form) + expected


def test_json(compared):
    (table,) = json.loads(report(compared, "json"))
    first, second, third = table["published"]
    assert first == {
        "row": {"method": "ei"},
        "column": {"model.depth": 4},
        "method": "ei",
        "model": {"name": "plain", "depth": 4},
        "data": "digits",
        "data_title": None,
        "mean": 85.0,
        "std": 1.0,
        "n": 3,
        "published": 87.03,
        "difference": pytest.approx(-2.03),
        "protocol": [
            "epochs 30 for 300",
            "clip norm 1 for none",
            "n = 3 for 1",
            "epoch selected on validation, theirs: best epoch on the test split",
        ],
        "source": PAPER,
    }
    assert (second["difference"], second["data_title"]) == (1.0, "Digits (JPEG)")
    assert (third["mean"], third["n"], third["difference"]) == (None, 0, None)


def test_every_option_of_the_authors_recipe_is_compared(filled):
    recipe = {
        "train.weight_decay_on": "all",
        "input.erase": 0.5,
        "input.erase_area": 0.4,
        "input.resized_crop": 0.08,
        "input.one_of": True,
        "input.hue": 0.1,
    }
    filled.content["references"] = [reference(filled, fields=recipe)]
    write(filled)
    (table,) = json.loads(report(filled, "json"))
    assert table["published"][0]["protocol"] == [
        "weight decay on matrices for all",
        "erase 0 for 0.5",
        "resized crop none for 0.08",
        "one of no for yes",
        "hue 0 for 0.1",
    ]


def test_csv_has_the_main_table_alone(compared):
    rows = list(csv.DictReader(io.StringIO(report(compared, "csv"))))
    assert [(row["method"], row["mean"]) for row in rows] == [
        ("ei", "85.0"),
        ("batchnorm", "91.0"),
        ("batchnorm", ""),
    ]
    assert "published" not in rows[0]


@pytest.mark.parametrize("form", FORMATS)
def test_plans_without_references_are_reported_as_ever(filled, form):
    """Those written before there were any have no key; an empty list says the same."""
    before = report(filled, form)
    assert "ublished" not in before
    filled.content["references"] = []
    write(filled)
    assert report(filled, form) == before


@pytest.mark.parametrize("form", FORMATS)
def test_other_metrics_have_none(compared, form):
    assert "ublished" not in report(compared, form, metric="firing_rate")


def test_two_papers_on_one_cell(filled):
    filled.content["references"] = [
        reference(filled, value=87),
        reference(filled, value=84, source="Other"),
        reference(filled, value=83),
    ]
    write(filled)
    (table,) = json.loads(report(filled, "json"))
    assert [one["difference"] for one in table["published"]] == [-2, 1, 2]
    text = report(filled)
    assert text.count("[1] A and B") == 1
    assert all(shown in text for shown in ("87 [1]", "84 [2]", "83 [1]", "[2] Other."))


def test_what_else_tells_cells_apart_is_named(make_suite):
    suite = make_suite("rates", axes=["method", "train.batch_size"])
    for size, accuracy in [(16, 80), (64, 81)]:
        suite.seeds([accuracy, accuracy], "ei", train={"batch_size": size})
    known = reference(suite, value=82, fields={"train.batch_size": 64})
    suite.content["references"] = [known]
    write(suite)
    text = " ".join(report(suite, "markdown").split())
    assert "| ei, plain depth 4, digits, batch size 16 | 80.0 ± 0.0 (n=2) | 82" in text
    assert "-2.0 | batch size 16 for 64 |" in text
    assert "-1.0 | nothing that is recorded differs |" in text


def test_ablations_are_beside_what_they_are_of(make_suite):
    """An ablation of the neuron keeps the method's label; the protocol says what it changes."""
    suite = make_suite("parts", axes=["ablation"])
    for name, tau in [("base", 2.0), ("long", 4.0)]:
        suite.seeds([80, 82], "ei", ablation=name, neuron={"tau": tau})
    suite.content["references"] = [reference(suite, value=82, fields={"neuron.tau": 2.0})]
    write(suite)
    text = " ".join(report(suite, "markdown").split())
    assert "| ei, plain depth 4, digits, base | 81.0 ± 1.4 (n=2) | 82" in text
    assert "| ei, plain depth 4, digits, long |" in text
    assert "-1.0 | membrane time constant 4 for 2 |" in text


def test_another_layout(compared):
    text = report(compared, "markdown", rows=["model.depth"], columns=["method"])
    assert "| ei, plain depth 4, digits " in text
    assert text.count("| batchnorm, plain depth") == 2


def test_narrow_terminals(compared):
    text = render(make_pivots([compared.folder], None), "table", 60)
    assert "ei, plain depth 4," in text
    assert "[2] C and *D* (2025)." in text


@pytest.mark.parametrize("places", ["source", "data_title", "notes"])
def test_latex_of_odd_text(compared, places):
    known = compared.content["references"][0]
    known[places] = {"other": NASTY} if places == "notes" else NASTY
    write(compared)
    text = report(compared, "latex")
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    assert r"end\textbackslash{}end\{table\}" in text


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here")
def test_it_compiles(tmp_path, compared):
    compared.content["references"][0]["notes"]["other"] = NASTY
    write(compared)
    document = PREAMBLE + report(compared, "latex") + "\\end{document}\n"
    (tmp_path / "t.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_from_the_suite_to_the_table(project, cli):
    """The real commands: a run, its plan, its report."""
    project.write(
        "sources: {a: {paper: Some paper, year: 2025}}\n"
        "published:\n"
        "  - data: digits\n"
        "    model: {name: plain, depth: 1, width: 4, pools: 1}\n"
        "    method: ei\n"
        "    value: 99\n"
        "    source: a\n"
        "    protocol: {train.epochs: 9, timesteps: 2}\n",
        "references.yaml",
    )
    path = project.suite(references="references.yaml")
    assert cli("run", path, "--only", "model.depth=1").code == 0
    (record,) = project.records().values()
    out = " ".join(cli("report", "results/tiny", "--format", "markdown").out.split())
    difference = record["result"]["test_accuracy"] - 99
    assert f"| 99 \\[1\\] | {difference:+.1f} | epochs 1 for 9 |" in out
    assert "Some paper (2025)." in out
