"""Pages of HTML: what they say, that nothing leaves its place, and that they need nothing else."""

import importlib.util
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from eibench.report import page as pages
from eibench.report.figures.palette import method_colour
from eibench.report.make import make_documents
from eibench.report.writers import html
from eibench.report.writers import write as write_documents

alt = pytest.importorskip("altair")
vega = pytest.importorskip("eibench.report.charts.vega")
EVIDENCE = Path(__file__).parents[2] / "results" / "evidence"
NASTY = "</script><script>alert(1)</script><!-- \u2028 \x1b[31m\u202e [/b] &amp; \"'<b>"


class Reader(HTMLParser):
    """Elements, attributes and texts of a page."""

    VOID = ("meta", "br", "input", "link", "img")

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = [], [], [], []
        self.data, self.in_data = [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in self.VOID:
            self.open.append(tag)
        self.in_data = ("type", "application/json") in attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.in_data = False

    def handle_data(self, data):
        if self.in_data:
            self.data.append(data)
        elif self.open and self.open[-1] != "script":
            self.texts.append(data)

    @property
    def charts(self):
        """Those of the page, each with its layers, which stand last and once for all."""
        *found, layers = map(json.loads, self.data)
        for chart in found:
            chart["spec"]["layer"] = [layers[i] for i in chart["spec"]["layer"]]
        return found


@pytest.fixture(autouse=True)
def _no_bundle(request, monkeypatch):
    """The library of charts takes seconds to make; only a browser needs it."""
    if "browser" not in request.keywords and "slow" not in request.keywords:
        monkeypatch.setattr(html, "_bundle", lambda: "window.vegaEmbed = null;")


def page_of(*suites):
    documents = make_documents([one.folder for one in suites], form="html")
    return write_documents(documents, "html")


def write(run, *epochs):
    run.path.mkdir(parents=True, exist_ok=True)
    (run.path / "epochs.jsonl").write_text("".join(json.dumps(e) + "\n" for e in epochs))


def line(epoch, loss, accuracy):
    """An epoch whose validation loss is a tenth higher and its accuracy ten points lower."""
    numbers = {"train_loss": loss, "train_accuracy": accuracy}
    numbers |= {"validation_loss": 1.1 * loss, "validation_accuracy": accuracy - 10}
    return {"epoch": epoch, **numbers, "lr": 0.1, "firing_rate_by_layer": [0.1 * epoch, 0.2]}


@pytest.fixture
def learned(make_suite):
    """Two methods of three epochs, two seeds; a run of the second failed in its second epoch."""
    suite = make_suite("learned", title="Learning & more", axes=["method"])
    for seed in (0, 1):
        write(suite.run(97.0 + seed, "ei", 4, seed), *(line(e, 1 / e, 60 + 10 * e + 2 * seed)
              for e in (1, 2, 3)))  # fmt: skip
    write(suite.run(90.0, "batchnorm", 4, 0), *(line(e, 2 / e, 60.0) for e in (1, 2, 3)))
    write(suite.fail("diverged", "epoch 2: loss is nan", "batchnorm", 4, 1), line(1, 4.0, 40.0))
    return suite


def unpacked(column, length):
    if isinstance(column, list):
        return column
    if "cycle" in column:
        return [column["cycle"][i % len(column["cycle"])] for i in range(length)]
    pairs = zip(column["runs"][::2], column["runs"][1::2], strict=True)
    return [value for value, n in pairs for _ in range(n)]


def rows(chart):
    columns = {name: unpacked(column, chart["length"]) for name, column in chart["columns"].items()}
    assert all(len(column) == chart["length"] for column in columns.values())
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def find(charts, title):
    (chart,) = [chart for chart in charts if chart["title"].startswith(title)]
    return chart


# ------------------------------------------------------------------------------ what it says


def test_a_table_has_names_of_a_paper_and_heads_that_are_buttons(depth_scaling):
    text = page_of(depth_scaling)
    assert "<title>Depth &amp; norms</title>" in text
    assert "<h1>Depth &amp; norms</h1>" in text
    assert '<th scope="row" class="stub">E-I (paper)</th><td>97.3 ± 0.2</td>' in text.replace(
        "\N{NO-BREAK SPACE}", " "
    )
    assert '<th scope="colgroup" colspan="2">depth 4</th>' in text
    assert '<th scope="col"><button type="button">mean</button></th>' in text
    assert re.search(r"<td><strong>97.9.±.0.3</strong>", text)
    assert "Names: E-I (paper) is <code>ei</code>, BatchNorm is <code>batchnorm</code>" in text


def test_failures_cost_provenance_and_settings_are_there(depth_scaling):
    reader = Reader(page_of(depth_scaling))
    texts = " ".join(reader.texts)
    for said in ("Runs without a result", "epoch 3: loss is nan", "CUDA: no {room} & 100% full",
                 "training and evaluation time (s)", "All runs together took 2 min",
                 "Computed on Abacus 9000", "commit 01234567", "Settings of all runs",
                 "data: digits"):  # fmt: skip
        assert said in texts, said
    assert "Suite file" not in texts


def test_the_suite_file_is_there_as_it_stands(depth_scaling, project):
    path = project.suite("suites/depth_scaling.yaml", title="Depth & norms")
    path.write_text(path.read_text() + "# <why> & how\n")
    assert "# &lt;why&gt; &amp; how" in page_of(depth_scaling)
    project.suite("suites/depth_scaling.yaml", title="Another")
    assert "Suite file" not in page_of(depth_scaling)


def test_several_suites_have_contents_and_a_section_each(depth_scaling, learned, fair_search):
    reader = Reader(page_of(depth_scaling, learned, fair_search.fresh))
    links = {value.removeprefix("#") for name, value in reader.attributes if name == "href"}
    places = {value for name, value in reader.attributes if name == "id"}
    assert links <= places
    assert {"summary", "depth-norms", "learning-more", "fair-deep"} <= links
    texts = " ".join(reader.texts)
    assert "Methods over all suites" in texts
    assert "Search against confirmed" in texts
    assert "epoch 2: loss is nan" in texts  # of a trial, too
    assert not re.search(r"/tmp|pytest", texts)


def test_headings_have_no_gap(depth_scaling, learned):
    tags = Reader(page_of(depth_scaling, learned)).tags
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


# ------------------------------------------------------------------------------------ charts


def test_specs_are_of_the_schema(depth_scaling, learned, propagation, fair_search):
    charts = Reader(page_of(depth_scaling, learned, propagation, fair_search.fresh)).charts
    assert len(charts) > 15
    kinds = {(*chart["columns"], len(chart["spec"]["layer"])): chart["spec"] for chart in charts}
    for spec in kinds.values():  # takes long
        alt.LayerChart.from_dict(spec)  # raises
    for chart in charts:
        places = {row["name"] for row in rows(chart)}
        assert places <= set(range(len(chart["series"])))
        assert {row["panel"] for row in rows(chart)} <= set(range(len(chart["panels"])))


def test_learning_curves_are_those_of_the_figure(learned):
    charts = Reader(page_of(learned)).charts
    chart = find(charts, "Learning curves: accuracy")
    names, colours, *_ = zip(*chart["series"], strict=True)
    assert names == ("E-I (paper)", "BatchNorm (1 failed)")
    assert colours == (method_colour("ei"), method_colour("batchnorm"))
    found = {(r["name"], r["x"], r["way"]): r for r in rows(chart)}
    assert found[0, 2, 0]["mean"] == 71  # validation: of 70 and 72
    assert found[0, 3, 1]["mean"] == 91  # training: of 90 and 92
    assert found[0, 3, 1]["low"] == pytest.approx(91 - 2**0.5, abs=0.01)
    assert found[1, 2, 0]["failed"] == 1
    loss = find(charts, "Learning curves: loss")
    assert {r["mean"] for r in rows(loss) if (r["name"], r["way"]) == (0, 1)} == {1, 0.5, 0.3333}


def test_depths_and_differences(depth_scaling):
    charts = Reader(page_of(depth_scaling)).charts
    found = rows(find(charts, "Test accuracy (%) by depth"))
    means = {(r["name"], r["x"]): r["mean"] for r in found if r["seed"] is None}
    assert means[0, 4] == 97.3
    assert means[0, 16] == 95.9
    assert {r["value"] for r in found if r["name"] == 0 and r["x"] == 16} == {None, 96, 95.5, 96.2}
    assert next(r["failed"] for r in found if (r["name"], r["x"]) == (2, 16)) == 2
    chart = find(charts, "Difference to BatchNorm")
    assert chart["series"][0][0] == "E-I (paper)"
    (one,) = [r for r in rows(chart) if (r["name"], r["panel"]) == (0, 0) and r["seed"] is None]
    assert (one["mean"], one["clear"]) == (-0.6, True)
    assert (round(one["low"], 1), round(one["high"], 1)) == (-1.1, -0.1)


def test_probes_have_maps_and_lines_with_zeros_apart(propagation):
    charts = Reader(page_of(propagation)).charts
    heat = find(charts, "Relative gradient: heat map")
    assert heat["panels"] == ["depth 2", "depth 3"]
    cells = {(r["name"], r["panel"], r["x"]): r["value"] for r in rows(heat)}
    assert cells[0, 1, 1] == 15  # the median of 10 and 20
    names = [name for name, *_ in heat["series"]]
    assert cells[names.index("No norm"), 1, 2] == 0
    lines = rows(find(charts, "Relative gradient by layer"))
    exact = {r["mean"] for r in lines if r["name"] == names.index("No norm") and r["panel"] == 1}
    (zero,) = exact
    assert zero < min(r["mean"] for r in lines if r["mean"] != zero)


def test_a_search_has_its_landscape_and_its_history(make_search):
    search = make_search(axes=[])
    keys = {"train.lr": {"low": 0.01, "high": 3.0, "log": True, "step": None},
            "method.kappa": {"choices": [0.0, 0.5, 1.0]}}  # fmt: skip
    search.study("all", {}, keys)
    for score, rate in ((91.0, 0.01), (95.0, 0.1), (93.0, 1.0)):
        search.trial(score, {"train.lr": rate, "method.kappa": 0.5})
    charts = Reader(page_of(search.tried)).charts
    places = rows(find(charts, "Landscape over learning rate and kappa"))
    assert sorted((r["x"], r["y"], r["value"]) for r in places) == [
        (0.01, 0.5, 91), (0.1, 0.5, 95), (1, 0.5, 93)]  # fmt: skip
    assert [r["value"] for r in places if r["winner"]] == [95]
    history = find(charts, "Score by trial")
    best = [r["score"] for r in rows(history) if history["series"][r["name"]][0] == "best so far"]
    assert best == [91, 95, 95]
    search.known["sampler"] = "grid"  # whose trials do not follow each other
    search.tried.write()
    titles = [chart["title"] for chart in Reader(page_of(search.tried)).charts]
    assert titles and "Score by trial" not in titles


def test_a_search_of_one_parameter_has_a_line_for_each_study(make_search):
    search = make_search(axes=["method", "model.depth"])
    rates = {"train.lr": {"choices": [0.01, 0.1, 1.0]}}
    for method, best in (("ei", 0.1), ("batchnorm", 1.0)):
        for depth in (4, 8):
            search.study(f"{method}, {depth}", {"method": method, "model.depth": depth}, rates)
            for rate in (0.1, 0.01, 1.0):
                search.trial(90.0 + (rate == best) + depth, {"train.lr": rate})
    charts = Reader(page_of(search.tried)).charts
    found = find(charts, "Score by learning rate")
    assert [name for name, *_ in found["series"]] == ["depth 4", "depth 8"]
    assert found["panels"] == ["E-I (paper)", "BatchNorm"]
    places = {(r["panel"], r["name"], r["x"]): r["mean"] for r in rows(found)}
    assert len(places) == 12
    assert {x for _, _, x in places} == {0.01, 0.1, 1}
    assert sorted(places.values())[-2:] == [99, 99]
    assert not [chart for chart in charts if "Landscape" in chart["title"]]


@pytest.mark.parametrize("n", [0, 1, 39, 40, 41, 80, 81, 1000])
def test_thinned_lines_keep_their_last_point(n):
    kept = vega.thinned(list(range(n)), 40)
    assert len(kept) == min(n, 40) or (len(kept) < 40 and n > 40)
    assert kept[-1:] == list(range(n))[-1:]
    assert kept == sorted(set(kept))


def test_columns_are_stored_in_short():
    assert html._packed([0, 0, 0, 0, 0, None, None]) == {"runs": [0, 5, None, 2]}
    assert html._packed([1, 2, 3, 1, 2, 3, 1]) == {"cycle": [1, 2, 3]}
    assert html._packed([1, 2, 1.0, 2]) == [1, 2, 1.0, 2]
    assert html._packed([1, 2, 3]) == [1, 2, 3]
    assert html._packed([True, True, True, 1, 1, 1, 1]) == {"runs": [True, 3, 1, 4]}


# ----------------------------------------------------------------------- safe and by itself


def test_no_section_has_the_name_of_the_data(make_suite, depth_scaling):
    suite = make_suite("layers", title="Layers all", axes=["method"])
    suite.run(90.0)
    names = [
        value for key, value in Reader(page_of(suite, depth_scaling)).attributes if key == "id"
    ]
    assert len(names) == len(set(names)) and "layers.all" in names


def test_strangers_texts_stay_in_their_place(make_suite):
    suite = make_suite("nasty", title=NASTY, axes=["ablation"], labels={NASTY: NASTY + "x"})
    suite.run(90.0, ablation="base")
    suite.run(91.0, ablation=NASTY, train={"lr": 0.3}, environment={"cpu": NASTY, "command": NASTY})
    suite.fail("error", NASTY, ablation="a [/b] c", train={"lr": 0.4})
    text = page_of(suite)
    assert text.replace("\n", "").replace("\N{NO-BREAK SPACE}", "").isprintable()
    assert "<!--" not in text
    reader = Reader(text)
    plain = Reader(text.replace(html.markup(NASTY), "x"))
    assert reader.tags == plain.tags
    assert reader.tags.count("script") == len(reader.charts) + 3
    assert any("a [/b] c" in said for said in reader.texts)
    assert any("</script><script>alert(1)" in said for said in reader.texts)
    series = [name for chart in reader.charts for name, *_ in chart["series"]]
    assert any(NASTY[:20] in name for name in series)


def test_nothing_is_loaded_from_elsewhere(depth_scaling, learned):
    text = page_of(depth_scaling, learned)
    reader = Reader(text)
    assert not {"link", "img", "iframe", "object", "form", "base"} & set(reader.tags)
    outside = [v for k, v in reader.attributes if k in ("href", "src", "srcset", "action", "style")]
    assert all(value.startswith("#") for value in outside)
    assert not any(name.startswith("on") for name, _ in reader.attributes)
    style = re.search("<style>(.*?)</style>", text, re.S)[1]
    assert "url(" not in style
    assert "@import" not in style
    (policy,) = [v for k, v in reader.attributes if v and v.startswith("default-src")]
    scripts = re.findall("<script>(.*?)</script>", text, re.S)
    assert re.fullmatch(r"default-src 'none'; script-src (\S+) (\S+); style-src (\S+);"
                        r" base-uri 'none'; form-action 'none'", policy)  # fmt: skip
    assert all(html._digest(content) in policy for content in (*scripts, style))
    assert "unsafe" not in policy


def test_equal_results_give_equal_bytes(learned, fair_search):
    both = learned, fair_search.tried
    assert page_of(*both) == page_of(*both)


def test_notes_of_any_level(depth_scaling, cli):
    for level, said in (("none", False), ("full", True)):
        done = cli("report", depth_scaling.folder, "--format", "html", "--notes", level)
        assert ("Better, worse: the interval" in done.out) is said


def test_a_summary_alone_is_a_page(depth_scaling, cli):
    done = cli("report", depth_scaling.folder, "--format", "html", "--summary")
    assert done.code == 0
    assert "<h1>Summary over suites: test accuracy (%)</h1>" in done.out
    assert "window.vegaEmbed" not in done.out


def test_without_altair_there_is_one_message(depth_scaling, cli, monkeypatch):
    find_spec = importlib.util.find_spec
    hidden = lambda name, *rest: None if name == "altair" else find_spec(name, *rest)  # noqa: E731
    monkeypatch.setattr(pages.importlib.util, "find_spec", hidden)
    done = cli("report", depth_scaling.folder, "--format", "html", "--out", "page.html")
    assert done.code == 2
    (message,) = done.errors
    assert message == (
        "--format html needs altair, which is not installed; `pip install 'eibench[html]'` installs"
        " what is needed"
    )
    assert not Path("page.html").exists()


@pytest.mark.slow
def test_the_evidence_fits_into_a_page(cli):
    done = cli("report", EVIDENCE, "--format", "html", "--out", "page.html")
    assert done.code == 0
    text = Path("page.html").read_text()
    assert len(text.encode()) < 3_000_000
    assert text.count("window.vegaEmbed") == 1
    assert len(Reader(text).charts) > 100
