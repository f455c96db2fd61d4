"""What `eibench report` says of a search: its winners, budgets, knobs and trials."""

import csv
import io
import json
import re
from types import SimpleNamespace

import pytest

import eibench
from eibench.errors import UserError
from eibench.report.make import SuiteReport, render
from eibench.report.model.layers import make_pivots
from eibench.report.model.notes import footnotes
from eibench.report.model.search_document import best_trials, search_tables
from eibench.report.model.search_results import confirmations, read_searches
from eibench.report.model.short_notes import short_tuning_notes
from eibench.report.model.tuning import tuning_notes
from eibench.results.labels import key_words, show_setting

RATE = {"low": 0.01, "high": 3.0, "log": True, "step": None}
ALONE = {"train.lr": RATE}


def read(search):
    return read_searches([search.folder])[0]


def grids(search):
    """The tables by title, their cells as texts with remarks behind."""
    return {
        table.title.partition(",")[0]: SimpleNamespace(
            title=table.title,
            heads=tuple(column.name for column in table.columns),
            rows=tuple(tuple(map(text_of, row)) for row in table.rows),
            notes=table.notes,
        )
        for table in search_tables(read(search))
    }


def text_of(cell):
    return f"{cell.text} {cell.remark}".strip().replace("\u00a0", " ")


def notes(search):
    return [note for table in search_tables(read(search)) for note in table.notes]


def only(found, start):
    matching = [note for note in found if note.startswith(start)]
    assert len(matching) == 1, found
    return matching[0]


def confirmed_table(search):
    return make_pivots([search.folder], None)[0]


# ---------------------------------------------------------------------- winners, confirmed


def test_winners_beside_their_confirmation(fair_search):
    """Validation is 96.1, 97.1, 98.1 under ei's fresh seeds, so 97.5 was 0.4 too good."""
    grid = grids(fair_search)["Search against confirmed"]
    assert grid.title.endswith("validation accuracy (%)")
    assert [list(row) for row in grid.rows] == [
        ["ei", "4", "97.5", "97.1 ± 1.0", "+0.4", "97.0 ± 1.0", "learning rate 0.0341, kappa 0.5"],
        ["batchnorm", "16", "98.0", "97.7 ± 0.8", "+0.3", "97.7 ± 0.8", "learning rate 0.3"],
    ]
    assert grid.heads[:3] == ("method", "depth", "search score")
    note = only(grid.notes, "Search score")
    assert "under seed 1000. Confirmed: its setting run anew under seeds 0, 1, 2" in note
    assert "n = 3 runs" in note


def test_optimism_is_above_zero_for_a_score_that_was_too_good(make_search):
    """Also of a number that is better when it is lower: 2 s in the search, 3 s confirmed."""
    search = make_search(objectives=["test_loss"], confirm_seeds=[0])
    search.study("ei", {"method": "ei"}, ALONE)
    search.trial({"test_loss": 2.0}, {"train.lr": 0.1})
    spec = {"method": "ei", "depth": 4, "train": {"lr": 0.1}}
    search.fresh.run(90.0, **spec, result={"test_loss": 3.0})
    (one,) = confirmations(read(search))
    assert one.optimism == 1.0


def test_a_mean_over_the_seeds_of_the_search_is_called_one(make_search):
    search = make_search(seeds=[1000, 1001])
    search.study("ei", {"method": "ei"}, ALONE)
    search.trial(90.0, {"train.lr": 0.1})
    assert "the winner, the mean under seeds 1000, 1001." in only(notes(search), "Search score")
    assert len(read(search).studies[0].trials[0].runs) == len(read(search).runs) == 2


def test_fresh_runs_without_a_number_are_told(fair_search):
    fair_search.study("tdbn, depth 4", {"method": "tdbn", "model.depth": 4}, ALONE)
    for rate in (0.1, 0.2, 0.3):
        fair_search.trial(90.0 + rate, {"train.lr": rate})
    winner = {"method": "tdbn", "depth": 4, "train": {"lr": 0.3}}
    fair_search.fresh.run(88.0, seed=0, **winner, result={"validation_accuracy": 89.0})
    fair_search.fresh.fail("diverged", "epoch 1: loss is nan", seed=1, **winner)
    fair_search.fresh.plan(seed=2, **winner)
    row = grids(fair_search)["Search against confirmed"].rows[-1]
    remark = "(n=1, 1 diverged, 1 missing)"
    assert row[2:6] == ("90.3", f"89.0 {remark}", "+1.3", f"88.0 {remark}")


def test_nothing_confirmed_yet(make_search, cli):
    search = make_search()
    search.study("ei", {"method": "ei"}, ALONE)
    search.trial(90.0, {"train.lr": 0.1})
    assert grids(search)["Search against confirmed"].rows[0][1:5] == ("90.0", "-", "-", "-")
    assert only(notes(search), "Not confirmed") == (
        "Not confirmed yet: no winner has been run on fresh seeds."
    )
    done = cli("report", search.folder)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Fair & deep: search\n\nSearch against confirmed")


def test_some_not_confirmed_yet(fair_search):
    fair_search.study("tdbn", {"method": "tdbn", "model.depth": 4}, ALONE)
    fair_search.trial(90.0, {"train.lr": 0.1})
    assert only(notes(fair_search), "Not confirmed") == "Not confirmed yet: `tdbn`."


def test_fresh_runs_of_what_no_longer_wins_are_left_out(fair_search):
    """More trials were made after the confirmation, and one of them was better."""
    fair_search.trial(99.0, {"train.lr": 0.5})
    row = grids(fair_search)["Search against confirmed"].rows[1]
    assert row[2:] == ("99.0", "-", "-", "-", "learning rate 0.5")
    assert "`batchnorm, depth 16` are of another setting" in only(notes(fair_search), "OUTDATED")
    assert not any(note.startswith("Not confirmed") for note in notes(fair_search))
    found = footnotes(confirmed_table(fair_search))
    assert "`batchnorm, depth 16`" in only(found, "OUTDATED")
    assert "batchnorm" not in only(found, "Tuned: ")


@pytest.mark.parametrize("key", ["neuron", "method"])
def test_fresh_runs_of_another_section_are_left_out(make_search, key):
    """A choice may be a whole section, whose fields stand below its key."""
    choices = {"neuron": [{"tau": 4.0}, {"tau": 2.0}], "method": ["ei", "batchnorm"]}[key]
    search = make_search(axes=[])
    search.study("all", {}, {key: {"choices": choices}})
    search.trial(90.0, {key: choices[0]})
    search.confirm([80.0, 81.0, 82.0])
    assert not any(note.startswith("OUTDATED") for note in notes(search))
    search.trial(95.0, {key: choices[1]})
    assert grids(search)["Search against confirmed"].rows[0][:4] == ("95.0", "-", "-", "-")
    assert only(notes(search), "OUTDATED")


def test_a_study_without_a_winner_says_why(make_search):
    search = make_search()
    search.study("ei", {"method": "ei"}, ALONE)
    search.trial(10.0, {"train.lr": 1.0}, reason="epoch 1: loss is nan")
    search.trial({}, {"train.lr": 2.0}, "failed", "RuntimeError: no")
    search.study("tdbn", {"method": "tdbn"}, ALONE)
    search.study("wta", {"method": "wta"}, ALONE)
    search.trial({}, {"train.lr": 2.0}, "running")
    found = notes(search)
    assert "No winner in `ei`: none of 2 finished trials counts." in found
    assert "No winner in `tdbn`: not begun." in found
    assert "No winner in `wta`: not begun." in found
    assert grids(search)["Search against confirmed"].rows[0][1:] == (
        *("-", "-", "-", "-"),
        "no winner",
    )


# ---------------------------------------------------------------------------------- budget


def test_budgets(fair_search):
    """Three trials of 10 epochs and a minute each; one of ei's diverged."""
    grid = grids(fair_search)["Budget"]
    assert grid.heads[2:] == (
        *("keys", "finished trials", "complete", "diverged", "epochs", "minutes"),
    )
    assert [row[2:] for row in grid.rows] == [
        ("2", "3", "2", "1", "30", "3.0"),
        ("1", "3", "3", "0", "30", "3.0"),
    ]
    assert list(grid.notes)[:5] == [
        "Asked for: 3 trials in each study, each under seed 1000. Sampler: `tpe`, seed 0; pruner:"
        " `none`.",
        "Space of `ei`: `train.lr` 0.01 to 3, log; `method.kappa` one of `0`, `0.5`, `1`.",
        "Space of `batchnorm`: `train.lr` 0.01 to 3, log.",
        "A diverged trial has the score of chance, and does not win.",
        "Diverged: `ei, depth 4` (trial 2); reason: `epoch 2: loss is nan`.",
    ]
    assert any(note.startswith("Computed on Abacus 9000") for note in grid.notes)


def test_a_space_in_steps_is_told(make_search):
    search = make_search()
    search.study("ei", {"method": "ei"}, {"timesteps": {"low": 1, "high": 8, "step": 2}})
    search.trial(90.0, {"timesteps": 3})
    assert "in each study" in only(notes(search), "Asked for")
    assert only(notes(search), "Space") == "Space of `ei`: `timesteps` 1 to 8 in steps of 2."


def test_unlike_numbers_of_trials_are_flagged(fair_search):
    fair_search.known["trials"] = 4
    fair_search.trial(50.0, {"train.lr": 3.0})
    found = notes(fair_search)
    assert only(found, "UNEQUAL BUDGET") == (
        "UNEQUAL BUDGET: 3 finished trials for `ei, depth 4`; 4 for `batchnorm, depth 16`."
    )
    assert only(found, "Unfinished") == "Unfinished, in trials: 3 of 4 in `ei, depth 4`."


def test_a_whole_grid_is_finished(make_search):
    """A method with keys of its own has more points than one without."""
    search = make_search(trials=4, sampler="grid")
    rates = {"train.lr": {"choices": [0.1, 0.2]}}
    search.study("tdbn", {"method": "tdbn"}, rates)
    for rate in (0.1, 0.2):
        search.trial(90.0, {"train.lr": rate})
    search.study("ei", {"method": "ei"}, {**rates, "method.kappa": {"choices": [0.0, 1.0]}})
    for rate, kappa in ((0.1, 0.0), (0.1, 1.0), (0.2, 0.0)):
        search.trial(90.0, {"train.lr": rate, "method.kappa": kappa})
    found = notes(search)
    assert only(found, "Asked for").startswith("Asked for: 2 to 4 trials in each study")
    assert only(found, "Unfinished") == "Unfinished, in trials: 3 of 4 in `ei`."
    search.trial(90.0, {"train.lr": 0.2, "method.kappa": 1.0})
    assert not any(note.startswith("Unfinished") for note in notes(search))


def test_unlike_numbers_of_epochs_are_flagged_where_nothing_ended_early(make_search):
    search = make_search(trials=1)
    for method, epochs in (("ei", 10), ("tdbn", 20), ("wta", 10)):
        search.study(method, {"method": method}, ALONE)
        search.trial(90.0, {"train.lr": 0.1}, epochs=epochs)
    assert only(notes(search), "UNEQUAL BUDGET") == (
        "UNEQUAL BUDGET: 10 epochs for `ei`, `wta`; 20 for `tdbn`."
    )


def test_a_pruner_may_spend_unlike_epochs(make_search):
    search = make_search(trials=2, pruner="median")
    for method, epochs in (("ei", 10), ("tdbn", 3)):
        search.study(method, {"method": method}, ALONE)
        search.trial(90.0, {"train.lr": 0.1})
        search.trial(50.0, {"train.lr": 2.0}, "pruned", epochs=epochs)
    found = notes(search)
    assert not any(note.startswith("UNEQUAL") for note in found)
    assert only(found, "13 to 20 epochs in a study: trials that are pruned")
    assert "A pruned trial has the score it had come to, and does not win." in found


def test_an_unfinished_search_of_one_study(make_search):
    search = make_search(trials=30, axes=[])
    search.study("only", {}, ALONE)
    search.trial(90.0, {"train.lr": 0.1})
    search.trial({}, {"train.lr": 0.2}, "running")
    assert only(notes(search), "Unfinished") == "Unfinished: 1 of 30 trials."
    grid = grids(search)["Budget"]
    assert (grid.heads[0], grid.rows) == ("keys", (("1", "1", "1", "1", "20", "2.0"),))


def test_failed_trials_share_a_reason(make_search):
    search = make_search()
    search.study("ei", {"method": "ei"}, ALONE)
    search.trial({}, {"train.lr": 0.1}, "failed", "RuntimeError: `no`\n room")
    search.trial({}, {"train.lr": 0.2}, "failed", "RuntimeError: `no`\n room")
    assert only(notes(search), "Failed") == (
        "Failed: `ei` (trials 0, 1); reason: `RuntimeError: 'no' room`."
    )


# ------------------------------------------------------------------ importances and trials


def test_importances(fair_search):
    grid = grids(fair_search)["Importance of each key"]
    assert grid.heads == ("method", "depth", "learning rate", "kappa")
    assert grid.rows == (("ei", "4", "0.80", "0.20"), ("batchnorm", "16", "-", "-"))
    fair_search.tried.content["studies"][0]["importances"] = None
    fair_search.write()
    assert "Importance of each key" not in grids(fair_search)


def test_best_trials_are_by_method(fair_search):
    found = grids(fair_search)
    ei = found["Best trials of ei"]
    assert ei.heads == (
        *("depth", "trial", "validation accuracy", "learning rate", "kappa"),
        *("state", "epochs", "seconds"),
    )
    assert ei.rows == (
        ("4", "1", "97.5", "0.0341", "0.5", "complete", "10", "60.0"),
        ("", "0", "95.0", "0.1", "1", "complete", "10", "60.0"),
        ("", "2", "10.0", "2.9", "0", "diverged", "10", "60.0"),
    )
    assert "kappa" not in found["Best trials of batchnorm"].heads


def test_a_grid_of_one_key_is_one_table(make_search):
    search = make_search(axes=["method"])
    search.known["sampler"] = "grid"
    space = {"train.lr": {"choices": [0.01, 0.1, 1.0]}}
    search.study("ei", {"method": "ei"}, space)
    search.trial(91.0, {"train.lr": 0.1})
    search.trial(95.0, {"train.lr": 0.01})
    search.trial(97.0, {"train.lr": 1.0}, reason="epoch 1: loss is nan")
    search.study("batchnorm", {"method": "batchnorm"}, space)
    search.trial(93.0, {"train.lr": 0.1})
    found = grids(search.tried)
    table = found["Validation accuracy (%) of all trials"]
    rates = ("learning rate 0.01", "learning rate 0.1", "learning rate 1")
    assert table.heads == ("method", *rates)
    assert table.rows == (("ei", "95.0", "91.0", "diverged"), ("batchnorm", "-", "93.0", "-"))
    assert not [title for title in found if title.startswith("Best trials")]
    search.study("tdbn", {"method": "tdbn"}, {"train.lr": {"choices": [0.1]}})
    search.trial(90.0, {"train.lr": 0.1})
    assert "Best trials of ei" in grids(search.tried)


@pytest.mark.parametrize(
    ("key", "choices", "tried", "one"),
    [
        ("train", [{"lr": 0.1}, {"lr": 0.2}], {"lr": 0.2}, True),  # values that cannot be keys
        ("train.lr", [0.01 * i for i in range(1, 12)], 0.01, False),  # more than fit side by side
    ],
)
def test_which_grids_are_one_table(make_search, key, choices, tried, one):
    search = make_search(axes=["method"])
    search.known["sampler"] = "grid"
    search.study("ei", {"method": "ei"}, {key: {"choices": choices}})
    search.trial(95.0, {key: tried})
    titles = list(grids(search.tried))
    assert ("Validation accuracy (%) of all trials" in titles) == one
    assert any(title.startswith("Best trials") for title in titles) != one


def many(search, n=12):
    for i in range(n):
        search.trial(50.0 + i, {"train.lr": 0.01 * (i + 1)})


@pytest.mark.parametrize(("studies", "shown"), [(1, 10), (2, 5)])
def test_the_first_ones_are_shown(make_search, studies, shown):
    search = make_search()
    for i in range(studies):
        search.study(f"depth {i + 2}", {"model.depth": i + 2}, ALONE)
        many(search)
    read_back = read(search)
    numbers = [trial.number for trial in best_trials(read_back, read_back.studies[0])]
    assert numbers == list(range(11, 11 - shown, -1))


def test_trials_without_a_score_of_their_own_come_last(make_search):
    search = make_search()
    search.study("ei", {"method": "ei"}, ALONE)
    search.trial({}, {"train.lr": 0.1}, "failed", "no")
    search.trial(99.0, {"train.lr": 0.2}, reason="diverged late")
    search.trial(95.0, {"train.lr": 0.3}, "pruned")
    search.trial(60.0, {"train.lr": 0.4})
    search.trial(70.0, {"train.lr": 0.5})
    read_back = read(search)
    order = [trial.number for trial in best_trials(read_back, read_back.studies[0])]
    assert order == [4, 3, 2, 1, 0]


@pytest.mark.parametrize(("value", "text"), [
    (0.0341234, "0.0341"), (1.0, "1"), (1e-5, "1e-05"), (1500.0, "1500"), (8, "8"), (True, "yes"),
    (None, "none"), ("gamma", "gamma"), ({"name": "ei", "kappa": 0.51234}, "ei kappa 0.512"),
])  # fmt: skip
def test_settings_are_short(value, text):
    assert show_setting(value) == text


def test_keys_of_the_same_words_keep_their_paths():
    assert key_words(["train.lr", "method.tau", "neuron.tau_m", "model.tau"]) == {
        "train.lr": "learning rate",
        "method.tau": "method.tau",
        "neuron.tau_m": "tau m",
        "model.tau": "model.tau",
    }


# --------------------------------------------------------------------------------- formats


def test_the_search_stands_before_the_table_of_its_winners(fair_search, make_suite, cli):
    first, last = make_suite("a_first", title="First"), make_suite("z_last", title="Last")
    first.run(90)
    last.run(90)
    text = cli("report", ".").out
    heads = ["First: test", "Fair & deep: search", "Fair & deep: test accuracy", "Last: test"]
    places = [text.index(head) for head in heads]
    assert places == sorted(places)


@pytest.mark.parametrize("width", [80, 100])
def test_it_fits_a_terminal(fair_search, width):
    searches = read_searches([fair_search.folder])
    text = render([confirmed_table(fair_search)], "table", width, searches=searches)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("------ ------- ----------- --------- ----------- ---") == 1  # unbroken


def test_a_narrow_terminal_breaks_the_table_and_repeats_the_names(fair_search):
    text = render([], "table", 50, searches=[read(fair_search)])
    assert text.count("ei         4") > 3
    assert max(map(len, text.splitlines())) <= 50


def test_markdown(fair_search, cli):
    text = cli("report", fair_search.folder, "--format", "markdown").out
    assert text.startswith("### Fair & deep: search\n\n#### Search against confirmed, validation")
    assert "learning rate 0.0341, kappa 0.5 |" in text
    assert "\u00a0" not in text
    assert "- Asked for: 3 trials" in text
    assert text.count("### Fair & deep: test accuracy (%)") == 1


def test_latex_is_escaped(make_search, cli):
    search = make_search(confirm_seeds=[0, 1])
    search.tried.content["title"] = "100 % & more_"
    search.study("a_b & c", {"method": "no_norm"}, ALONE, importances={"train.lr": 1.0})
    search.trial(90.0, {"train.lr": 0.1})
    search.trial({}, {"train.lr": 0.2}, "failed", "no_room #1")
    search.confirm([91.0, 92.0])
    text = cli("report", search.folder / "search", "--format", "latex").out
    assert r"\caption{100 \% \& more\_: search against confirmed, validation accuracy (\%)}" in text
    assert r"No norm & 90.0 & 91.5 $\pm$ 0.7 & $-$1.5 & 91.5 $\pm$ 0.7 & \raggedright" in text
    full = cli("report", search.folder / "search", "--format", "latex", "--notes", "full").out
    assert r"\texttt{a\_\allowbreak{}b \& c}" in full
    assert "room" in full  # reasons of failed trials are for the full notes
    assert "room" not in text
    assert r"\tabularnewline" in text
    labels = re.findall(r"\\label\{(.*)\}", text)
    assert len(set(labels)) == len(labels) == 4
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")


def test_csv_of_a_searched_suite_is_that_of_its_winners(fair_search, cli):
    text = cli("report", fair_search.folder, "--format", "csv").out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["method"], row["mean"], row["n"]) for row in rows] == [
        ("ei", "97.0", "3"),
        ("batchnorm", "97.66666666666667", "3"),
    ]


def test_csv_of_a_search_has_its_trials(fair_search, cli):
    arm = {"method": "ei", "model.depth": 8}
    fair_search.study("odd", arm, {"train.schedule": {"choices": [None]}})
    fair_search.last["trials"].append({
        "number": 0, "values": {"train.schedule": None}, "state": "failed", "reason": "no, no",
        "scores": {}, "runs": [], "seconds": 1.25, "epochs": 0,
    })  # fmt: skip
    fair_search.write()
    text = cli("report", fair_search.folder / "search", "--format", "csv").out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 7
    assert rows[1] | {"runs": ""} == {
        "suite": "fair_depth_scaling", "study": "ei, depth 4", "method": "ei", "model.depth": "4",
        "trial": "1", "state": "complete", "winner": "True",
        "validation_accuracy": "97.5", "trial_seconds": "60.0", "trial_epochs": "10", "reason": "",
        "runs": "", "train.lr": "0.0341234", "method.kappa": "0.5", "train.schedule": "",
    }  # fmt: skip
    assert (rows[2]["state"], rows[2]["reason"]) == ("diverged", "epoch 2: loss is nan")
    assert (rows[6]["train.schedule"], rows[6]["train.lr"]) == ("null", "")
    assert rows[6]["validation_accuracy"] == ""


def test_json_has_everything(fair_search, cli):
    (content,) = json.loads(cli("report", fair_search.folder, "--format", "json").out)
    assert len(content["cells"]) == 2
    ei, batchnorm = content["search"]["studies"]
    assert ei["score"] == 97.5
    assert ei["optimism"] == pytest.approx(0.4)
    assert ei["confirmed"]["validation_accuracy"]["values"] == {"0": 96.1, "1": 97.1, "2": 98.1}
    assert ei["trials"][2]["state"] == "diverged"
    assert batchnorm["budget"] == {
        **{"complete": 3, "diverged": 0, "pruned": 0, "failed": 0, "running": 0},
        **{"epochs": 30, "seconds": 180.0},
    }
    (alone,) = json.loads(cli("report", fair_search.folder / "search", "--format", "json").out)
    assert alone == {key: content[key] for key in ("suite", "title", "search")}


def test_report_from_within_the_folder(fair_search, cli, monkeypatch):
    """`.` has no name and is its own parent."""
    monkeypatch.chdir(fair_search.folder / "search")
    done = cli("report", ".")
    assert done.code == 0
    assert "97.1 ± 1.0" in done.out
    assert "test accuracy (%)\n" not in done.out


def no_score(search):
    del search["studies"][0]["trials"][0]["scores"]["validation_accuracy"]


def another_objective(search):
    search["search"]["objectives"] = ["test_acuracy"]


def a_score_of_text(search):
    search["search"]["objectives"] = ["test_accuracy"]
    search["studies"][0]["trials"][0]["scores"] = {"test_accuracy": "x"}


def no_choices(search):
    space = search["studies"][0]["space"]
    space["train.lr"] = {**space["train.lr"], "choices": None}


def endless_steps(search):
    search["studies"][0]["space"]["train.lr"] = {"low": 0, "high": 1e100, "step": 1e-300}


def no_value(search):
    del search["studies"][0]["trials"][0]["values"]["train.lr"]


def a_value_of_no_range(search):
    search["studies"][0]["trials"][0]["values"]["train.lr"] = -1.0


def no_such_choice(search):
    search["studies"][0]["trials"][0]["values"]["method.kappa"] = 0.7


def a_winner_that_runs(search):
    search["studies"][0]["trials"][1]["state"] = "running"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (no_score, "trials.0.scores.validation_accuracy: must be a number"),
        (a_score_of_text, "trials.0.scores.test_accuracy: must be a number"),
        (another_objective, "search.objectives.0: must be one of test_accuracy, "),
        (no_choices, "train.lr.choices: must be a list"),
        (endless_steps, "train.lr: low to high must be fewer than 100,000 steps"),
        (no_value, "trials.0.values.train.lr: is missing"),
        (a_value_of_no_range, "trials.0.values.train.lr: lies outside of its range"),
        (no_such_choice, "trials.0.values.method.kappa: is none of its choices"),
        (a_winner_that_runs, "winner: trial 1 is not complete"),
    ],
)
@pytest.mark.parametrize("command", ["report", "plot"])
def test_a_search_that_contradicts_itself_is_one_message(
    fair_search, cli, command, damage, message
):
    damage(fair_search.tried.content)
    fair_search.write()
    done = cli(command, fair_search.folder)
    assert (done.code, len(done.errors)) == (2, 1)
    assert "plan.json: damaged" in done.errors[0]
    assert message in done.errors[0]


def test_a_damaged_search_is_one_message(fair_search, cli):
    del fair_search.tried.content["studies"]
    fair_search.write()
    done = cli("report", fair_search.folder)
    assert done.code == 2
    assert "damaged (studies: is missing)" in done.errors[0]


# --------------------------------------------------------------------------- other tables


def test_the_table_of_the_winners_tells_their_values_and_budget(fair_search):
    found = footnotes(confirmed_table(fair_search))
    assert only(found, "Tuned: ") == (
        "Tuned: `ei, depth 4`: `train.lr` 0.0341, `method.kappa` 0.5; `batchnorm, depth 16`:"
        " `train.lr` 0.3."
    )
    assert only(found, "Per-method") == (
        "Per-method values were found in the search `fair_depth_scaling`: 3 trials and 30 epochs"
        " for each method; 2 tuned keys for `ei`; 1 for `batchnorm`."
    )
    assert not any("Set for each method" in note or "Differs" in note for note in found)


def test_methods_at_unlike_depths_have_equal_budgets_at_each(make_search):
    """Six trials of one method and three of the other, which stands at one depth alone."""
    search = make_search("deep")
    for method, depth in (("ei", 4), ("ei", 16), ("batchnorm", 16)):
        search.study(f"{method}, depth {depth}", {"method": method, "model.depth": depth}, ALONE)
        for rate in (0.03, 0.1, 0.3):
            search.trial(90.0, {"train.lr": rate})
        spec = {"method": method, "depth": depth, "train": {"lr": 0.03}}
        search.fresh.run(90.0, **spec)
    table = confirmed_table(search)
    assert only(footnotes(table), "Per-method") == (
        "Per-method values were found in the search `deep`: 3 trials and 30 epochs for each method"
        " at each `model.depth`; 1 tuned key for `ei`, `batchnorm`."
    )
    assert "Tuned with 3 trials for each method and depth." in short_tuning_notes(table.suite)
    search.trial(90.0, {"train.lr": 1.0})
    search.write()
    assert only(footnotes(confirmed_table(search)), "UNEQUAL TUNING")
    assert next(short_tuning_notes(confirmed_table(search).suite)).startswith("Unequal tuning: 6")


def test_a_suite_that_was_tuned_by_another_ones_search(fair_search, make_suite):
    suite = make_suite("final", tuned_by="fair_depth_scaling", axes=["method"])
    suite.run(90, "ei", train={"lr": 0.0341234})
    suite.run(80, "no_norm")
    found = footnotes(confirmed_table(suite))
    assert only(found, "UNEQUAL TUNING") == (
        "UNEQUAL TUNING: per-method values were found in the search `fair_depth_scaling`: 3"
        " finished trials for `ei`; 0 for `no_norm`. 30 epochs for `ei`; 0 for `no_norm`. 2 tuned"
        " keys for `ei`; 0 for `no_norm`."
    ).replace(" 30 epochs for `ei`; 0 for `no_norm`.", "")  # a trial of ei ended early
    assert only(found, "Set for each method").startswith("Set for each method: `train.lr`")
    assert not any(note.startswith("Tuned: ") for note in found)


def test_a_search_that_does_not_tell_methods(make_search):
    search = make_search("one", axes=[])
    search.study("one", {}, ALONE)
    search.trial(90.0, {"train.lr": 0.1})
    search.confirm([91.0, 92.0, 93.0])
    found = footnotes(confirmed_table(search))
    assert only(found, "The values") == (
        "The values were found in the search `one`: 1 trial, 10 epochs, 1 tuned key."
    )
    assert only(found, "Tuned: ") == "Tuned: `one`: `train.lr` 0.1."


def test_own_results_without_a_search_do_not_count_as_one(make_suite):
    suite = make_suite("lost", tuned_by="lost", axes=["method"])
    suite.run(90)
    assert "whose results are not here" in only(footnotes(confirmed_table(suite)), "Per-method")


def test_load_results_leaves_trials_out_but_where_they_are_asked_for(fair_search):
    confirmed = eibench.load_results(fair_search.folder)
    assert (len(confirmed), set(confirmed.seed)) == (6, {0, 1, 2})
    assert "trial" not in confirmed.columns
    trials = eibench.load_results(fair_search.folder / "search")
    assert list(trials.trial) == [0, 1, 2, 0, 1, 2]
    assert list(trials.study)[2:4] == ["ei, depth 4", "batchnorm, depth 16"]
    assert list(trials.validation_accuracy.dropna()) == [95.0, 97.5, 96.0, 98.0, 97.0]
    assert trials.status[2] == "diverged"


def test_load_results_without_a_trial(make_search):
    with pytest.raises(UserError, match="no results here"):
        eibench.load_results(make_search().folder)


@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_tables_of_a_suite_leave_out_the_inside_of_its_search(fair_search, project, cli, form):
    """Winners beside their fresh runs and the results stay; named results have everything."""
    path = project.suite(report={"tables": [{"formats": [form]}]})
    ((_, text),) = SuiteReport(path, fair_search.fresh.folder).tables()
    whole = cli("report", fair_search.fresh.folder, "--format", form).out
    inside = ("best trials of", "importance of each key", "budget")
    kept = ("search against confirmed", "difference")
    assert not any(title in text.lower() for title in inside)
    assert all(title in text.lower() for title in kept)
    assert all(title in whole.lower() for title in (*inside, *kept))


def test_a_papers_notes_tell_what_was_unequal(make_search, repeated_search):
    """Trials of unlike length, a raised budget, and runs that share what one study found."""
    search = make_search("unequal", axes=["method"], trials=1, raised_from=[2])
    for method, epochs in (("ei", 60), ("batchnorm", 10)):
        search.study(method, {"method": method}, {"train.lr": RATE})
        search.trial(90.0, {"train.lr": 0.3}, epochs=epochs)
        search.confirm([90.0, 91.0, 92.0])
    assert list(short_tuning_notes(confirmed_table(search).suite)) == [
        "RAISED BUDGET: the search was asked for 2, then for 1 trial in each study.",
        "Unequal tuning: 60 epochs for ei, 10 epochs for batchnorm.",
    ]
    shared = "Runs of one study share its setting: 2 in each cell."
    suite = confirmed_table(repeated_search).suite
    assert any(note.startswith(shared) for note in short_tuning_notes(suite))
    assert any(note.startswith(shared) for note in tuning_notes(suite))
