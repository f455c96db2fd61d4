"""LaTeX: escaping, the golden table, and a document that compiles."""

import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eibench.report.make import documents, laid_out, render
from eibench.report.model.layers import make_pivots
from eibench.report.writers import write
from eibench.report.writers.escape import latex as escape
from eibench.report.writers.escape import missing_signs

GOLDEN = r"""% Tables need \usepackage{booktabs} in the preamble.
\begin{table}
  \centering\small
  \setlength{\tabcolsep}{4pt}\setlength{\emergencystretch}{3em}
  \caption{Depth \& norms: test accuracy (\%)}
  \label{tab:depth_scaling}
  \par\smallskip
  \begin{tabular}{@{}lcc@{}}
    \toprule
     & \multicolumn{2}{c}{depth} \\
    \cmidrule(lr){2-3}
    method & 4 & 16 \\
    \midrule
    E-I (paper) & 97.3 $\pm$ 0.2 & 95.9 $\pm$ 0.4 \\[-2pt]
     & \scriptsize $-$0.6 [$-$1.1, $-$0.1]\,$\downarrow$ & \scriptsize $+$4.6 [$-$2.6, $+$11.9]\,$\dagger$ \\[2pt]
    BatchNorm & \textbf{97.9 $\pm$ 0.3} & 91.2 $\pm$ 1.1\textsuperscript{n=2} \\
    tdBN & \textbf{97.9 $\pm$ 0.3} & diverged (2), \\[-2pt]
     & \scriptsize $+$0.0\,= & missing (1) \\[2pt]
    \bottomrule
  \end{tabular}
  \par\medskip
  {\footnotesize\raggedright Mean $\pm$ standard deviation over n = 3 runs. Signed numbers: difference to BatchNorm in percentage points [95 \% confidence interval].\par}
  {\footnotesize\raggedright Superscript n: number of runs behind the mean, where some have no result.\par}
  {\footnotesize\raggedright $\downarrow$ worse, = the same numbers, $\dagger$ runs failed, no verdict.\par}
  {\footnotesize\raggedright Bold: best mean of each column.\par}
  {\footnotesize\raggedright tdBN is the same computation as BatchNorm here.\par}
  {\footnotesize\raggedright Learning rate 0.1: E-I (paper). 0.03: BatchNorm; tdBN.\par}
  {\footnotesize\raggedright Untuned: E-I (paper), at the default learning rate 0.1.\par}
  {\footnotesize\raggedright Runs without a result: 2 diverged, 1 out of memory.\par}
  {\footnotesize\raggedright Not run yet: 1 of 18 runs.\par}
\end{table}
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
    assert render([table], "latex") == GOLDEN


def test_full_notes_name_runs_in_typewriter_type(table):
    text = write(laid_out(documents([table]), "latex", "full"), "latex")
    assert r"\texttt{tdbn} is the same computation as \texttt{batchnorm} in" in text
    assert r"no \{room\} \& 100\% full" in text
    assert "`" not in text


def test_heads_of_several_fields(make_suite):
    suite = make_suite("nested", axes=["method", "model.depth", "timesteps"])
    for depth, steps in [(4, 1), (4, 4), (8, 1)]:
        suite.run(90, "ei", depth, timesteps=steps)
    text = render(make_pivots([suite.folder], "test_accuracy"), "latex")
    assert r" & \multicolumn{2}{c}{depth 4} & \multicolumn{1}{c}{depth 8} \\" in text
    assert text.count(r"\cmidrule(lr){2-3} \cmidrule(lr){4-4}") == 2
    assert r" & \multicolumn{2}{c}{time steps} & \multicolumn{1}{c}{time steps} \\" in text
    assert r"method & 1 & 4 & 1 \\" in text


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
    text = PREAMBLE + render(tables + nested, "latex") + "\\end{document}\n"
    (tmp_path / "t.tex").write_text(text)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
