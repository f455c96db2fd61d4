"""`evaluate:` in a suite: rows of every run under every condition, and what the file may say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import eibench
from eibench.training.fit import Diverged

STEPS = {"steps": {"timesteps": [1, 2]}, "both": {"contrast": [0.5, 1.0], "timesteps": [1, 2]}}
METHODS = {"grid": {"method": ["batchnorm", "bntt"]}, "seeds": [0, 1]}


def rows(name: str) -> dict[str, dict]:
    found = Path("results").glob(f"{name}/*/record.json")
    return {path.parent.name: json.loads(path.read_text()) for path in found}


def test_a_suite_trains_keeps_and_evaluates(cli, project):
    path = project.suite(**METHODS, evaluate=STEPS)
    done = cli("run", path)
    assert done.code == 1, done.err  # methods for one T refuse others: rows that say so
    assert "2 evaluations failed or not run" in done.out
    trained = project.records()
    assert all(Path(f"results/tiny/{run}/model.safetensors").exists() for run in trained)
    frame = eibench.load_results("results/tiny-steps")
    assert len(frame) == 8 and frame.planned.all()
    assert set(zip(frame.method, frame.timesteps, frame.status, strict=True)) == {
        ("batchnorm", 1, "ok"), ("batchnorm", 2, "ok"), ("bntt", 1, "error"), ("bntt", 2, "ok"),
    }  # fmt: skip
    for row in rows("tiny-steps").values():
        assert row["fields"]["weights.run"] in trained
        if row["fields"]["timesteps"] == 2:  # as in training
            result = trained[row["fields"]["weights.run"]]["result"]
            assert row["result"]["test_accuracy"] == result["test_accuracy"]
    assert "was made for 2 time steps" in frame[frame.status == "error"].reason.iloc[0]
    both = eibench.load_results("results/tiny-both")
    assert len(both) == 16 and set(both["evaluate.contrast"]) == {0.5, 1.0}
    done = cli("report", "results/tiny-both", "--columns", "contrast,timesteps")
    assert done.code == 0 and "A tiny suite: both" in done.out and "batchnorm" in done.out

    done = cli("tables", path, "--live")
    made = {Path(line) for line in done.out.splitlines()}
    assert done.code == 0 and made >= {Path("results/tiny-both/table.md"),
        Path("results/tiny-steps/figures/tiny-steps_test_accuracy.png")}  # fmt: skip
    table = Path("results/tiny-both/table.md").read_text()
    assert "contrast 0.5" in table and "weights.run" not in table

    before = project.files()
    assert cli("run", path, "--only", "method=batchnorm").code == 0
    assert {k for k, v in project.files().items() if v != before[k]} <= {
        f"results/{name}/.lock" for name in ("tiny", "tiny-steps", "tiny-both")
    }  # nothing is computed again


def test_a_suite_named_like_a_sweep_leaves_its_evaluations(cli, project):
    one = {"grid": ..., "evaluate": STEPS}
    assert cli("run", project.suite(**one)).code == 0
    before = project.files()
    done = cli("run", project.suite(name="tiny-steps", grid=...))
    assert done.code == 2
    assert "results/tiny-steps: holds evaluations of trained networks, so no runs" in done.err
    assert {k: v for k, v in project.files().items() if k.startswith("results/")} == {
        k: v for k, v in before.items() if k.startswith("results/")
    }


def test_rows_of_runs_that_failed_or_have_no_weights(cli, project):
    assert cli("run", project.suite(grid=...)).code == 0  # before the suite had sweeps
    assert cli("run", project.suite(grid=..., evaluate=STEPS)).code == 1
    reason = next(iter(rows("tiny-steps").values()))["reason"]
    assert "no model.safetensors here" in reason and "delete the run's folder" in reason


def test_rows_of_runs_that_diverged(cli, project, monkeypatch):
    def diverge(*_: object) -> dict:
        raise Diverged("loss is nan")

    monkeypatch.setattr("eibench.execution.run_one.final_result", diverge)
    assert cli("run", project.suite(grid=..., evaluate=STEPS)).code == 1
    frame = eibench.load_results("results/tiny-steps")
    assert list(frame.status) == ["diverged"] * 2 and set(frame.reason) == {"loss is nan"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluate": {"a": {"contrst": [1]}}},
         "evaluate.a.contrst: unknown condition 'contrst'; allowed: timesteps, contrast"),
        ({"evaluate": {"a": {"contrast": [1, "x"]}}}, "a.contrast[1]: must be a number, not 'x'"),
        ({"evaluate": {"a": {"contrast": [True]}}}, "must be a number, not true"),
        ({"evaluate": {"a": {"contrast": [11]}}}, "must be from 0 to 10, not 11"),
        ({"evaluate": {"a": {"contrast": [1, 1.0]}}}, "1.0 is listed twice"),
        ({"evaluate": {"a": {"timesteps": [0]}}}, "must be from 1 to 100000, not 0"),
        ({"evaluate": {"a": {}}}, "evaluate.a: must name a condition"),
        ({"evaluate": {"a": {"contrast": []}}}, "must not be empty"),
        ({"evaluate": {"probe": {"contrast": [1]}}}, "evaluate.probe: is the name of"),
        ({"evaluate": {"cost": {"contrast": [1]}}}, "evaluate.cost: is the name of"),
        ({"evaluate": {"a/b": {"contrast": [1]}}}, "evaluate.a/b"),
        ({"evaluate": {"a": {"contrast": [1]}}, "kind": "probe"}, "belongs to suites that train"),
        ({"evaluate": {"a": {"contrast": [1]}}, "base": {"data": "digits_dvs"}},
         "evaluate.a.contrast: contrast is for images in [0, 1]; digits_dvs has counts of events"),
        ({"evaluate": {"a": {k: [i / 99 for i in range(99)]
                             for k in ("contrast", "brightness", "occlusion")}}},
         "has 970,299 combinations; at most 10,000"),
    ],
)  # fmt: skip
def test_bad_sections_are_messages(changes, message, cli, project):
    done = cli("run", project.suite(**changes))
    assert done.code == 2 and message in done.err and "tiny.yaml:" in done.err, done.err


@pytest.mark.parametrize("base", [{}, {"timesteps": 0}])
def test_all_problems_are_listed_at_once(cli, project, base):
    """Also beside problems of the file's form, and of its runs."""
    sweeps = {
        "a": {"contrst": [1]}, "b": {"contrast": [11]}, "probe": {"contrast": [1]}, "c": {},
        "d/e": {"contrast": [1]}, "f": {"contrast": []}, "g": 1,
    }  # fmt: skip
    message = cli("run", project.suite(evaluate=sweeps, base=base)).err
    for name in ("a.contrst", "b.contrast[0]", "probe", "c", "d/e.[key]", "f.contrast", "g"):
        assert message.count(f" evaluate.{name}: ") == 1, (name, message)
    del sweeps["d/e"], sweeps["f"], sweeps["g"]
    done = cli("run", project.suite(evaluate=sweeps, base=base))
    assert done.code == 2 and len(done.errors) == 4 + len(base), done.err


def test_sweeps_are_no_part_of_runs(cli, project):
    from eibench.plan import load_plan, load_probe

    plain, swept = (load_plan(project.suite(evaluate=e), []) for e in (..., STEPS))
    assert [r.run_id for r in plain.runs] == [r.run_id for r in swept.runs]
    assert {r.spec.train.keep for r in swept.runs} == {"best"}
    assert load_probe(project.suite(evaluate=STEPS), []).sweeps == ()


def test_none_to_evaluate_is_said_before_training(cli, project):
    suite = project.suite(evaluate={"a": {"contrast": [1]}})
    for words in (["run", suite], ["submit", suite, "--slurm"]):
        done = cli(*words, "--keep", "none")
        assert done.code == 2 and "--keep none: `evaluate`" in done.err
    assert not Path("results").exists()
