"""Progress of runs: numbers within an epoch, time left, lines without a terminal, the table."""

import io
import re
import threading
import time

import pytest
from rich.console import Console

from eibench.cli import progress as module
from eibench.cli.job_status import Job, Status, clock
from eibench.cli.progress import ProgressDisplay
from eibench.cli.search_progress import SearchProgress
from eibench.execution.remaining import RemainingWork
from eibench.plan import load_plan
from eibench.training.fit import fit as real_fit
from eibench.training.steps import StepReport


def report(step, steps=10, epoch=1, speed=1500.0, loss=0.5):
    return StepReport(epoch, step, steps, speed, loss)


def epoch_record(epoch, seconds=2.0, accuracy=90.0):
    return {
        "epoch": epoch,
        "train_loss": 0.25,
        "validation_accuracy": accuracy,
        "cost": {"train_seconds": seconds * 0.75, "evaluation_seconds": seconds * 0.25},
    }


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (725, "12:05"), (3723, "1:02:03")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


# ------------------------------------------------------------------------------- a run


def job(epochs=4):
    return Job("ei, seed 0", "kind", epochs, todo=epochs)


def test_a_run_within_its_epochs():
    run = job()
    assert run.words() == "ei, seed 0: epoch 1/4"
    assert run.step(report(3))[0] == pytest.approx(0.3)
    assert run.words() == "ei, seed 0: epoch 1/4, step 3/10, 1,500 images/s, loss 0.500"
    assert run.step(report(10))[0] == pytest.approx(0.7)
    assert "validating" in run.words()
    epochs, seconds = run.end_epoch(epoch_record(1))
    assert epochs == 0
    assert seconds == pytest.approx(2, abs=0.1)  # less the moment since it began
    assert run.words() == "ei, seed 0: epoch 2/4, loss 0.250, validation 90.0 %"
    assert run.todo == 3


def test_short_epochs_have_the_cost_of_their_records():
    run = job()
    assert run.end_epoch(epoch_record(1, seconds=3)) == (1, 3)
    assert run.end_epoch(epoch_record(2, seconds=5)) == (1, 5)


def test_a_run_that_goes_on_has_only_its_rest():
    run = job()
    run.end_epoch(epoch_record(3))
    assert run.todo == 1


# ----------------------------------------------------------------------------- the state


def test_the_state_in_a_line():
    status = Status("tiny", 8, jobs=2)
    assert status.line() == "tiny: 0 of 8 runs, 0:00; importing torch"
    status.phase, status.done = None, 2
    status.work = RemainingWork({"kind": 100}, {"kind": 1.5})
    status.jobs = {"a": job(), "b": job()}
    words = "ei, seed 0: epoch 1/4"
    assert status.line() == f"tiny: 2 of 8 runs, 0:00, about 1:15 left; {words}; {words}"
    status.jobs = {str(i): job() for i in range(6)}
    assert status.line().endswith(f"{words}; and 2 more")


def test_best_scores_of_a_search():
    status = Status("tiny", 8, "trial")
    status.best = {"ei": 91.26, "batchnorm": 90.0}
    assert "0 of 8 trials" in status.line()
    assert "best so far: ei: 91.3 %; batchnorm: 90.0 %" in status.line()


# ----------------------------------------------------------------------------- terminals


@pytest.fixture
def planned(project):
    return load_plan(project.suite(base={"train": {"epochs": 4}}), [])


def shown(display, width):
    console = Console(width=width, file=io.StringIO())
    display.console = console
    console.print(display._picture())
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_picture_fits_and_has_each_run_side_by_side(planned, width):
    display = ProgressDisplay("tiny", 2, jobs=2)
    assert "importing torch" in shown(display, width)
    for run in planned.runs:
        display.started(run)
        display.step(run, report(5))
        display.epoch(run, epoch_record(1))
        display.step(run, report(2, epoch=2))
    picture = shown(display, width)
    assert max(map(len, picture.splitlines())) <= width
    assert "importing" not in picture
    if width >= 80:
        assert len(re.findall(r"2/4 +2/10 +1,500 +0\.500 +90\.0 %", picture)) == 2
        assert all(f"plain-depth{depth}" in picture for depth in (1, 2))


def test_the_time_left_comes_from_the_first_steps(planned, monkeypatch):
    display = ProgressDisplay("tiny", 2)
    from eibench.execution.estimate import kind_of_run

    kinds = [kind_of_run(run.spec) for run in planned.runs]
    display.expect(RemainingWork(dict.fromkeys(kinds, 4)))
    display.started(planned.runs[0])
    assert "left" not in display.status.line()
    display.status.jobs[planned.runs[0].run_id].heard -= 10  # half an epoch in 10 seconds
    display.step(planned.runs[0], report(5))
    assert display.status.work.seconds() == pytest.approx(7.5 * 20, rel=0.01)
    assert "about 2:30 left" in display.status.line()


def test_events_of_several_threads(planned):
    display = ProgressDisplay("tiny", 2, jobs=2)
    display.expect(RemainingWork({"k": 1}))

    def train(run):
        display.started(run)
        for i in range(200):
            display.step(run, report(i % 10 + 1))
            display._picture()
        display.forget(run)

    threads = [threading.Thread(target=train, args=(run,)) for run in planned.runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert display.status.jobs == {}


# --------------------------------------------------------------------- without a terminal


def test_a_line_at_least_every_so_often(monkeypatch, capsys):
    monkeypatch.setattr(module, "QUIET", 0.05)
    with ProgressDisplay("tiny", 2):
        time.sleep(0.3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "tiny: 2 runs; importing torch"
    assert 2 <= len(lines) <= 8
    assert all(line.startswith("tiny: 0 of 2 runs, 0:00; importing torch") for line in lines[1:])


def test_no_line_while_others_come(monkeypatch, capsys):
    monkeypatch.setattr(module, "QUIET", 30.0)
    with ProgressDisplay("tiny", 2) as display:
        display.line("one")
    assert capsys.readouterr().out.splitlines()[1:] == ["[1/2] one"]


# ------------------------------------------------------------------------------ the end


def test_a_run_ends_with_its_table_in_short_notes(cli, project):
    done = cli("run", project.suite())
    assert done.code == 0
    table = cli("report", "results/tiny", "--notes", "short").out
    assert done.out.endswith(f"; eibench report results/tiny\n\n{table}")
    assert "Source:" not in table


def test_failures_are_in_the_table(cli, project, monkeypatch):
    def fit(experiment, progress, on_step):
        if experiment.spec.model.depth == 2:
            raise ValueError("it broke")
        yield from real_fit(experiment, progress, on_step)

    monkeypatch.setattr("eibench.execution.run_one.fit", fit)
    done = cli("run", project.suite())
    assert done.code == 1
    assert "1 of 2 runs ok, 1 failed" in done.out
    assert "A tiny suite: test accuracy (%)" in done.out


def test_a_table_that_cannot_be_made_is_a_remark(cli, project, monkeypatch):
    from eibench.errors import UserError

    def broken(*_):
        raise UserError("it is damaged")

    monkeypatch.setattr("eibench.report.make.make_documents", broken)
    done = cli("run", project.suite())
    assert (done.code, done.err) == (0, "no table: it is damaged\n")


def test_a_search_ends_with_trials_and_table(cli, project):
    search = {"space": {"train.lr": {"low": 0.01, "high": 1, "log": True}}, "trials": 2}
    suite = project.suite(grid={}, search={**search, "seeds": [1000]})
    done = cli("search", suite)
    assert done.code == 0, done.err
    assert done.out.startswith("tiny: 2 trials; importing torch\n[1/2] ei, trial 0: ")
    assert "\n2 of 2 trials; 1 of 1 winners to confirm\ntiny: 1 run; " in done.out
    table = cli("report", "results/tiny", "--notes", "short").out
    assert done.out.endswith(table)
    again = cli("search", suite, "--trials", "3")
    assert "[3/3] ei, trial 2: " in again.out


def test_a_search_knows_its_best_score_and_what_is_left(cli, project, monkeypatch):
    """Of one epoch for each trial, and one to confirm; also of trials that ended before."""
    seen = []
    real = SearchProgress.trial

    def trial(self, *words):
        real(self, *words)
        seen.append((self.status.line(), dict(self.status.work.left)))

    monkeypatch.setattr(SearchProgress, "trial", trial)
    search = {"space": {"train.lr": {"low": 0.01, "high": 1, "log": True}}, "trials": 2}
    suite = project.suite(grid={}, search={**search, "seeds": [1000]})
    assert cli("search", suite).code == 0
    assert [left for _, left in seen] == [{"ei": 2}, {"ei": 1}]
    assert re.search(r"^tiny: 2 of 2 trials, .*; best so far: ei: [0-9.]+ %$", seen[-1][0])
    assert cli("search", suite, "--trials", "4").code == 0
    assert [left for _, left in seen[2:]] == [{"ei": 2}, {"ei": 1}]
    assert "4 of 4 trials" in seen[-1][0]
