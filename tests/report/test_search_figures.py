"""Figures of a search: what is drawn where, files and their bytes, and fields that cannot be."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from eibench.errors import UserError
from eibench.report.figures.axes import ParameterAxis, ScoreRange
from eibench.report.figures.draw import draw, figures_of, make_figures
from eibench.report.figures.search_landscape import EMPTY, FRAMES, choose_pairs, draw_landscape
from eibench.report.figures.search_panels import WINNER, arrange, budget, groups, looks
from eibench.report.figures.search_parameters import draw_importances, draw_parallel, draw_slices
from eibench.report.figures.search_trials import LOOKS, draw_confirmed, draw_history
from eibench.report.figures.style import COLOURS
from eibench.report.model.search_results import read_searches
from eibench.report.model.suite_results import read_suites
from eibench.results.metrics import METRICS

ACCURACY, SECONDS = METRICS["validation_accuracy"], METRICS["seconds"]
RATE = {"low": 0.01, "high": 1.0, "log": True, "step": None}
SCALE = {"low": 0.25, "high": 4.0, "log": True, "step": None}
STAR = WINNER["zorder"]
KAPPA = {"choices": [0.0, 0.5, 1.0]}
LAW = {"choices": ["exponential", "gamma"]}
FIGURES = ["history", "slices", "parallel", "landscape", "confirmed", "importances"]


def read(fake):
    (search,) = read_searches([fake.folder])
    return search


def panels(figure):
    """Axes by title, those of empty places left out."""
    return {axes.get_title(): axes for axes in figure.axes if axes.axison}


def points(axes, label):
    found = [c for c in axes.collections if c.get_label() == label]
    return [tuple(xy) for c in found for xy in c.get_offsets().tolist()]


def drawn_names(search, metric=None):
    return [one.name for one in figures_of(search, metric)]


def caption(figure):
    return figure.texts[1].get_text()


@pytest.fixture
def one(make_search):
    """A study of a rate and a choice: every way to end, and the best is trial 4."""
    search = make_search("one", axes=[], trials=7)
    shares = {"train.lr": 0.7, "method.kappa": 0.3}
    search.study("one", {}, {"train.lr": RATE, "method.kappa": KAPPA}, importances=shares)
    search.trial(92.0, {"train.lr": 0.1, "method.kappa": 1.0})
    search.trial(94.0, {"train.lr": 0.2, "method.kappa": 1.0})
    search.trial(10.0, {"train.lr": 1.0, "method.kappa": 1.0}, reason="epoch 2: loss is nan")
    search.trial({}, {"train.lr": 0.5, "method.kappa": 0.5}, "failed", "RuntimeError")
    search.trial(96.0, {"train.lr": 0.1, "method.kappa": 0.5})
    search.trial(93.0, {"train.lr": 0.3, "method.kappa": 0.0}, "pruned")
    search.trial(95.0, {"train.lr": 0.01, "method.kappa": 0.0})
    return search


@pytest.fixture
def landscape(make_search):
    """Scale by gain on a grid of 2 x 3 with a hole; each cell twice, at another kappa."""
    search = make_search("landscape", axes=[], sampler="grid")
    space = {"method.weight_scale": SCALE, "method.gain_scale": SCALE, "method.kappa": KAPPA}
    shares = {"method.weight_scale": 0.5, "method.gain_scale": 0.4, "method.kappa": 0.1}
    search.study("all", {}, space, importances=shares)
    for scale, gain in itertools.product((0.5, 2.0), (0.25, 1.0, 4.0)):
        for kappa in (0.0, 1.0):
            values = {"method.weight_scale": scale, "method.gain_scale": gain}
            if (scale, gain) != (2.0, 0.25):
                search.trial(90 + scale + gain + kappa, {**values, "method.kappa": kappa})
    return search


# ------------------------------------------------------------------------------------ scales


def test_a_log_range_has_round_ticks():
    parameter = ParameterAxis.of("train.lr", {"low": 0.01, "high": 3.0, "log": True})
    assert list(parameter.ticks().values()) == ["0.01", "0.03", "0.1", "0.3", "1", "3"]
    assert list(parameter.ticks()) == pytest.approx([-2, -1.523, -1, -0.523, 0, 0.477], abs=1e-3)
    assert parameter.share(parameter.place(0.1)) == pytest.approx(1 / np.log10(300))


def test_many_decades_have_few_ticks():
    parameter = ParameterAxis.of("train.lr", {"low": 1e-8, "high": 1.0, "log": True})
    assert list(parameter.ticks().values()) == ["1e-08", "1e-06", "0.0001", "0.01", "1"]


def test_a_narrow_log_range_has_its_ends():
    parameter = ParameterAxis.of("train.lr", {"low": 0.6, "high": 0.9, "log": True})
    assert list(parameter.ticks().values()) == ["0.6", "0.9"]


def test_whole_numbers_have_whole_ticks():
    parameter = ParameterAxis.of("method.ei_ratio", {"low": 1, "high": 4, "log": False})
    assert list(parameter.ticks().values()) == ["1", "2", "3", "4"]


def test_choices_stand_side_by_side():
    parameter = ParameterAxis.of(
        "method.init", {"choices": ["xavier", {"name": "flow", "rate": 0.2}]}
    )
    assert parameter.ticks() == {0.0: "xavier", 1.0: "flow rate 0.2"}
    assert parameter.place({"name": "flow", "rate": 0.2}) == 1
    assert not parameter.numeric
    assert ParameterAxis.of("method.kappa", KAPPA).numeric
    assert not ParameterAxis.of("method.dale", {"choices": [True, False]}).numeric


def test_one_bad_score_does_not_hide_the_others():
    shown = ScoreRange.of([10.0, 95.0, 96.0, 97.0, 98.0], ACCURACY)
    assert (shown.worst, shown.best) == (92.0, 98.0)  # three times from 98 to the median 96
    assert shown.place(10.0) == shown.limits[0]
    assert shown.clips([10.0]) and not shown.clips([95.0, 98.0])
    assert "lower edge" in shown.edge


def test_of_seconds_the_slow_ones_are_out_of_sight():
    shown = ScoreRange.of([1.0, 2.0, 3.0, 4.0, 500.0], SECONDS)
    assert (shown.worst, shown.best) == (7.0, 1.0)
    assert "upper edge" in shown.edge


@given(st.lists(st.floats(0, 100), min_size=1), st.sampled_from([ACCURACY, SECONDS]))
def test_score_range(scores, metric):
    shown = ScoreRange.of(scores, metric)
    low, high = shown.limits
    assert low < high
    assert shown.best == (max if metric is ACCURACY else min)(scores)
    assert all(low <= shown.place(s) <= high and 0 <= shown.share(s) <= 1 for s in scores)
    assert shown.share(shown.best) == 1
    ordered = sorted(scores)
    assert [shown.place(s) for s in ordered] == sorted(shown.place(s) for s in ordered)


# ------------------------------------------------------------------------------------- pages


def test_rows_are_methods_and_columns_depths(make_search):
    search = make_search()
    for method, depth in itertools.product(("ei", "batchnorm"), (4, 8)):
        if (method, depth) != ("batchnorm", 4):
            arm = {"method": method, "model.depth": depth}
            search.study(f"{method}, depth {depth}", arm, {"train.lr": RATE})
    found = read(search)
    names = [[s and s.name for s in row] for row in arrange(found, found.studies)]
    assert names == [["ei, depth 4", "ei, depth 8"], [None, "batchnorm, depth 8"]]
    ei, batchnorm = groups(found, found.studies)
    assert (ei.name, list(ei.members)) == ("ei", ["depth 4", "depth 8"])
    assert (batchnorm.name, list(batchnorm.members)) == ("batchnorm", ["depth 8"])
    assert list(looks([ei, batchnorm])) == ["depth 4", "depth 8"]  # depth 8 looks alike in both


@pytest.mark.parametrize("axes", [["method"], ["model.depth", "method"]])
def test_studies_of_unlike_spaces_share_no_panels(make_search, axes):
    search = make_search(axes=axes)
    for method, space in (("ei", {"method.kappa": KAPPA}), ("no_norm", {}), ("layernorm", {})):
        arm = {"method": method, "model.depth": 4}
        search.study(method, {axis: arm[axis] for axis in axes}, {"train.lr": RATE, **space})
        search.trial(90.0, {"train.lr": 0.1, **dict.fromkeys(space, 0.5)})
    found = read(search)
    assert [g.name for g in groups(found, found.studies)] == ["ei", "no_norm", "layernorm"]
    titles = [axes.get_title() for axes in draw_slices(found).axes if axes.axison]
    assert titles == ["ei", "ei", "no_norm", "layernorm"]


def test_depths_of_one_method_share_panels(make_search):
    search = make_search(axes=["model.depth"])
    for depth in (4, 8):
        search.study(f"depth {depth}", {"model.depth": depth}, {"train.lr": RATE})
        search.trial(90.0 + depth, {"train.lr": 0.1 * depth})
    axes = panels(draw_slices(read(search)))[""]
    stars = {
        to_hex(c.get_facecolor()[0]): c.get_offsets().tolist()
        for c in axes.collections
        if c.get_zorder() == STAR
    }
    assert stars == {
        COLOURS[0].lower(): [[pytest.approx(np.log10(0.4)), 94]],
        COLOURS[1].lower(): [[pytest.approx(np.log10(0.8)), 98]],
    }
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["depth 4", "depth 8"]


def test_one_figure_by_its_name(fair_search, tmp_path):
    """As a suite's `report:` asks for it; unknown names are refused with what is allowed."""
    results = [fair_search.folder]
    written = draw("history", results, tmp_path)
    assert [p.name for p in written] == [f"fair_depth_scaling_history.{e}" for e in ("png", "pdf")]
    assert len(draw("test_accuracy", results, tmp_path, x="model.depth", formats=["png"])) == 1
    (png, _) = draw("landscape", results, tmp_path, x="train.lr", by=["method.kappa"])
    assert png.name == "fair_depth_scaling_landscape_lr_kappa.png"
    with pytest.raises(UserError, match="history: this figure takes no x"):
        draw("history", results, tmp_path, x="train.lr")
    with pytest.raises(UserError, match=r"histroy: no such figure; .*did you mean 'history'"):
        draw("histroy", results, tmp_path)


def test_a_figure_with_nothing_to_show_is_not_written(one, tmp_path):
    assert draw("confirmed", [one.folder], tmp_path / "out") == []
    assert not (tmp_path / "out").exists()


def test_every_figure_states_n(fair_search):
    figures = [*figures_of(read(fair_search)), *figures_of(read_suites([fair_search.folder])[0])]
    assert all(one.caption.startswith("n = ") for one in figures)


def test_caption(one):
    search = read(one)
    start = "n = 7 trials (1 diverged, 1 pruned, 1 failed); seed 1000 of the search"
    assert budget(search).startswith(start)
    lines = caption(draw_history(search)).splitlines()
    assert lines[0].startswith(start)
    assert lines[1] == "on the lower edge: scores below it"
    assert lines[-1] == "Abacus 9000 (4 cores), device: cpu, 2 threads"


# ----------------------------------------------------------------------------------- history


def test_history(one):
    axes = draw_history(read(one)).axes[0]
    low, _ = axes.get_ylim()
    assert points(axes, "complete") == [(0, 92), (1, 94), (4, 96), (6, 95)]
    assert points(axes, "pruned") == [(5, 93)]
    assert points(axes, "diverged") == [(2, pytest.approx(low))]
    assert points(axes, "failed") == [(3, 0)]  # in shares of the axis
    assert points(axes, "winner") == [(4, 96)]
    (line,) = axes.get_lines()
    assert line.get_xdata().tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert line.get_ydata().tolist() == [92, 94, 94, 94, 96, 96, 96]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert set(names) == {*LOOKS, "best so far", "winner"}


def test_a_search_of_which_all_failed(make_search):
    search = make_search("bad", axes=[])
    search.study("bad", {}, {"train.lr": RATE})
    search.trial({}, {"train.lr": 0.1}, "failed", "RuntimeError")
    assert drawn_names(read(search)) == ["history"]


def test_a_search_of_which_all_diverged(make_search):
    search = make_search("bad", axes=[])
    search.study("bad", {}, {"train.lr": RATE, "method.weight_scale": SCALE})
    values = {"train.lr": 0.1, "method.weight_scale": 1.0}
    search.trial(10.0, values, reason="epoch 1: loss is nan")
    names = drawn_names(read(search))
    assert names == ["history", "slices", "parallel", "landscape"]


def test_a_search_that_has_only_begun(make_search):
    search = make_search("young", axes=[])
    search.study("young", {}, {"train.lr": RATE})
    search.trial({}, {"train.lr": 0.1}, "running")
    assert drawn_names(read(search)) == []


# -------------------------------------------------------------------- slices, importances, lines


def test_slices(one):
    rate, kappa = draw_slices(read(one)).axes
    shown = [tuple(xy) for c in rate.collections for xy in c.get_offsets().tolist()]
    bottom = pytest.approx(rate.get_ylim()[0])
    assert shown == [
        (0, bottom), (-1, 92), (pytest.approx(np.log10(0.2)), 94), (-2, 95), (-1, 96), (-1, 96),
    ]  # fmt: skip
    star = [c.get_offsets().tolist() for c in rate.collections if c.get_zorder() == STAR]
    assert star == [[[-1, 96]]]
    star = [c.get_offsets().tolist() for c in kappa.collections if c.get_zorder() == STAR]
    assert star == [[[1, 96]]]  # the second choice
    assert rate.get_xlabel() == "learning rate, log scale"
    assert [label.get_text() for label in kappa.get_xticklabels()] == ["0", "0.5", "1"]


def test_importances(one):
    axes = draw_importances(read(one)).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.7, 0.3]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["learning rate", "kappa"]


def test_of_a_single_parameter_nothing_matters_more(fair_search):
    axes = draw_importances(read(fair_search)).axes
    assert [one.get_title() for one in axes] == ["ei, depth 4"]  # which searched two


def test_importances_of_none(fair_search):
    fair_search.tried.content["studies"][0]["importances"] = None
    fair_search.write()
    assert draw_importances(read(fair_search)) is None


def test_parallel_coordinates(one):
    axes = draw_parallel(read(one)).axes[0]
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) == 3]
    assert len(lines) == 5  # complete ones, the diverged among them
    assert lines[-1].get_ydata() == pytest.approx([0.5, 0.5, 1.0])  # 0.1 of 0.01 to 1; the best
    assert lines[-1].get_linewidth() > lines[0].get_linewidth()
    assert lines[0].get_ydata() == pytest.approx([1.0, 1.0, 0.0])  # the diverged
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["learning\nrate", "kappa", "validation\naccuracy\n(%)"]


def test_a_panel_that_is_left_alone_says_whose_it_is(fair_search):
    search = read(fair_search)
    axes = draw_parallel(search).axes + draw_landscape(search, choose_pairs(search)).axes[:1]
    assert [one.get_title() for one in axes] == ["ei, depth 4"] * 2


def test_a_single_parameter_has_no_parallel_coordinates(make_search):
    search = make_search("single", axes=[])
    search.study("single", {}, {"train.lr": RATE})
    search.trial(96.0, {"train.lr": 0.9})
    assert draw_parallel(read(search)) is None


# --------------------------------------------------------------------------------- landscape


def test_cells(landscape):
    search = read(landscape)
    figure = draw_landscape(search, choose_pairs(search))
    axes, bar = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("weight scale", "gain scale")
    assert bar.get_ylabel() == "validation accuracy (%)"
    mesh = axes.collections[0].get_array()
    means = [[91.25, None], [92.0, 93.5], [95.0, 96.5]]  # over both kappas; rows are gains
    assert mesh.tolist() == means
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0.5", "2"]
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {
        (0.5, 0.5): "91.2", (0.5, 1.5): "92.0", (1.5, 1.5): "93.5", (0.5, 2.5): "95.0",
        (1.5, 2.5): "96.5",
    }  # fmt: skip
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    hatched = [patch.get_xy() for patch in boxes if patch.get_hatch() == EMPTY["hatch"]]
    framed = [p.get_xy() for p in boxes if to_hex(p.get_edgecolor()) == FRAMES[1][0].lower()]
    assert (hatched, framed) == ([(1, 0)], [(1, 2)])
    assert "hatched: no complete trial" in caption(figure)


def test_a_cell_that_diverged_is_crossed(landscape):
    hole = {"method.weight_scale": 2.0, "method.gain_scale": 0.25, "method.kappa": 0.0}
    landscape.trial(10.0, hole, reason="epoch 1: loss is nan")
    search = read(landscape)
    figure = draw_landscape(search, choose_pairs(search))
    written = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert written[1.5, 0.5] == "\N{MULTIPLICATION SIGN}"
    assert "cross: diverged" in caption(figure)


def test_trials_that_form_no_grid_are_points(one):
    search = read(one)
    figure = draw_landscape(search, choose_pairs(search))
    axes = figure.axes[0]
    diverged, complete, star = axes.collections
    assert diverged.get_offsets().tolist() == [[0, 2]]
    assert sorted(complete.get_array().tolist()) == [92, 94, 95, 96]
    assert star.get_offsets().tolist() == [[-1, 1]]
    assert axes.get_xlabel() == "learning rate, log scale"


def test_the_pair_is_the_most_important(landscape):
    shares = {"method.weight_scale": 0.1, "method.gain_scale": 0.4, "method.kappa": 0.5}
    landscape.last["importances"] = shares
    landscape.write()
    search = read(landscape)
    assert choose_pairs(search) == {"all": ("method.gain_scale", "method.kappa")}
    assert choose_pairs(search, "method.weight_scale") == {
        "all": ("method.weight_scale", "method.kappa")
    }
    assert choose_pairs(search, None, ["method.weight_scale"]) == {
        "all": ("method.kappa", "method.weight_scale")
    }


def test_studies_of_one_space_have_one_pair(make_search):
    search = make_search(axes=["model.depth"])
    space = {"train.lr": RATE, "method.weight_scale": SCALE, "method.gain_scale": SCALE}
    for depth, shares in ((4, (0.5, 0.4, 0.1)), (8, (0.1, 0.5, 0.4)), (16, (0.5, 0.4, 0.1))):
        known = dict(zip(space, shares, strict=True))
        search.study(f"depth {depth}", {"model.depth": depth}, space, importances=known)
    assert set(choose_pairs(read(search)).values()) == {("train.lr", "method.weight_scale")}


@pytest.mark.parametrize(
    ("x", "by", "message"),
    [
        ("method.kapa", None, "--x method.kapa: no study of one searches it; .*'method.kappa'"),
        (None, ["train.lrr"], "--by train.lrr: .*did you mean 'train.lr'"),
        ("method.weight_law", None, "--x method.weight_law: its values are not numbers; numeric"),
        ("train.lr", ["train.lr"], "train.lr is in both --x and --by"),
        ("train.lr", ["method.kappa", "train.lr"], "--by method.kappa,train.lr: a landscape lies"),
        ("method.gain_scale", None, "no study has two numbers, method.gain_scale among them"),
    ],
)
def test_fields_that_cannot_be(one, x, by, message):
    one.study("law", {}, {"method.weight_law": LAW, "method.gain_scale": SCALE})
    with pytest.raises(UserError, match=message):
        list(figures_of(read(one), None, x, by))


# --------------------------------------------------------------------------------- confirmed


def test_confirmed(fair_search):
    plane, lines = draw_confirmed(read(fair_search)).axes
    means = [(c.lines[0].get_xdata()[0], c.lines[0].get_ydata()[0]) for c in plane.containers]
    assert means == [(97.5, pytest.approx(97.1)), (98.0, pytest.approx(293 / 3))]
    (segment,) = plane.containers[0].lines[2][0].get_segments()
    half = 4.302653 / 3**0.5  # t for 2 degrees of freedom, deviation 1
    assert segment[:, 1] == pytest.approx([97.1 - half, 97.1 + half])
    assert [label.get_text() for label in lines.get_yticklabels()] == [
        "ei, depth 4",
        "batchnorm, depth 16",
    ]
    biases = [container.lines[0].get_xdata()[0] for container in lines.containers]
    assert biases == pytest.approx([-0.4, -1 / 3])
    assert lines.get_xlabel() == "confirmed less search (percentage points)"
    dashed = plane.get_lines()[-1]
    assert list(dashed.get_xdata()) == list(dashed.get_ydata())


def test_fresh_runs_of_an_earlier_winner_confirm_nothing(fair_search):
    fair_search.trial(99.0, {"train.lr": 0.5})
    plane, _ = draw_confirmed(read(fair_search)).axes
    assert [c.lines[0].get_xdata()[0] for c in plane.containers] == [97.5]


def test_nothing_is_confirmed_yet(one):
    assert draw_confirmed(read(one)) is None


# ------------------------------------------------------------------------------------- files


def test_files_and_their_bytes(fair_search, tmp_path):
    drawn = list(make_figures([fair_search.folder], None))
    kinds = [*FIGURES, "test_accuracy"]
    assert [[path.name for path in one.paths] for one in drawn] == [
        [f"fair_depth_scaling_{kind}.{end}" for end in ("png", "pdf")] for kind in kinds
    ]
    assert {path.parent for one in drawn for path in one.paths} == {fair_search.folder / "figures"}
    again = list(make_figures([fair_search.folder], None, out=tmp_path / "again"))
    for first, second in zip(drawn, again, strict=True):
        assert [p.read_bytes() for p in first.paths] == [p.read_bytes() for p in second.paths]
        assert b"/Type3" not in first.paths[1].read_bytes()


def names(figures):
    return [one.paths[0].stem.removeprefix("fair_depth_scaling_") for one in figures]


def test_what_is_asked_for_chooses_between_search_and_runs(fair_search):
    folder = [fair_search.folder]
    assert names(make_figures(folder, None, "train.lr", ["method.kappa"])) == ["landscape_lr_kappa"]
    assert names(make_figures(folder, "test_accuracy")) == ["test_accuracy"]
    assert names(make_figures(folder, None, "model.depth")) == ["test_accuracy"]
    assert names(make_figures(folder, "validation_accuracy")) == [*FIGURES, "validation_accuracy"]
    with pytest.raises(UserError, match=r"did you mean 'method\.kappa'"):
        list(make_figures(folder, None, "method.kapa"))


def test_an_unconfirmed_search_does_not_stand_in_the_way_of_others(one, depth_scaling):
    everything = [one.folder.parent]
    assert [d.suite for d in make_figures(everything, "test_accuracy")] == ["depth_scaling"]
    with pytest.raises(UserError, match="no objective of one; objectives: validation_accuracy"):
        list(make_figures([one.folder], "test_accuracy"))


def test_searches_of_one_name(one, make_search, tmp_path):
    (tmp_path / "old").mkdir()
    one.folder.rename(tmp_path / "old" / "one")
    make_search("one", axes=[])
    with pytest.raises(UserError, match="would overwrite"):
        list(make_figures([tmp_path], None, out=tmp_path / "figures"))


def test_commands(fair_search, cli):
    done = cli("plot", fair_search.folder)
    assert (done.code, len(done.out.splitlines())) == (0, 14)
    done = cli("plot", fair_search.folder, "--x", "train.lr", "--by", "method.kappa")
    assert (done.code, len(done.out.splitlines()), done.err) == (0, 2, "")
    done = cli("plot", fair_search.folder / "search", "--x", "train.rl", "--by", "method.kappa")
    assert done.code == 2
    assert done.errors == [
        "--x train.rl: no study of fair_depth_scaling searches it; numeric parameters: train.lr,"
        " method.kappa; did you mean 'train.lr'?"
    ]
