"""Heat maps of layers over training, and accuracy against cost."""

import json

import numpy as np
import pytest

from eibench.report.figures.draw import draw, make_figures
from eibench.report.figures.maps import draw_balance, draw_rates
from eibench.report.figures.tradeoff import draw_tradeoff
from eibench.report.model.suite_results import read_suites


def suite_of(fake):
    return read_suites([fake.folder])[0]


def write_rates(run, *epochs):
    lines = [{"epoch": i, "firing_rate_by_layer": rates} for i, rates in enumerate(epochs, 1)]
    (run.path / "epochs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def maps(figure):
    return [axes for axes in figure.axes if axes.images]


# ----------------------------------------------------------------------------------- rates


def test_rates_by_layer_and_epoch(make_suite):
    """Two seeds; the second ended after one epoch."""
    suite = make_suite("rates", axes=["method", "model.depth"])
    write_rates(suite.run(90.0, "ei", 2, 0), [0.1, 0.2], [0.3, 0.4])
    write_rates(suite.fail("diverged", "nan", "ei", 2, 1), [0.3, 0.6])
    write_rates(suite.run(90.0, "ei", 3, 0), [0.1, 0.1, 0.8])
    shallow, deep = maps(draw_rates(suite_of(suite)))
    numbers = shallow.images[0].get_array()  # the first layer below
    assert np.asarray(numbers) == pytest.approx(np.array([[0.2, 0.3], [0.4, 0.4]]))
    assert deep.images[0].get_array().shape == (3, 1)
    assert shallow.get_title() == "ei (1 failed)\ndepth 2"
    assert shallow.images[0].norm.vmax == deep.images[0].norm.vmax == 0.8
    assert shallow.get_ylim() == (0.5, 2.5)


def test_the_caption_says_that_balance_is_not_recorded(make_suite):
    suite = make_suite("rates", axes=["method"])
    write_rates(suite.run(90.0), [0.1])
    text = draw_rates(suite_of(suite)).texts[1].get_text().replace("\n", " ")
    assert "E/I balance by epoch is not recorded" in text


def test_a_column_for_each_condition(make_suite):
    suite = make_suite("rates", axes=["method", "model.depth"])
    for method in ("ei", "tdbn", "bntt"):
        for depth in (2, 3):
            write_rates(suite.run(90.0, method, depth), [0.1] * depth)
    figure = draw_rates(suite_of(suite))
    places = {axes.get_subplotspec().colspan.start for axes in maps(figure)}
    assert places == {0, 1}


def test_without_rates_there_is_no_map(depth_scaling):
    assert draw_rates(suite_of(depth_scaling)) is None


# --------------------------------------------------------------------------------- balance


@pytest.fixture
def drifting(make_suite):
    """Probes after 0 and 50 steps, three seeds; batch norm has no balance."""
    suite = make_suite("drifting", kind="probe", axes=["method", "probe.steps"])
    for seed in (0, 1, 2):
        for steps in (0, 50):
            more = {"probe": {"steps": steps}, "seed": seed}
            layers = [{"balance": 0.01 * steps * (1 + seed)}, {"balance": 0.0}]
            suite.probe([1.0, 0.1], "ei", 2, layers=layers, **more)
            suite.probe([1.0, 0.1], "batchnorm", 2, **more)
    return suite


def test_balance_by_layer_and_step(drifting):
    figure = draw_balance(suite_of(drifting))
    titles = [(axes.get_title(), axes.images[0].get_array().tolist()) for axes in maps(figure)]
    assert titles[0] == ("ei", [[0.0, 1.0], [0.0, 0.0]])  # median of 0.5, 1.0 and 1.5
    assert [title for title, _ in titles[1:]] == ["ei", "batchnorm"]  # firing rates
    ticks = [tick.get_text() for tick in maps(figure)[0].get_xticklabels()]
    assert ticks == ["0", "50"]


def test_balance_is_a_figure_of_probes_of_several_steps_alone(drifting, propagation):
    names = [found.name for found in make_figures([drifting.folder], None, formats=["png"])]
    assert names == ["layers", "gradient_map", "balance_map"]
    assert draw_balance(suite_of(propagation)) is None


# ------------------------------------------------------------------------------------ cost


def timed(suite, method, seconds, speed, memory):
    """Runs of three seeds with 60, 70 and 80 % and the given cost."""
    for seed, accuracy in enumerate((60.0, 70.0, 80.0)):
        run = suite.run(accuracy, method, 4, seed, train={"batch_size": 64})
        path = run.path / "record.json"
        record = json.loads(path.read_text())
        cost = {"seconds": seconds + seed, "images_per_second": speed, "peak_memory_mib": memory}
        path.write_text(json.dumps({**record, "cost": cost}))


def points(axes):
    return [one.get_xydata()[0].tolist() for one in axes.get_lines() if len(one.get_xdata()) == 1]


def test_accuracy_over_step_time_time_and_memory(make_suite):
    suite = make_suite("cost", axes=["method"])
    timed(suite, "ei", 9.0, 640.0, 200.0)
    timed(suite, "batchnorm", 4.0, 1280.0, 100.0)
    figure = draw_tradeoff(suite_of(suite))
    step, seconds, memory = (axes for axes in figure.axes if axes.axison)
    assert step.get_xlabel() == "training step (ms)"
    assert points(step) == [[100.0, 70.0], [50.0, 70.0]]
    assert points(seconds) == [[10.0, 70.0], [5.0, 70.0]]
    assert points(memory) == [[200.0, 70.0], [100.0, 70.0]]
    assert seconds.get_xlim()[0] == 0
    bars = [one.get_xdata() for one in seconds.get_lines() if len(one.get_xdata()) == 2]
    assert list(bars[0]) == [9.0, 11.0]  # 10 ± 1
    assert seconds.get_xlim()[1] > 11


def test_a_cost_that_no_run_has_is_left_out(depth_scaling):
    figure = draw_tradeoff(suite_of(depth_scaling))
    labels = {axes.get_xlabel() for axes in figure.axes if axes.axison}
    assert labels == {"training and evaluation time (s)"}


def test_nothing_measured_is_nothing_drawn(suite):
    suite.plan("ei")
    assert draw_tradeoff(suite_of(suite)) is None


def test_by_name_and_by_command(make_suite, cli, tmp_path):
    suite = make_suite("cost", axes=["method"])
    timed(suite, "ei", 9.0, 640.0, 200.0)
    assert len(draw("cost", [suite.folder], tmp_path)) == 2
    done = cli("plot", suite.folder, "--cost", "--out", tmp_path)
    assert [line.rpartition("/")[2] for line in done.out.split()] == [
        "cost_cost.png",
        "cost_cost.pdf",
    ]
