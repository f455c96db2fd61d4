"""LaTeX: escaping, the golden table, and a document that compiles."""

import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eibench.report.make import render
from eibench.report.model.layers import make_pivots
from eibench.report.writers.escape import latex as escape
from eibench.report.writers.escape import missing_signs

GOLDEN = r"""\begin{table}
  \centering\small
  \setlength{\tabcolsep}{4pt}
  \caption{Depth \& norms: test accuracy (\%)}
  \label{tab:depth_scaling}
  \par\smallskip
  \begin{tabular}{lcc}
    \toprule
     & \multicolumn{2}{c}{depth} \\
    \cmidrule(lr){2-3}
     & \multicolumn{2}{c}{4} \\
    \cmidrule(lr){2-3}
    method & mean & \begin{tabular}[b]{@{}c@{}}{difference to batchnorm,} \\ {95 \% CI}\end{tabular} \\
    \midrule
    ei & 97.3 $\pm$ 0.2 & \begin{tabular}[t]{@{}c@{}}$-$0.6 [$-$1.1, $-$0.1] \\ \scriptsize worse\end{tabular} \\
    batchnorm & \textbf{97.9 $\pm$ 0.3} & - \\
    tdbn & \textbf{97.9 $\pm$ 0.3} & \begin{tabular}[t]{@{}c@{}}$+$0.0 \\ \scriptsize equal\end{tabular} \\
    \bottomrule
  \end{tabular}
  \par\medskip
  \begin{tabular}{lcc}
    \toprule
     & \multicolumn{2}{c}{depth} \\
    \cmidrule(lr){2-3}
     & \multicolumn{2}{c}{16} \\
    \cmidrule(lr){2-3}
    method & mean & \begin{tabular}[b]{@{}c@{}}{difference to batchnorm,} \\ {95 \% CI}\end{tabular} \\
    \midrule
    ei & 95.9 $\pm$ 0.4 & \begin{tabular}[t]{@{}c@{}}$+$4.6 [$-$2.6, $+$11.9] \\ \scriptsize runs failed\end{tabular} \\
    batchnorm & \begin{tabular}[t]{@{}c@{}}91.2 $\pm$ 1.1 \\ \scriptsize (n=2, 1 out of memory)\end{tabular} & - \\
    tdbn & diverged (2), missing (1) & - \\
    \bottomrule
  \end{tabular}
  \par\medskip
  {\footnotesize\raggedright
    Mean $\pm$ sample standard deviation over n = 3 runs (seeds 0, 1, 2); a cell with fewer says so.\par
"""  # noqa: E501
PREAMBLE = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
NASTY = "_ % & # $ { } ~ ^ \\ < > | \" ' -- ± \u00d7 \u2013 end\\end{table} $x$ %c"
SPECIALS = '_%&#${}~^\\<>|"\n'
KNOWN = (
    r"\\[_%&#${}-]|\\text(backslash|asciitilde|asciicircum|less|greater|bar)\{\}|"
    r"\$[^$]*\$|\\([`'^~=.\"]|[uHvdcbrij]\b|[a-zA-Z]+(?=\{\}))|\{(\\?\w|)\}|~"
)


@pytest.fixture
def table(depth_scaling):
    return make_pivots([depth_scaling.folder], "test_accuracy")[0]


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("no_norm", r"no\_norm"),
        ("100% & #1 {$}", r"100\% \& \#1 \{\$\}"),
        ("~^\\", r"\textasciitilde{}\textasciicircum{}\textbackslash{}"),
        ("a < b > c | d", r"a \textless{} b \textgreater{} c \textbar{} d"),
        ("97 ± 1", r"97 $\pm$ 1"),
        ("two\nlines", "two lines"),
        ("τ and κ, T ≤ 4", r"$\tau$ and $\kappa$, T $\leq$ 4"),
        (
            "\u2212g → ½ g, 3 \u00d7 10⁻²",
            r"$-$g $\rightarrow$ $\frac{1}{2}$ g, 3 $\times$ 10$^{-}$$^{2}$",
        ),
        ("Ω ά Ά \u03bf", r"$\Omega$ $\acute{\alpha}$ $\acute{\mathrm{A}}$ $o$"),
        ("é Ü ñ ř ß ł ï", r"\'{e} \"{U} \~{n} \v{r} \ss{} \l{} \"{\i}"),
        ("“a” \u2013 \u2018b\u2019 — c…", r"``a'' -- `b' --- c\dots{}"),
        ("90° `x`", r"90$^{\circ}$ \`{}x\`{}"),
        ("\x1b[31m \u202e \udce9 ☺", "[U+001B][31m [U+202E] [U+DCE9] [U+263A]"),
    ],
)
def test_escape(text, latex):
    assert escape(text) == latex


@given(st.text(alphabet=st.one_of(st.sampled_from(NASTY + SPECIALS), st.characters())))
def test_escaped_text_has_no_bare_specials(text):
    """Beyond mathematics, accents and named signs."""
    assert not set(SPECIALS) & set(re.sub(KNOWN, "", escape(text)))


def test_signs_that_latex_lacks_are_named():
    assert missing_signs(escape("☺ and \x07, ☺")) == ["☺ (U+263A)", "\\x07 (U+0007)"]
    assert missing_signs(escape("τ ≤ é")) == []


def test_golden(table):
    assert render([table], "latex").startswith(GOLDEN)


def test_notes_name_runs_in_typewriter_type(table):
    text = render([table], "latex")
    assert r"\texttt{tdbn} is the same computation as \texttt{batchnorm} in" in text
    assert r"no \{room\} \& 100\% full" in text
    assert "`" not in text


def test_heads_of_several_fields(make_suite):
    suite = make_suite("nested", axes=["method", "model.depth", "timesteps"])
    for depth, steps in [(4, 1), (4, 4), (8, 1)]:
        suite.run(90, "ei", depth, timesteps=steps)
    text = render(make_pivots([suite.folder], "test_accuracy"), "latex")
    assert r" & \multicolumn{2}{c}{depth 4} & \multicolumn{1}{c}{depth 8} \\" in text
    assert r"\cmidrule(lr){2-3} \cmidrule(lr){4-4}" in text
    assert r"method & time steps 1 & time steps 4 & time steps 1 \\" in text


def test_braces_and_environments_match(table):
    text = render([table], "latex")
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    assert re.findall(r"\\begin\{(\w+)\}", text).count("tabular") == text.count(r"\end{tabular}")


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here")
def test_it_compiles(tmp_path, table, make_suite):
    nasty = make_suite("nasty", title=NASTY, axes=["method", "data.root"])
    for root in ("a_b", NASTY):
        nasty.run(90, data={"name": "imagefolder", "root": root}, environment={"cpu": NASTY})
        nasty.fail("error", NASTY, "no_norm", data={"name": "imagefolder", "root": root})
    plain = make_suite("plain", axes=["method"], title="Plain")
    plain.run(90)
    tables = [table, *make_pivots([nasty.folder, plain.folder], "test_accuracy")]
    nested = make_pivots(
        [nasty.folder], "test_accuracy", ["method"], ["model", "data", "data.root"]
    )
    document = PREAMBLE + render(tables + nested, "latex") + "\\end{document}\n"
    (tmp_path / "t.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
