"""Probe suites in tables and figures: the default metric, layers as a field, and zeros in sight."""

import csv
import io
import json
import math

import numpy as np
import pytest
from matplotlib.colors import to_hex
from typer.testing import CliRunner

import eibench
from eibench.cli import app
from eibench.errors import UserError
from eibench.report.figures.axes import LogAxis
from eibench.report.figures.draw import make_figures
from eibench.report.figures.layers import ABSENT, ZERO, draw_lines, draw_map, draw_net_synapse
from eibench.report.make import render
from eibench.report.model.layers import make_pivots
from eibench.report.model.suite_results import read_suites
from eibench.results.metrics import PROBE_METRICS, find_metric


def table_of(suite, metric=None, rows=None, columns=None):
    return make_pivots([suite.folder], metric, rows, columns)[0]


def suite_of(fake):
    return read_suites([fake.folder])[0]


# --------------------------------------------------------------------------------- tables


def test_the_default_metric_is_that_of_the_kind(propagation, depth_scaling):
    metrics = [table.metric.name for table in make_pivots([propagation.folder.parent], None)]
    assert metrics == ["test_accuracy", "gradient_decades"]


def test_a_spread_without_a_number_says_why(propagation):
    table = table_of(propagation)
    assert table.columns == ((2,), (3,))
    assert table.cells[("ei",), (2,)].mean == pytest.approx(1.0)
    text = render([table], "table")
    assert "a gradient is\n" in text and "0 (2)" in text
    assert "a gradient is 0 (2)" in render([table], "markdown")
    latex = render([table], "latex")
    assert "a gradient is " in latex and " & 0 (2) " in latex
    assert "not measured" not in text


def test_layers_are_rows(propagation):
    table = table_of(propagation, None, ["layer"], ["method", "model.depth"])
    assert table.metric.name == "gradient"
    assert table.rows == ((1,), (2,), (3,))
    ei = table.cells[(1,), ("ei", 3)]
    assert ei.values == {0: 10.0, 1: 20.0}
    assert ((3,), ("ei", 2)) not in table.cells  # that network has two layers
    assert table.cells[(2,), ("no_norm", 2)].values == {0: 0.0, 1: 0.0}
    assert "1e-15 ± 0" in render([table], "markdown")


def test_runs_without_layers_are_absent_in_every_layer_and_once_in_the_notes(propagation):
    table = table_of(propagation, "firing_rate", ["layer"], ["method", "model.depth"])
    for layer in (1, 2, 3):
        assert table.cells[(layer,), ("batchnorm", 3)].absent == {"out_of_memory": 1}
    for layer in (1, 2):
        assert table.cells[(layer,), ("batchnorm", 2)].absent == {"missing": 1}
    text = render([table], "markdown")
    assert text.count("batchnorm_plain-depth3_digits_step0_s1") == 1
    assert "Missing: 1 of 12 planned runs" in text


def test_layers_as_csv_and_json(propagation):
    table = table_of(propagation, "gradient", ["layer"], ["method", "model.depth"])
    rows = list(csv.DictReader(io.StringIO(render([table], "csv"))))
    assert len(rows) == 3 * (2 + 3)
    first = next(r for r in rows if (r["layer"], r["method"], r["model.depth"]) == ("1", "ei", "3"))
    assert (float(first["mean"]), first["n"]) == (15.0, "2")
    (content,) = json.loads(render([table], "json"))
    assert (content["rows"], content["metric"]) == (["layer"], "gradient")


@pytest.mark.parametrize(
    ("metric", "rows", "message"),
    [
        ("gradient", None, "is a number of each layer of propagation; try its results with --rows"),
        ("gradient_min", ["layer"], "gradient_min: is no number of a layer of propagation; allo"),
        (None, ["layers"], "did you mean 'layer'?"),
        ("gradiant", None, "did you mean 'gradient'?"),
    ],
)
def test_bad_requests(propagation, metric, rows, message):
    with pytest.raises(UserError) as caught:
        table_of(propagation, metric, rows)
    assert message in str(caught.value)


def test_mixed_depths_are_refused_with_a_hint(propagation):
    with pytest.raises(UserError, match=r"try --columns layer,model\.depth"):
        table_of(propagation, None, None, ["layer"])


def test_a_training_suite_has_no_layers(depth_scaling):
    with pytest.raises(UserError, match="no run of depth_scaling has this field"):
        table_of(depth_scaling, None, ["layer"])


# ---------------------------------------------------------------------------- load_layers


def test_load_layers(propagation):
    frame = eibench.load_layers(propagation.folder)
    assert len(frame) == 2 * 2 * (2 + 3) + 2 + 3
    deep = frame[(frame.method == "ei") & (frame["model.depth"] == 3) & (frame.seed == 1)]
    assert list(deep.layer) == [1, 2, 3]
    assert list(deep.gradient) == [20.0, 1.0, 0.1]
    assert list(deep.name) == ["neuron1", "neuron2", "neuron3"]
    assert deep.balance.isna().all()


def test_layers_without_names_of_infinite_numbers(propagation):
    """Names are optional in a record."""
    for path in propagation.folder.glob("*/record.json"):
        record = json.loads(path.read_text())
        for layer in record.get("layers", []):
            layer.pop("non_finite", None)
        path.write_text(json.dumps(record))
    assert set(eibench.load_layers(propagation.folder).non_finite) == {""}


def test_numbers_of_probes_are_columns(propagation):
    frame = eibench.load_results(propagation.folder)
    assert set(PROBE_METRICS) <= set(frame.columns)
    assert "test_accuracy" not in frame.columns
    assert len(frame) == 12


def test_no_layers(depth_scaling):
    with pytest.raises(UserError, match=r"no layers here; `eibench probe SUITE` measures some"):
        eibench.load_layers(depth_scaling.folder)


# -------------------------------------------------------------------------------- figures


def test_powers_by_hand():
    powers = LogAxis.of([0.0, 0.02, 300.0, math.nan])
    assert (powers.low, powers.high, powers.zeros) == (-2, 3, True)
    assert powers.place(100.0) == 2.0
    assert powers.place(0.0) == powers.zero < -2
    assert math.isnan(powers.place(math.nan))


def panels(figure):
    return {axes.get_title(): axes for axes in figure.axes if axes.get_visible()}


def lines(axes):
    return {line.get_label().split(" (")[0]: line for line in axes.get_lines()}


def test_lines_of_the_deepest_network(propagation):
    axes = panels(draw_lines(suite_of(propagation)))
    assert "E/I imbalance" not in axes  # nothing to show
    drawn = lines(axes["relative gradient"])
    assert list(drawn["ei"].get_xdata()) == [1, 2, 3]
    assert drawn["ei"].get_ydata() == pytest.approx([math.log10(15), 0, -1])
    assert drawn["batchnorm"].get_ydata() == pytest.approx([math.log10(2)] * 3)
    zero = drawn["no_norm"].get_ydata()
    assert len(set(zero)) == 1 and zero[0] < -1
    ticks = [t.get_text() for t in axes["relative gradient"].get_yticklabels()]
    assert ticks[0] == "0"
    assert axes["relative gradient"].get_yticks()[0] == zero[0]
    rate = lines(axes["firing rate (spikes per neuron and time step)"])
    assert list(rate["ei"].get_ydata()) == [0.2, 0.2, 0.2]


def test_the_legend_counts_runs_not_layers(propagation):
    figure = draw_lines(suite_of(propagation))
    legend = next(axes.get_legend() for axes in figure.axes if axes.get_legend())
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["ei", "no_norm", "batchnorm (1 failed, 1 missing)"]


def test_n_and_seeds_stand_below(propagation):
    texts = [text.get_text() for text in draw_lines(suite_of(propagation)).texts]
    assert texts[0].endswith(": depth 3")
    assert texts[1].startswith("n = 2 (seeds 0, 1); line: median; band: least to greatest seed")


def test_the_map(propagation):
    figure = draw_map(suite_of(propagation))
    shallow, deep = (axes for axes in figure.axes if axes.get_title(loc="left"))
    assert (shallow.get_title(loc="left"), deep.get_title(loc="left")) == ("depth 2", "depth 3")
    image = deep.images[0].get_array()
    assert image.shape == (3, 3)
    assert image[0].tolist() == pytest.approx([math.log10(15), 0, -1])
    assert np.ma.getmaskarray(image).tolist()[1] == [True] * 3  # exact zeros have no colour
    hatched = [c for c in deep.collections if c.get_hatch() == ZERO["hatch"]]
    assert [path.get_extents().bounds for c in hatched for path in c.get_paths()] == [
        (0.5, 0.5, 3.0, 1.0)  # the whole second row
    ]
    assert not [c for c in deep.collections if to_hex(c.get_facecolor()[0]) == ABSENT["facecolor"]]


def test_a_method_without_numbers_is_grey_in_the_map(make_suite):
    suite = make_suite("gap", kind="probe")
    suite.probe([1.0, 0.1], "ei", 2)
    suite.plan("no_norm", 2, probe={})
    axes = draw_map(suite_of(suite)).axes[0]
    assert [to_hex(c.get_facecolor()[0]) for c in axes.collections] == [ABSENT["facecolor"]]


def test_several_steps_are_panels(make_suite):
    suite = make_suite("steps", kind="probe", axes=["method", "probe.steps"])
    for steps in (0, 5):
        suite.probe([1.0, 0.1], "ei", 2, probe={"steps": steps})
    titles = [title for title in panels(draw_lines(suite_of(suite))) if "gradient" in title]
    assert titles == ["steps 0\nrelative gradient", "steps 5\nrelative gradient"]


def test_net_synapses_before_and_after_on_one_scale(make_suite):
    """The y axis ends at 1.1 of the greatest median, 0.8, and not at the greatest seed."""
    suite = make_suite("net", kind="probe", axes=["method", "probe.steps"])
    for steps, means in ((0, [0.1, 0.2]), (9, [0.4, 0.8])):
        for seed, factor in enumerate([0.5, 1.0, 5.0]):
            values = [{"net_mean": factor * mean, "update_size": 10.0**-steps} for mean in means]
            more = {"probe": {"steps": steps}, "seed": seed}
            suite.probe([1.0, 0.1], "ei", 2, layers=values, **more)
    drawn = panels(draw_net_synapse(suite_of(suite)))
    mean, size = (find_metric(name).heading for name in ("net_mean", "update_size"))
    assert list(drawn) == [f"steps {n}\n{words}" for words in (mean, size) for n in (0, 9)]
    before, after = (drawn[f"steps {n}\n{mean}"] for n in (0, 9))
    assert list(lines(after)["ei"].get_ydata()) == [0.4, 0.8]
    assert before.get_ylim() == after.get_ylim() == pytest.approx((0, 0.88))
    before, after = (drawn[f"steps {n}\n{size}"] for n in (0, 9))
    assert before.get_ylim() == after.get_ylim()
    assert list(lines(after)["ei"].get_ydata()) == [-9, -9]
    assert not any(mean in title for title in panels(draw_lines(suite_of(suite))))


def test_older_probes_have_no_figure_of_net_synapses(propagation):
    assert draw_net_synapse(suite_of(propagation)) is None


def test_files_and_their_bytes(propagation, tmp_path):
    drawn = list(make_figures([propagation.folder], None))
    assert [[path.name for path in one.paths] for one in drawn] == [
        ["propagation_layers.png", "propagation_layers.pdf"],
        ["propagation_gradient_map.png", "propagation_gradient_map.pdf"],
    ]
    again = list(make_figures([propagation.folder], None, out=tmp_path / "again"))
    for one, other in zip(drawn, again, strict=True):
        assert [p.read_bytes() for p in one.paths] == [p.read_bytes() for p in other.paths]
        assert b"/Type3" not in one.paths[1].read_bytes()


def test_nothing_measured_yet_is_drawn(make_suite):
    suite = make_suite("empty", kind="probe")
    suite.plan("ei", 2, probe={})
    assert len(list(make_figures([suite.folder], None))) == 2


def test_a_named_metric_is_drawn_over_depth(propagation):
    (drawn,) = make_figures([propagation.folder], "dead_gradient_layers")
    assert drawn.x == "model.depth"


def test_commands(propagation):
    done = CliRunner().invoke(app, ["report", str(propagation.folder)])
    assert (done.exit_code, "a gradient is" in done.stdout) == (0, True)
    done = CliRunner().invoke(app, ["plot", str(propagation.folder)])
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 4)
    done = CliRunner().invoke(app, ["plot", str(propagation.folder), "--metric", "gradient"])
    assert (done.exit_code, "number of each layer" in done.stderr) == (2, True)
