"""What reports say of a search's protocol: several studies, edges, own keys, one seed, budgets."""

import pytest

from eibench.report.figures.draw import figures_of
from eibench.report.model.layers import make_pivots
from eibench.report.model.notes import footnotes
from eibench.report.model.search_document import search_tables
from eibench.report.model.search_results import confirmations, read_searches
from eibench.report.model.search_values import trial_records
from eibench.report.model.short_notes import short_tuning_notes
from eibench.report.model.tuning import tuning_notes

RATE = {"low": 0.01, "high": 1.0, "log": True, "step": None}


def read(search):
    return read_searches([search.folder])[0]


def rows(search, title):
    (table,) = [t for t in search_tables(read(search)) if t.title.startswith(title)]
    return [
        [f"{c.text} {c.remark}".strip().replace("\u00a0", " ") for c in row] for row in table.rows
    ]


def notes(search, start):
    found = [note for table in search_tables(read(search)) for note in table.notes]
    return [note for note in found if note.startswith(start)]


# -------------------------------------------------------------------------- several studies


def test_each_study_has_a_row_and_the_fresh_runs_of_its_seeds(repeated_search):
    """Accuracy is 95 and the seed: the first winner has seeds 0, 2, 4, the second 1, 3."""
    assert rows(repeated_search, "Search against") == [
        ["ei", "1", "96.0", "97.0 ± 2.0", "-1.0", "97.0 ± 2.0", "learning rate 0.1"],
        ["ei", "2", "96.0", "97.0 ± 1.4", "-1.0", "97.0 ± 1.4", "learning rate 0.3"],
        ["batchnorm", "1", "97.0", "98.0 ± 2.0", "-1.0", "98.0 ± 2.0", "learning rate 0.1"],
        ["batchnorm", "2", "97.0", "98.0 ± 1.4", "-1.0", "98.0 ± 1.4", "learning rate 0.3"],
    ]
    (note,) = notes(repeated_search, "Search score")
    assert "the winner under seed 1000 in study 1, seed 1001 in study 2. Confirmed" in note
    assert "share these seeds, in turns. Mean ± sample standard deviation over n = 2 to 3" in note
    assert not any(one.outdated for one in confirmations(read(repeated_search)))


def test_a_missing_fresh_run_is_one_of_its_study(repeated_search):
    runs = repeated_search.fresh.content["runs"]
    last = next(run for run in runs if run["fields"]["seed"] == 3)
    (repeated_search.fresh.folder / last["run_id"] / "record.json").unlink()
    assert rows(repeated_search, "Search against")[1][3] == "96.0 (n=1, 1 missing)"


def test_fresh_runs_of_another_winner_are_outdated_in_their_study_alone(repeated_search):
    repeated_search.trial(99.0, {"train.lr": 0.7})  # batchnorm, study 2
    found = {one.study.name: one.outdated for one in confirmations(read(repeated_search))}
    assert [name for name, outdated in found.items() if outdated] == ["batchnorm, study 2"]


def test_seeds_of_a_study_without_a_winner_are_the_others(repeated_search):
    repeated_search.tried.content["studies"][1]["winner"] = None
    repeated_search.write()
    search = read(repeated_search)
    first, second, *_ = search.studies
    assert search.fresh_seeds(first) == (0, 1, 2, 3, 4)
    assert search.fresh_seeds(second) == ()


def test_budgets_add_up_over_the_studies_of_a_method(repeated_search):
    assert len(rows(repeated_search, "Budget")) == 4
    assert not notes(repeated_search, "UNEQUAL")
    found = footnotes(make_pivots([repeated_search.folder], None)[0])
    assert (
        "Per-method values were found in the search `repeated`: 4 trials and 40 epochs for each"
        " method; 1 tuned key for `ei`, `batchnorm`."
    ) in found
    assert (
        "Tuned: `ei, study 1`: `train.lr` 0.1; `ei, study 2`: `train.lr` 0.3; `batchnorm, study 1`:"
        " `train.lr` 0.1; `batchnorm, study 2`: `train.lr` 0.3."
    ) in found


def test_trials_have_their_study(repeated_search):
    records, columns = trial_records(read(repeated_search))
    assert columns[:5] == ("suite", "study", "method", "repeat", "trial")
    assert [(r["study"], r["repeat"]) for r in records[2:4]] == [("ei, study 2", 2)] * 2


def test_figures_are_drawn(repeated_search):
    figures = {one.name for one in figures_of(read(repeated_search))}
    assert {"history", "slices", "confirmed"} <= figures


def test_values_that_differ_by_seed_are_told(repeated_search, make_suite):
    """In the exported suite, which is another one."""
    suite = make_suite("exported", tuned_by="repeated", axes=["method"])
    for seed in range(4):
        for method in ("ei", "batchnorm"):
            suite.run(90, method, seed=seed, train={"lr": 0.1 if seed % 2 else 0.3})
    found = footnotes(make_pivots([suite.folder], None)[0])
    assert "Differs between cells and seeds: `train.lr`, 0.1 to 0.3; the suite lists it." in found


# ------------------------------------------------------------------------------------ notes


@pytest.mark.parametrize(
    ("known", "value", "end"),
    [
        (RATE, 0.01, "0.01"),
        (RATE, 0.0109, "0.01"),  # 100^0.02 = 1.096 times the end
        (RATE, 0.011, None),
        (RATE, 0.1, None),
        (RATE, 0.913, "1"),
        (RATE, 0.911, None),
        ({"low": 0, "high": 10, "log": False, "step": None}, 0.2, "0"),
        ({"low": 0, "high": 10, "log": False, "step": None}, 0.21, None),
        ({"low": 1, "high": 4, "log": False, "step": 1}, 4, "4"),
        ({"low": 1, "high": 4, "log": False, "step": 1}, 3, None),
        ({"low": 1, "high": 4.5, "log": False, "step": 1}, 4, "4"),
        ({"choices": [0.1, 0.03, 0.3]}, 0.3, "0.3"),
        ({"choices": [0.1, 0.03, 0.3]}, 0.1, None),
        ({"choices": [0, 1]}, 1, None),
        ({"choices": [1, 2, "auto"]}, 2, None),
    ],
)
def test_a_winner_at_the_edge_of_a_range_is_named(make_search, known, value, end):
    search = make_search()
    search.study("ei", {"method": "ei"}, {"train.lr": known})
    search.trial(90.0, {"train.lr": value})
    found = notes(search, "EDGE OF RANGE")
    assert len(found) == (end is not None)
    assert all(f"2% of it: `train.lr` at {end} in `ei`. Better" in note for note in found)


def test_edges_are_grouped(make_search):
    search = make_search()
    for method, rate in (("ei", 1.0), ("tdbn", 0.99), ("wta", 0.01)):
        search.study(method, {"method": method}, {"train.lr": RATE})
        search.trial(90.0, {"train.lr": rate})
    (note,) = notes(search, "EDGE OF RANGE")
    assert "`train.lr` at 1 in `ei`, `tdbn`; `train.lr` at 0.01 in `wta`. Better" in note
    assert "widen the range for all methods" in note


def test_tables_of_winners_tell_edges_too(make_search, make_suite):
    """The suite that takes its values from another's search; for a paper the search's own too."""
    search = make_search("wide", axes=["method"])
    for method, rate in (("ei", 1.0), ("tdbn", 0.3), ("wta", 0.01)):
        search.study(method, {"method": method}, {"train.lr": RATE})
        search.trial(90.0, {"train.lr": rate})
        search.confirm([90.0, 91.0, 92.0])
    other = make_suite("final", tuned_by="wide", axes=["method"])
    for method in ("ei", "tdbn"):
        other.run(90, method, train={"lr": 0.3})
    own, others = (make_pivots([one.folder], None)[0].suite for one in (search, other))
    (note,) = (one for one in tuning_notes(others) if one.startswith("EDGE"))
    assert "within 2% of it: `train.lr` at 1 in `ei`. Better" in note
    assert not any("EDGE" in one for one in tuning_notes(own))  # stands below the winners
    known = "Best at an end of what was tried: learning rate 1 for ei"
    assert list(short_tuning_notes(own))[-1] == f"{known}; learning rate 0.01 for wta."
    assert list(short_tuning_notes(others))[-1] == f"{known}."


def test_edges_at_other_depths_are_not_those_of_the_suite(make_search, make_suite):
    search = make_search("deep", axes=["method", "model.depth"])
    for depth, rate in ((8, 0.1), (16, 1.0)):
        arm = {"method": "ei", "model.depth": depth}
        search.study(f"ei, depth {depth}", arm, {"train.lr": RATE})
        search.trial(90.0, {"train.lr": rate})
    final = make_suite("final", tuned_by="deep", axes=["method", "model.depth"])
    final.run(90, "ei", 8, train={"lr": 0.1})
    suite = make_pivots([final.folder], None)[0].suite
    assert not any("EDGE" in note for note in tuning_notes(suite))
    final.run(90, "ei", 16, train={"lr": 1.0})
    suite = make_pivots([final.folder], None)[0].suite
    (note,) = (one for one in tuning_notes(suite) if one.startswith("EDGE"))
    assert "`train.lr` at 1 in `ei, depth 16`." in note


def test_keys_of_a_methods_own_are_counted(make_search):
    search = make_search()
    kappa, scale = {"choices": [0, 1]}, {"low": 0.5, "high": 2.0, "log": True, "step": None}
    own = {"method.kappa": kappa, "method.weight_scale": scale}
    search.study("ei", {"method": "ei"}, {"train.lr": RATE, **own})
    assert notes(search, "SPACE RULE") == []  # a single method
    search.study("tdbn", {"method": "tdbn"}, {"train.lr": RATE})
    assert notes(search, "SPACE RULE") == [
        "SPACE RULE: `ei` is searched over 2 keys of its own; a fair comparison gives each method"
        " at most one."
    ]


@pytest.mark.parametrize(("seeds", "number"), [([1000], 1), ([1000, 1001], 0)])
def test_one_tuning_seed_is_noted(make_search, seeds, number):
    search = make_search(seeds=seeds)
    search.study("ei", {"method": "ei"}, {"train.lr": RATE})
    assert len(notes(search, "ONE TUNING SEED")) == number


def test_a_raised_budget_is_noted_where_the_winners_are_read(fair_search):
    assert not notes(fair_search, "RAISED")
    fair_search.known["raised_from"] = [1, 2]
    fair_search.write()
    said = "RAISED BUDGET: the search was asked for 1, then 2, then for 3 trials in each study."
    assert notes(fair_search, "RAISED") == [said]
    assert said in footnotes(make_pivots([fair_search.folder], None)[0])
