"""Figures: files, equal bytes for equal results, and what is drawn."""

import struct

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from eibench.errors import UserError
from eibench.report.figures.axes import FieldAxis, doubling
from eibench.report.figures.draw import make_figures
from eibench.report.figures.series import series_of
from eibench.report.figures.style import COLOURS, SOLID, write_around
from eibench.report.figures.tables import caption, choose_axes, draw_table
from eibench.report.model.pivot import build_pivot
from eibench.report.model.suite_results import read_suites
from eibench.results.metrics import METRICS


def table_of(suite, metric="test_accuracy"):
    results = read_suites([suite.folder])[0]
    x, layout = choose_axes(results)
    return build_pivot(results, METRICS[metric], layout), x


def drawn(suite, **options):
    return next(make_figures([suite.folder], "test_accuracy", **options))


def test_files_and_their_bytes(depth_scaling, tmp_path):
    first = drawn(depth_scaling)
    names = ["depth_scaling_test_accuracy.png", "depth_scaling_test_accuracy.pdf"]
    assert first.paths == [depth_scaling.folder / "figures" / name for name in names]
    png, pdf = (path.read_bytes() for path in first.paths)
    assert png.startswith(b"\x89PNG")
    assert struct.unpack(">I", png[16:20])[0] > 800  # pixels wide
    assert pdf.startswith(b"%PDF")
    assert b"/Type3" not in pdf
    assert b"CreationDate" not in pdf
    again = drawn(depth_scaling, out=tmp_path / "elsewhere")
    assert [path.read_bytes() for path in again.paths] == [png, pdf]


def test_lines_hold_means_and_stop_where_there_are_none(depth_scaling):
    table, x = table_of(depth_scaling)
    axes = draw_table(table, x).axes[0]
    lines = {line.get_label().split(" (")[0]: line for line in axes.get_lines()}
    assert lines["ei"].get_ydata() == pytest.approx([97.3, 95.9])
    assert lines["tdbn"].get_ydata() == pytest.approx([97.9, float("nan")], nan_ok=True)
    assert axes.get_xlabel() == "depth (layers)"
    assert axes.get_ylabel() == "test accuracy (%)"


def test_legend_counts_what_has_no_number(depth_scaling):
    table, x = table_of(depth_scaling)
    texts = [text.get_text() for text in draw_table(table, x).axes[0].get_legend().get_texts()]
    assert texts == ["ei", "batchnorm (1 failed)", "tdbn (2 failed, 1 missing)"]


def test_failures_are_crosses_at_the_bottom(depth_scaling):
    table, x = table_of(depth_scaling)
    axes = draw_table(table, x).axes[0]
    crosses = [
        (to_hex(c.get_edgecolor()[0]), c.get_offsets()[0].tolist())
        for c in axes.collections
        if c.get_offset_transform() == axes.get_xaxis_transform() and len(c.get_offsets())
    ]
    assert [(colour, y) for colour, (_, y) in crosses] == [
        (COLOURS[1].lower(), 0.0),
        (COLOURS[2].lower(), 0.0),
    ]


def test_equal_methods_are_told_apart(depth_scaling):
    ei, batchnorm, tdbn = series_of(table_of(depth_scaling)[0])
    assert (batchnorm.line, batchnorm.over, tdbn.over) == (SOLID, 0, 1)
    assert tdbn.look["linestyle"] != SOLID
    assert tdbn.look["zorder"] > batchnorm.look["zorder"]
    assert len({s.colour for s in (ei, batchnorm, tdbn)}) == 3
    assert len({s.marker for s in (ei, batchnorm, tdbn)}) == 3


def test_caption(depth_scaling):
    lines = caption(*table_of(depth_scaling)).splitlines()
    assert lines[0].startswith("n = 3; dots: seeds;")
    assert lines[0].endswith("cross: failed runs; batchnorm = tdbn: the same computation")
    assert lines[1] == "Abacus 9000 (4 cores), device: cpu, 2 threads"


@pytest.mark.parametrize(
    ("values", "log"),
    [([4, 8, 16], True), ([4, 8], False), ([4, 6, 8], False), ([0, 1, 2], False),
     ([0.01, 0.03, 0.1], True)],
)  # fmt: skip
def test_doubling(values, log):
    assert doubling(values) is log


def test_doubling_depths_stand_at_equal_distances(suite):
    for depth in (4, 8, 16):
        suite.run(90, "ei", depth)
    table, x = table_of(suite)
    scale = FieldAxis.of(table.columns, x)
    assert scale.heading == "depth (layers), log scale"
    assert list(scale.positions.values()) == [2, 3, 4]


def test_panels(make_suite):
    suite = make_suite("panels", axes=["method", "model", "timesteps"])
    for model in ("plain", "vgg"):
        for steps in (1, 4):
            suite.seeds([90, 91], "ei", model={"name": model, "depth": 8}, timesteps=steps)
    titles = [axes.get_title() for axes in draw_table(*table_of(suite)).axes]
    assert titles == ["plain", "vgg"]


def test_a_long_title_stays_within_the_figure():
    figure = Figure((5.0, 3.0))
    write_around(figure, "Relays with inhibition, with batch norm and with neither, " * 3, "n = 5")
    title = figure.texts[0]
    assert "\n" in title.get_text()
    canvas = FigureCanvasAgg(figure)
    assert title.get_window_extent(canvas.get_renderer()).x1 < figure.bbox.x1


def test_points_without_a_numeric_axis(make_suite):
    suite = make_suite("names", axes=["method"])
    suite.seeds([90, 91], "ei")
    suite.fail("diverged", "nan", "no_norm")
    table, x = table_of(suite)
    axes = draw_table(table, x).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert (x, labels) == (None, ["ei", "no_norm (1 failed)"])
    assert [c.get_offsets().tolist() for c in axes.collections] == [[[90, 0], [91, 0]]]


def test_axes_taken_side_by_side_are_no_panels(make_suite):
    suite = make_suite("zipped", axes=["method", "model.depth", "model.width"])
    for depth, width in ((4, 8), (8, 16)):
        suite.run(90, "ei", model={"name": "plain", "depth": depth, "width": width})
    table, x = table_of(suite)
    assert (x, table.columns) == ("model.depth", ((4,), (8,)))


def test_nothing_run_yet_is_drawn(suite):
    for depth in (4, 8):
        suite.plan("ei", depth)
    assert drawn(suite).x == "model.depth"


def test_figures_of_one_name(suite, make_suite, tmp_path):
    suite.run(90, "ei", 4)
    (tmp_path / "old").mkdir()
    suite.folder.rename(tmp_path / "old" / "depth_scaling")
    suite.run(90, "ei", 8)
    with pytest.raises(UserError, match="would overwrite"):
        list(make_figures([tmp_path], "test_accuracy", out=tmp_path / "figures"))


def test_out_that_is_a_file(suite, tmp_path):
    suite.run(90)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file"):
        drawn(suite, out=tmp_path / "file")
