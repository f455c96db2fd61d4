"""Results of strangers: what cannot be is refused by name, and nothing outside is touched."""

import json
import math
import re

import pytest

from eibench.errors import UserError
from eibench.execution.lock import locked
from eibench.report.figures.draw import make_figures
from eibench.report.make import render
from eibench.report.model.layers import make_pivots
from eibench.report.writers.escape import csv_cell, markdown
from eibench.results.frame import load_results
from eibench.results.store import read_plan

UNBELIEVABLE = [math.nan, math.inf, True, "12.5", -5, 1e308, 100.5, [], {}, 10**400]


def change(path, *keys, value):
    """Set the value at `keys` of a JSON file."""
    content = place = json.loads(path.read_text())
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("value", UNBELIEVABLE, ids=str)
@pytest.mark.parametrize("key", ["test_accuracy", "firing_rate", "parameters"])
def test_a_number_that_cannot_be_is_named(suite, key, value):
    record = suite.run(90.0).path / "record.json"
    if key == "parameters" and value == 100.5:
        value = 0.5
    change(record, "result", key, value=value)
    with pytest.raises(UserError, match=rf"record\.json: damaged \(result\.{key}: must be "):
        load_results(suite.folder)


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (["suite"], "../../evil", "suite: must be letters"),
        (["suite"], "x}\\input{y}", "suite: must be letters"),
        (["runs", 0, "run_id"], "../other", "runs.0.run_id: must be letters"),
        (["runs", 0, "fields", "seed"], 7, "runs.0.fields: of another run"),
        (["runs", 0, "fields", "seed"], 0.5, "runs.0.fields.seed: must be a whole number"),
        (["tuned_by"], "/etc", "tuned_by: must be letters"),
        (["axes"], 5, "axes: must be a list"),
        (["kind"], "odd", "kind: must be"),
        (["schema"], True, "has schema true"),
    ],
)
def test_a_plan_that_cannot_be_is_named(suite, keys, value, said):
    suite.run(90.0)
    change(suite.folder / "plan.json", *keys, value=value)
    with pytest.raises(UserError, match=re.escape(said)):
        read_plan(suite.folder)


def test_a_record_of_another_run_is_refused(suite):
    first, second = suite.run(90.0, seed=0), suite.run(91.0, seed=1)
    (second.path / "record.json").write_bytes((first.path / "record.json").read_bytes())
    with pytest.raises(UserError, match=r"damaged \(fields: of another run"):
        second.record()


def test_a_key_that_stands_twice_and_depth_without_end(suite):
    path = suite.run(90.0).path / "record.json"
    path.write_text(path.read_text().replace('"status": "ok"', '"status": "error", "status": "ok"'))
    with pytest.raises(UserError, match="duplicate key 'status'"):
        load_results(suite.folder)
    path.write_text("[" * 10_000)
    with pytest.raises(UserError, match="nested too deeply"):
        load_results(suite.folder)


def test_a_torn_last_line_is_dropped_and_earlier_damage_is_named(suite):
    run = suite.plan()
    run.path.mkdir()
    run.append_epoch({"epoch": 1})
    path = run.path / "epochs.jsonl"
    path.write_text(path.read_text() + '{"epo')
    assert len(run.epochs()) == 1
    path.write_text('{"epoch": 1}\nhello\n{"epoch": 2}\n')
    with pytest.raises(UserError, match=r"epochs\.jsonl: damaged \(line 2: "):
        run.epochs()
    path.write_text('{"epoch": 1}\n{"epoch": 3}\n')
    with pytest.raises(UserError, match="epoch: must be numbered"):
        run.epochs()


@pytest.mark.parametrize("name", ["record.json", "epochs.jsonl", "checkpoint.pt", ""])
def test_links_are_refused(suite, tmp_path, name):
    run = suite.run(90.0)
    path = run.path / name if name else run.path
    moved = tmp_path / "moved"
    if path.exists():
        path.rename(moved)
    else:
        moved.write_text("x")
    path.symlink_to(moved)
    with pytest.raises(UserError, match="is a link"):
        (run.record(), run.epochs(), run.checkpoint.exists())


@pytest.mark.parametrize("name", [".running", ".running/driver"])
def test_locks_go_through_no_link(suite, tmp_path, name):
    suite.run(90.0)
    victim = tmp_path / "victim"
    victim.mkdir()
    (suite.folder / name).parent.mkdir(exist_ok=True)
    (suite.folder / name).symlink_to(victim)
    with pytest.raises(UserError, match="is a link"), locked(suite.folder):
        pass
    assert list(victim.iterdir()) == []


def test_figures_go_through_no_link(suite, tmp_path):
    suite.run(90.0)
    (tmp_path / "elsewhere").mkdir()
    (suite.folder / "figures").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link"):
        list(make_figures([suite.folder], None))
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("form", ["table", "markdown", "latex", "macros", "csv", "json"])
def test_control_characters_are_printed_as_escapes(make_suite, form):
    nasty = "a\x1b[31m\x07\r\u202e [red]b[/red]"
    suite = make_suite("nasty", title=nasty, axes=["ablation"])
    suite.run(90.0, ablation="base")
    suite.run(91.0, ablation=nasty, train={"lr": 0.3}, environment={"cpu": nasty})
    text = render(make_pivots([suite.folder], None), form)
    assert text.replace("\n", "").isprintable()
    assert "[red]" in text or r"\[red\]" in text


def test_cells_that_a_spreadsheet_would_compute():
    texts = ["=1+1", "+a", "-g", "@x", "\t=1", "\r=1", "\uff1d1"]
    assert all(csv_cell(text).startswith("'") for text in texts)
    assert [csv_cell(value) for value in ("-5", "+1e-3", -5, "a=b")] == ["-5", "+1e-3", -5, "a=b"]


def test_markdown():
    assert markdown("a|b `c` <i> &amp; [x](y)\n_z_ n_n") == (
        r"a\|b \`c\` \<i\> \&amp; \[x\](y) \_z\_ n_n"
    )


@pytest.mark.parametrize("result", [{"test_accuracy": None}, {}])
def test_a_run_that_is_ok_has_its_number(suite, result):
    record = suite.run(90.0).path / "record.json"
    change(record, "result", value=result)
    with pytest.raises(UserError, match=r"result\.test_accuracy: must be a number"):
        load_results(suite.folder)


def test_a_best_epoch_after_the_last_is_refused(suite):
    record = suite.run(90.0).path / "record.json"
    change(record, "result", value={"test_accuracy": 90.0, "best_epoch": 9, "epochs": 3})
    with pytest.raises(UserError, match=r"result\.best_epoch: must be at most 3"):
        load_results(suite.folder)


def test_a_plan_without_runs_is_refused(suite):
    suite.run(90.0)
    change(suite.folder / "plan.json", "runs", value=[])
    with pytest.raises(UserError, match="runs: must not be empty"):
        read_plan(suite.folder)


@pytest.mark.parametrize("key", ["title", "same"])
def test_texts_of_any_length_leave_room_for_the_axes(suite, tmp_path, key):
    suite.run(90.0)
    text = "a\u00e9 " * 20_000
    change(suite.folder / "plan.json", key, value=text if key == "title" else [["a", text]] * 99)
    assert list(make_figures([suite.folder], None, out=tmp_path / "out"))
