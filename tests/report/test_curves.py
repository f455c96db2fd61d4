"""Learning curves: epochs as a data frame and as figures, of live runs and of evidence."""

import json
import math

import pytest
from matplotlib.colors import to_hex

import eibench
from eibench.errors import UserError
from eibench.report.figures.curves import draw_learning
from eibench.report.figures.draw import draw, make_figures
from eibench.report.figures.palette import method_colour
from eibench.report.model.epochs import learning_pivots, read_epochs
from eibench.report.model.pivot import Layout
from eibench.report.model.suite_results import read_suites
from eibench.results.packing import pack


def line(epoch, loss, accuracy):
    """An epoch whose validation loss is a tenth higher and its accuracy ten points lower."""
    numbers = {"train_loss": loss, "train_accuracy": accuracy}
    numbers |= {"validation_loss": 1.1 * loss, "validation_accuracy": accuracy - 10}
    cost = {"train_seconds": 2.0, "evaluation_seconds": 0.5, "peak_memory_mib": 100.0}
    rates = [0.1 * epoch, 0.2]
    return {"epoch": epoch, **numbers, "lr": 0.1, "firing_rate_by_layer": rates, "cost": cost}


def write(run, *epochs):
    run.path.mkdir(parents=True, exist_ok=True)
    (run.path / "epochs.jsonl").write_text("".join(json.dumps(e) + "\n" for e in epochs))


@pytest.fixture
def learned(make_suite):
    """Two methods of three epochs, two seeds; a run of the second failed in its second epoch."""
    suite = make_suite("learned", axes=["method", "model.depth"])
    for depth in (4, 8):
        for seed in (0, 1):
            write(suite.run(97.0, "ei", depth, seed), *(line(e, 1 / e, 60 + 10 * e + 2 * seed)
                  for e in (1, 2, 3)))  # fmt: skip
        write(suite.run(90.0, "batchnorm", depth, 0), *(line(e, 2 / e, 60.0) for e in (1, 2, 3)))
        failed = suite.fail("diverged", "epoch 2: loss is nan", "batchnorm", depth, 1)
        write(failed, line(1, 4.0, 40.0))
    return suite


def suite_of(fake):
    return read_suites([fake.folder])[0]


# ---------------------------------------------------------------------------- load_epochs


def test_load_epochs(learned):
    frame = eibench.load_epochs(learned.folder)
    assert len(frame) == 2 * (2 * 3 + 3 + 1)
    one = frame[(frame.method == "ei") & (frame["model.depth"] == 8) & (frame.seed == 1)]
    assert list(one.epoch) == [1, 2, 3]
    assert list(one.validation_accuracy) == [62.0, 72.0, 82.0]
    assert list(one.train_seconds + one.evaluation_seconds) == [2.5] * 3
    assert list(one.firing_rate_by_layer)[1] == [0.2, 0.2]
    assert set(frame[frame.status == "diverged"].epoch) == {1}


def test_evidence_has_the_same_epochs(learned, tmp_path):
    packed = pack(learned.folder, tmp_path / "evidence").path
    first, second = (eibench.load_epochs(path) for path in (learned.folder, packed))
    assert first.equals(second)


def test_numbers_that_an_older_run_lacks_are_nan_and_not_those_of_its_record(make_suite):
    suite = make_suite("old")
    run = suite.run(90.0, "ei", result={"validation_accuracy": 80.0})
    write(run, {"epoch": 1, "train_loss": 1.0})
    (epoch,) = eibench.load_epochs(suite.folder).to_dict("records")
    assert (epoch["train_loss"], epoch["status"]) == (1.0, "ok")
    assert epoch["validation_accuracy"] is None or math.isnan(epoch["validation_accuracy"])


def test_nothing_that_trains_has_no_epochs(propagation):
    with pytest.raises(UserError, match="no epochs here; `eibench run SUITE` trains some"):
        eibench.load_epochs(propagation.folder)


def test_the_directory_of_the_package_has_public_names_alone():
    names = ["__version__", "load_epochs", "load_layers", "load_model", "load_results", "nn"]
    assert dir(eibench) == names


# ---------------------------------------------------------------------------------- curves


def test_means_and_failures_by_epoch(learned):
    suite = suite_of(learned)
    layout = Layout(("method",), ("model.depth",))
    tables = learning_pivots(suite, read_epochs(suite), layout)
    accuracy = tables["train_accuracy"].cells
    assert accuracy[("ei",), (4, 2)].mean == 81.0  # of 80 and 82
    assert accuracy[("batchnorm",), (4, 1)].values == {0: 60.0, 1: 40.0}
    after = accuracy[("batchnorm",), (4, 2)]
    assert (after.mean, after.failed) == (60.0, 1)
    assert accuracy[("batchnorm",), (4, 3)].failed == 0  # counted once
    assert tables["validation_loss"].cells[("ei",), (8, 1)].mean == pytest.approx(1.1)


def panels(figure):
    return [axes for axes in figure.axes if axes.axison]


def test_a_column_for_each_depth_and_a_row_for_loss_and_accuracy(learned):
    figure = draw_learning(suite_of(learned))
    drawn = panels(figure)
    assert [axes.get_title() for axes in drawn] == ["depth 4", "depth 8"] * 2
    assert [axes.get_ylabel() for axes in drawn] == ["loss (nats)", "", "accuracy (%)", ""]
    lines = {(to_hex(one.get_color()), one.get_linestyle()): one for one in drawn[2].get_lines()}
    assert len(lines) == 4
    blue = method_colour("ei")
    assert list(lines[blue, "-"].get_ydata()) == [61.0, 71.0, 81.0]  # validation
    assert list(lines[blue, "--"].get_ydata()) == [71.0, 81.0, 91.0]
    at_the_bottom = drawn[2].get_xaxis_transform()
    crosses = [c for c in drawn[2].collections if c.get_offset_transform() == at_the_bottom]
    assert [[2.0, 0.0]] in [c.get_offsets().tolist() for c in crosses]


def test_the_legend_says_what_failed_and_which_line_is_which(learned):
    figure = draw_learning(suite_of(learned))
    legend = next(axes.get_legend() for axes in figure.axes if axes.get_legend())
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["ei", "batchnorm (2 failed)", "validation", "training"]
    assert "cross: a run failed there" in figure.texts[1].get_text()


def test_bands_are_clipped_to_possible_values(make_suite):
    suite = make_suite("sharp", axes=["method"])
    for seed, accuracy in enumerate((100.0, 100.0, 80.0)):  # 93.3 ± 11.5
        write(suite.run(90.0, "ei", seed=seed), line(1, 1.0, accuracy), line(2, 1.0, accuracy))
    accuracy = panels(draw_learning(suite_of(suite)))[1]
    band = accuracy.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == 100.0
    assert band.min() == pytest.approx(93.3333 - 11.547, abs=1e-3)


def test_losses_of_several_powers_of_ten_have_a_log_scale_in_plain_numbers(make_suite):
    suite = make_suite("steep", axes=["method"])
    write(suite.run(90.0, "ei"), *(line(e, 10.0 ** (1 - e), 50.0) for e in (1, 2, 3)))
    loss = panels(draw_learning(suite_of(suite)))[0]
    assert loss.get_yscale() == "log"
    assert loss.yaxis.get_major_formatter()(0.01) == "0.01"


@pytest.mark.parametrize("losses", [(0.0, 1.0), (-1.0, 1e100), (1e-100, 1e100), (None, None)])
def test_losses_that_no_network_has_are_drawn(make_suite, losses, tmp_path):
    suite = make_suite("odd", axes=["method"])
    for seed in (0, 1):
        lines = [{"epoch": e, "train_loss": loss} for e, loss in enumerate(losses, 1)]
        write(suite.run(90.0, "ei", seed=seed), *lines)
    assert draw("curves", [suite.folder], tmp_path, formats=["png"])[0].is_file()


def test_by_names_the_fields_of_the_lines(learned):
    figure = draw_learning(suite_of(learned), ["method", "model.depth"])
    assert len(panels(figure)) == 2
    with pytest.raises(UserError, match="no run of learned has this field"):
        draw_learning(suite_of(learned), ["model.dept"])


def test_nothing_recorded_is_nothing_drawn(suite):
    suite.plan("ei")
    assert draw_learning(suite_of(suite)) is None
    assert list(make_figures([suite.folder], None, names=["curves"])) == []


def test_a_suite_may_ask_for_them_by_name(learned, tmp_path):
    paths = draw(
        "curves", [learned.folder], tmp_path, by=["model.depth", "method"], formats=["png"]
    )
    assert [path.name for path in paths] == ["learned_curves.png"]
    with pytest.raises(UserError, match=r"no such figure; allowed: curves.*did you mean 'curves'"):
        draw("curvs", [learned.folder], tmp_path)


def test_command(cli, learned):
    done = cli("plot", learned.folder, "--curves", "--by", "method,model.depth")
    assert [name.rpartition("/")[2] for name in done.out.split()] == [
        "learned_curves.png",
        "learned_curves.pdf",
        "learned_rate_map.png",
        "learned_rate_map.pdf",
    ]
    done = cli("plot", learned.folder, "--curves", "--x", "model.depth")
    assert done.code == 2
    assert "--curves takes no --metric and no --x" in done.err


def test_command_without_epochs(cli, propagation):
    done = cli("plot", propagation.folder, "--curves")
    assert done.code == 2
    assert "--curves: no run here has recorded any" in done.err
