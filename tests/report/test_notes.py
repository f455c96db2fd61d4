"""Footnotes: each fact a reader needs, in words."""

import pytest

from eibench.report.model.layers import make_pivots
from eibench.report.model.notes import footnotes
from eibench.report.model.pivot import build_pivot, choose_layout
from eibench.report.model.provenance import provenance
from eibench.report.model.suite_results import read_suite
from eibench.results.metrics import find_metric


def notes_of(suite, metric="test_accuracy", **layout):
    return footnotes(make_pivots([suite.folder], metric, **layout)[0])


def only(notes, start):
    found = [note for note in notes if note.startswith(start)]
    assert len(found) == 1, notes
    return found[0]


def test_all_notes_in_order(depth_scaling):
    deep = [run for run in depth_scaling.content["runs"] if run["fields"]["model.depth"] == 16]
    ids = {f"{run['fields']['method']}{run['fields']['seed']}": run["run_id"] for run in deep}
    assert notes_of(depth_scaling) == [
        "Mean ± sample standard deviation over n = 3 runs (seeds 0, 1, 2); a cell with fewer says"
        " so.",
        "A mean beside failed runs is over the others alone, which flatters the method.",
        "Best: best mean of each column; it need not differ from the next one.",
        "Difference to `batchnorm`, in percentage points, with its 95 % confidence interval"
        " (unequal variances, Welch).",
        "Better, worse: the interval excludes 0; undecided: the runs do not tell, and in brackets"
        " stands how many seeds for each would, if means and deviations stay. No margin was fixed,"
        " so nothing is called equivalent.",
        "Runs failed: no verdict from the mean of those that are left.",
        "Not paired by seed: too few shared seeds to tell a correlation with the control.",
        "The `batchnorm` run has no number under: seed 2, depth 16.",
        "`tdbn` is the same computation as `batchnorm` in these networks; equal rows are expected.",
        "Set for each method: `train.lr`: `ei` 0.1, `batchnorm` 0.03, `tdbn` 0.03.",
        "UNTUNED: `ei`, at the default learning rate 0.1.",
        f"Diverged: `{ids['tdbn0']}`, `{ids['tdbn1']}`; reason: `epoch 3: loss is nan`.",
        f"Out of memory: `{ids['batchnorm2']}`; reason: `CUDA: no {{room}} & 100% full`.",
        "Missing: 1 of 18 planned runs not run yet.",
        "Computed on Abacus 9000 (4 cores), device: cpu, 2 threads.",
        "With eibench 0.1.0, torch 2.6.0, Python 3.12.1.",
        "Source: commit 01234567.",
        "Command: `eibench run depth_scaling`.",
    ]


def test_one_seed(suite):
    suite.run(90, "ei", 4)
    suite.run(80, "no_norm", 4)
    notes = notes_of(suite)
    assert notes[:2] == [
        "n = 1 run in each cell (seed 0): no spread can be given.",
        "Best: best mean of each column; it need not differ from the next one.",
    ]
    assert not any(note.startswith(("Difference", "Better")) for note in notes)


def test_no_rule_where_nothing_is_marked(depth_scaling):
    assert not any(note.startswith("Best") for note in notes_of(depth_scaling, "firing_rate"))


def test_the_rule_says_where_the_best_is_sought(depth_scaling):
    across = only(notes_of(depth_scaling, rows=["model.depth"]), "Best")
    assert "best mean of each row" in across
    nested = only(notes_of(depth_scaling, rows=["method", "model.depth"]), "Best")
    assert "best mean of all methods under like conditions" in nested


def test_earlier_plan(suite):
    suite.seeds([50, 60], "no_norm")
    suite.content["runs"].clear()
    suite.run(90)
    expected = "Left out: 2 other runs in this folder, which belong to an earlier plan."
    assert only(notes_of(suite), "Left out") == expected


def test_interrupted(suite):
    run = suite.plan("ei")
    run.path.mkdir(parents=True)
    run.append_epoch({"epoch": 1})
    assert notes_of(suite)[1:] == [f"Interrupted: `{run.run_id}`; reason: `stopped after epoch 1`."]


def test_a_reason_is_one_short_line_without_backticks(suite):
    suite.fail("error", "RuntimeError: `a`\n\n  " + 300 * "x", "ei")
    note = only(notes_of(suite), "Error")
    assert "RuntimeError: 'a' xxx" in note
    assert note.endswith("xxx...`.")
    assert len(note) < 250


@pytest.fixture
def tuned(make_suite):
    suite = make_suite("final", tuned_by="lr_search", axes=["method"])
    suite.run(90, "ei")
    suite.run(80, "no_norm")
    return suite


def test_whatever_a_method_determines_is_named(make_suite):
    suite = make_suite("unfair", axes=["method"])
    suite.run(90, "ei", 4, timesteps=1)
    suite.run(91, "no_norm", 8, timesteps=1)
    assert only(notes_of(suite), "Set for") == (
        "Set for each method: `model.depth`: `ei` 4, `no_norm` 8."
    )
    shown = notes_of(suite, columns=["model.depth"])
    assert not any(note.startswith("Set for") for note in shown)


def test_what_differs_between_the_cells_of_a_method_is_named(make_suite):
    suite = make_suite("scaled", axes=["method", "train.batch_size"])
    for method, size, rate in [
        ("ei", 1, 0.01),
        ("ei", 4, 0.02),
        ("tdbn", 1, 0.1),
        ("tdbn", 4, 0.2),
    ]:
        for seed in (0, 1):
            suite.run(90, method, seed=seed, train={"batch_size": size, "lr": rate})
    notes = notes_of(suite, columns=["train.batch_size"])
    assert [note for note in notes if note.startswith("Differs")] == [
        "Differs between cells: `train.lr`, 0.01 to 0.2; the suite lists it."
    ]


def search(make_suite, **counts):
    suite = make_suite("lr_search", axes=["method", "train.lr"])
    for method, count in counts.items():
        for i in range(count):
            suite.plan(method, train={"lr": 0.1 / (i + 1)})


def test_equal_tuning(tuned, make_suite):
    search(make_suite, ei=3, no_norm=3, tdbn=1)
    assert only(notes_of(tuned), "Per-method") == (
        "Per-method values were found in `lr_search`: 3 runs for each method."
    )


@pytest.mark.parametrize(("counts", "listed"), [
    ({"ei": 3, "no_norm": 1}, "`ei` 3, `no_norm` 1."),
    ({"ei": 3}, "`ei` 3, `no_norm` none."),
    ({"tdbn": 3}, "`ei` none, `no_norm` none."),
])  # fmt: skip
def test_unequal_tuning(tuned, make_suite, counts, listed):
    search(make_suite, **counts)
    assert only(notes_of(tuned), "UNEQUAL TUNING").endswith(f"unlike numbers of runs: {listed}")


def test_tuning_at_the_edge(make_suite):
    """The final rate 0.1 is the greatest that E-I tried, and lies inside the rates of the other."""
    final = make_suite("final", tuned_by="lr_search", axes=["method"])
    final.run(90, "ei", train={"lr": 0.1})
    final.run(80, "no_norm", train={"lr": 0.1})
    rates = make_suite("lr_search", axes=["method", "train.lr"])
    for method, tried in {"ei": (0.01, 0.03, 0.1), "no_norm": (0.03, 0.1, 0.3)}.items():
        for rate in tried:
            rates.plan(method, train={"lr": rate})
    assert only(notes_of(final), "EDGE OF RANGE") == (
        "EDGE OF RANGE: `ei` `train.lr` 0.1: least or greatest of what was tried. Widen the range"
        " for all methods."
    )


def test_only_runs_in_networks_of_the_suite_count_as_tuning(tuned, make_suite):
    search(make_suite, ei=3, no_norm=3)
    rates = make_suite("lr_search", axes=["method", "model.depth", "train.lr"])
    for method, depths in {"ei": (4, 16), "no_norm": (4,)}.items():
        for depth in depths:
            rates.plan(method, depth)
    assert only(notes_of(tuned), "Per-method").endswith("1 run for each method.")


def test_absent_tuning(tuned):
    assert "whose results are not here" in only(notes_of(tuned), "Per-method")


def test_mixed_provenance(suite):
    suite.run(90, "ei", 4)
    suite.run(91, "no_norm", 4, environment={
        "torch": "2.7.0", "device": "NVIDIA H100", "commit": "fedcba9876543210", "dirty": True,
        "command": "eibench run depth_scaling --only method=no_norm",
    })  # fmt: skip
    assert notes_of(suite)[-4:] == [
        "MIXED MACHINES (times and memory do not compare): 1 run with Abacus 9000 (4 cores),"
        " device: cpu, 2 threads; 1 run with Abacus 9000 (4 cores), device: NVIDIA H100.",
        "MIXED VERSIONS: 1 run with eibench 0.1.0, torch 2.6.0, Python 3.12.1; 1 run with eibench"
        " 0.1.0, torch 2.7.0, Python 3.12.1.",
        "MIXED COMMITS: 1 run with commit 01234567; 1 run with commit fedcba98 (with uncommitted"
        " changes).",
        "Commands: `eibench run depth_scaling`, `eibench run depth_scaling --only method=no_norm`.",
    ]


def test_runs_by_several_processes(suite):
    together = {"world_size": 2, "backend": "gloo", "plugins": {"method": "mine (a.py)"}}
    suite.run(90, "ei", 4)
    assert not any("several processes" in note for note in notes_of(suite))
    suite.run(91, "no_norm", 4, environment=together)
    notes = notes_of(suite)
    machines = only(notes, "MIXED MACHINES")
    assert machines.endswith("device: cpu, 2 threads, 2 processes (gloo).")
    assert "a plugin takes by other means" in only(notes, "Runs by several processes")


@pytest.mark.parametrize("pieces", [1, 4])
def test_batches_in_pieces(suite, pieces):
    suite.run(90, train={"accumulate": pieces})
    found = [note for note in notes_of(suite) if note.startswith("Batches in pieces")]
    assert len(found) == (pieces > 1)


@pytest.mark.parametrize("device", ["cpu, 2 threads", "NVIDIA H100"])
def test_times_of_unlike_machines_are_labelled_and_not_ranked(suite, device):
    """Two methods and two seeds; the second method's runs may be of another machine."""
    for seed in (0, 1):
        suite.run(90, "batchnorm", seed=seed)
        run = suite.run(91, "ei", seed=seed, environment={"device": device})
        run.finish({**run.record(), "cost": {"seconds": 5.0 + seed}})
    found = read_suite(suite.folder)
    alike = device.startswith("cpu")
    for name, by_machine in (("seconds", True), ("test_accuracy", False)):
        metric = find_metric(name)
        table = build_pivot(found, metric, choose_layout(found))
        compared = alike or not by_machine
        assert any(cell.best for cell in table.cells.values()) == compared
        assert bool(table.differences) == compared
        assert table.heading.endswith(", on unlike machines") != compared
        assert any(note.startswith("Computed on unlike") for note in footnotes(table)) != compared


def test_installed_package_has_no_commit(suite):
    suite.run(90, environment={"commit": None, "dirty": None})
    assert only(notes_of(suite), "Source") == "Source: installed package, no commit."


def test_mixed_data(suite):
    suite.run(90, "ei")
    run = suite.run(91, "no_norm")
    record = run.record()
    record["result"]["data_digest"] = "d2"
    run.finish(record)
    assert only(notes_of(suite), "MIXED DATA")


@pytest.mark.parametrize(
    ("values", "mixed"),
    [
        ({"seed": 1}, True),
        ({"timesteps": 5}, False),
        ({"seed": 1, "data": {"name": "digits", "splits": "by_seed"}}, False),
        ({"method": "tdbn", "data": {"name": "digits", "splits": "by_seed"}}, True),
        (
            {"seed": 1, "data": {"name": "events_from", "source": {"name": "digits"}}},
            True,
        ),
        (
            {
                "seed": 1,
                "data": {"name": "events_from", "source": {"name": "digits", "splits": "by_seed"}},
            },
            False,
        ),
    ],
)
def test_data_may_differ_with_what_they_depend_on(suite, values, mixed):
    """Recordings on T, and splits that are drawn by seed on the seed."""
    suite.run(90, data=values.get("data", "digits"))
    suite.run(91, result={"data_digest": "d2"}, **values)
    notes = provenance(read_suite(suite.folder).runs)
    assert any(note.startswith("MIXED DATA") for note in notes) == mixed


def test_many_commands_are_counted(suite):
    for seed in range(5):
        suite.run(90, seed=seed, environment={"command": f"eibench run a --seeds {seed}"})
    assert only(notes_of(suite), "Commands").endswith("`eibench run a --seeds 2` and 2 more.")


def test_nothing_run_yet(suite):
    suite.plan("ei")
    assert notes_of(suite) == [
        "n = 1 run in each cell (seed 0): no spread can be given.",
        "Missing: 1 of 1 planned run not run yet.",
    ]


def test_tuning_is_found_in_the_results_of_the_working_folder(tuned, make_suite, monkeypatch):
    """As after `make quickstart`, whose results lie in build/."""
    search(make_suite, ei=3, no_norm=3)
    folder = tuned.folder.parent
    (folder / "results").mkdir()
    (folder / "lr_search").rename(folder / "results" / "lr_search")
    monkeypatch.chdir(folder)
    assert only(notes_of(tuned), "Per-method").endswith("3 runs for each method.")
