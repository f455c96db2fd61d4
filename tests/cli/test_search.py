"""`eibench search` through the real command line: trials, winners and confirmation."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from other_process import other_process

from eibench.data.digits import digits
from eibench.plan.options import DATASETS
from eibench.training.fit import Diverged
from eibench.training.fit import fit as real_fit

SPACE = {"train.lr": {"low": 0.01, "high": 1, "log": True}}
LRS = {"train.lr": {"choices": [0.1, 0.2, 0.5]}}
TUTORIAL = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text()
PLUGIN = TUTORIAL.partition("```python\n")[2].partition("```")[0]
"""Adds the method `rmsnorm`."""


@pytest.fixture
def suite(project):
    """`suite(epochs=1, grid=..., trials=3, ...)`: a suite with these keys of `search`."""

    def write(epochs=1, grid=None, seeds=(0,), depth=1, file="tiny.yaml", more=None, **search):
        section = {"space": SPACE, "trials": 3, "seeds": [1000], **search}
        base = {"model": {"depth": depth}, "train": {"epochs": epochs}}
        changes = {"grid": grid or {}, "seeds": list(seeds), **(more or {})}
        return project.suite(file, base=base, search=section, **changes)

    return write


@pytest.fixture
def break_lr(monkeypatch):
    """`break_lr(error, 0.2, ...)`: training at these rates raises it; at all without any."""

    def set_up(error, *rates):
        def fit(experiment, progress, on_step):
            if not rates or experiment.spec.train.lr in rates:
                raise error
            yield from real_fit(experiment, progress, on_step)

        monkeypatch.setattr("eibench.execution.run_one.fit", fit)

    return set_up


def content(results="results"):
    return json.loads(Path(results, "tiny/search/plan.json").read_text())


def studies(results="results"):
    return {study["name"]: study for study in content(results)["studies"]}


def trials(results="results", name="ei"):
    """Return the trials of a study, without timings."""
    kept = ("number", "values", "state", "reason", "scores", "runs", "epochs", "loss")
    return [{key: t[key] for key in kept} for t in studies(results)[name]["trials"]]


def never(*_, **__):
    raise AssertionError("a run was executed")


# ---------------------------------------------------------------------------- all goes well


def test_a_whole_search(cli, project, suite):
    path = suite(grid={"method": ["ei", "tdbn"]}, seeds=[0, 1])
    done = cli("search", path)
    assert done.code == 0, done
    lines = done.out.splitlines()
    assert lines[1].startswith("[1/6] ei, trial 0: ")
    assert lines[2].startswith("[2/6] tdbn, trial 0: ")  # all studies stand alike at any time
    assert "6 of 6 trials; 2 of 2 winners to confirm" in lines
    assert "4 of 4 runs ok; eibench report results/tiny" in lines
    assert content()["search"]["confirm_seeds"] == [0, 1]
    for name, study in studies().items():
        assert [trial["state"] for trial in study["trials"]] == ["complete"] * 3
        best = max(study["trials"], key=lambda t: t["scores"]["validation_accuracy"])
        won = study["trials"][study["winner"]]
        assert won["scores"] == best["scores"]
        runs = [r for r in project.records().values() if r["fields"]["method"] == name]
        assert [r["fields"]["train.lr"] for r in runs] == [won["values"]["train.lr"]] * 2
        assert {r["fields"]["seed"] for r in runs} == {0, 1}
    searched = project.records("tiny/search")
    assert {r["fields"]["seed"] for r in searched.values()} == {1000}
    assert searched.keys() == {
        run for s in studies().values() for t in s["trials"] for run in t["runs"]
    }


def test_the_first_trial_is_the_base(cli, suite):
    cli("search", suite(trials=1))
    (trial,) = trials()
    assert trial["values"] == {"train.lr": 0.1}


def test_the_same_command_again_costs_nothing(cli, project, suite, monkeypatch):
    path = suite()
    cli("search", path)
    before = project.records(), project.records("tiny/search"), trials()
    monkeypatch.setattr("eibench.execution.slots.execute", never)
    done = cli("search", path)
    assert done.code == 0
    assert "3 of 3 trials; 1 of 1 winners to confirm" in done.out
    assert "already finished" in done.out
    assert (project.records(), project.records("tiny/search"), trials()) == before


def test_a_trial_equal_to_a_finished_run_costs_nothing(cli, project, suite, monkeypatch):
    """The journal is gone, the runs are there: the same trials are drawn again."""
    path = suite()
    cli("search", path)
    before = trials()
    Path("results/tiny/search/journal.log").unlink()
    monkeypatch.setattr("eibench.execution.slots.execute", never)
    assert cli("search", path).code == 0
    assert trials() == before


def test_more_trials_go_on(cli, suite):
    path = suite()
    cli("search", path)
    before = trials()
    done = cli("search", path, "--trials", 5)
    assert "\n[4/5] ei, trial 3: " in done.out
    assert len(trials()) == 5
    assert trials()[:3] == before
    assert content()["search"]["trials"] == 5


def test_a_grid(cli, suite):
    cli(
        "search",
        suite(space={**LRS, "method.kappa": {"choices": [0, 1]}}, sampler="grid", trials=None),
    )
    points = [(t["values"]["train.lr"], t["values"]["method.kappa"]) for t in trials()]
    assert points == [(lr, kappa) for lr in (0.1, 0.2, 0.5) for kappa in (0, 1)]


def test_grids_of_two_sizes(cli, suite):
    """The smaller one ends early, and that is no lack of time."""
    tune = {"ei": {"method.kappa": {"choices": [0, 1]}}}
    path = suite(space=LRS, tune=tune, sampler="grid", trials=None, grid={"method": ["ei", "tdbn"]})
    done = cli("search", path)
    assert done.code == 0
    assert "9 of 9 trials; 2 of 2 winners to confirm" in done.out
    assert [len(trials(name=name)) for name in ("ei", "tdbn")] == [6, 3]


def test_several_seeds(cli, project, suite):
    """The score is the mean; `seeds` of the suite and of the search have one name."""
    path = suite(trials=2)
    values = yaml.safe_load(path.read_text())
    values["search"]["seeds"] = [1000, 1001]
    project.write(yaml.safe_dump(values))
    assert cli("search", path).code == 0
    records = project.records("tiny/search")
    for trial in trials():
        assert (len(trial["runs"]), trial["epochs"]) == (2, 2)
        runs = [records[run] for run in trial["runs"]]
        assert [run["fields"]["seed"] for run in runs] == [1000, 1001]
        mean = sum(run["result"]["validation_accuracy"] for run in runs) / 2
        assert trial["scores"]["validation_accuracy"] == pytest.approx(mean)


def test_several_studies_of_each_combination(cli, project, suite):
    """Each has seeds of its own; fresh seeds take turns among their winners."""
    enqueue = [{"train.lr": 0.5}]
    path = suite(
        grid={"method": ["ei", "tdbn"]}, trials=2, studies=2, enqueue=enqueue, confirm=3,
        more={"seeds": ...},
    )  # fmt: skip
    done = cli("search", path, "--export", "tuned.yaml")
    assert done.code == 0, done
    assert "8 of 8 trials; 4 of 4 winners to confirm" in done.out
    assert content()["axes"] == ["method", "repeat"]
    assert content()["search"]["confirm_seeds"] == [0, 1, 2]
    found = studies()
    assert list(found) == [f"{m}, study {n}" for m in ("ei", "tdbn") for n in (1, 2)]
    assert found["tdbn, study 2"]["arm"] == {"method": "tdbn", "repeat": 2}
    tried, rates = project.records("tiny/search"), {}
    for name, study in found.items():
        number = study["arm"]["repeat"]
        assert study["seeds"] == [999 + number]
        assert [t["values"]["train.lr"] for t in study["trials"]] == [0.1, 0.5]
        runs = [tried[run] for t in study["trials"] for run in t["runs"]]
        assert {run["fields"]["seed"] for run in runs} == {999 + number}
        rates[name] = study["trials"][study["winner"]]["values"]["train.lr"]
    fresh = [run["fields"] for run in project.records().values()]
    assert len(fresh) == 6
    for run in fresh:
        assert run["train.lr"] == rates[f"{run['method']}, study {1 + run['seed'] % 2}"]
    assert "6 of 6 runs ok" in cli("run", "tuned.yaml").out
    assert project.records("tuned").keys() == project.records().keys()


def test_a_raised_budget_is_on_record(cli, suite):
    path = suite(trials=1)
    cli("search", path)
    assert "raised_from" not in content()["search"]
    for trials in (2, 2, 3):
        cli("search", path, "--trials", trials)
    assert content()["search"]["raised_from"] == [1, 2]
    done = cli("report", "results/tiny")
    said = "RAISED BUDGET: the search was asked for 1, then 2, then for 3 trials in each study."
    assert " ".join(done.out.split()).count(said) == 2  # of the search, and of the winners


def test_a_method_with_many_keys_of_its_own_is_noted(cli, suite):
    tune = {"ei": {"method.kappa": {"choices": [0, 1]}, "method.relay": {"low": 0, "high": 1}}}
    path = suite(grid={"method": ["ei", "tdbn"]}, tune=tune)
    done = cli("search", path, "--dry-run")
    assert done.code == 0
    assert done.err == (
        "SPACE RULE: `ei` is searched over 2 keys of its own; a fair comparison gives each method"
        " at most one.\n"
    )
    assert "ONE TUNING SEED: " in done.out
    assert cli("search", suite(seeds=[0, 1]), "--dry-run").err == ""


def test_a_dry_run_writes_nothing(cli, project, suite):
    path = suite(grid={"method": ["ei", "tdbn"]})
    before = project.files()
    done = cli("search", path, "--dry-run")
    assert done.code == 0
    assert "2 studies of 3 trials (tpe; seeds 1000), winners run again under seeds 0" in done.out
    assert "train.lr: 0.01 to 1 (log)" in done.out
    assert project.files() == before


def test_export(cli, project, suite):
    path = suite(grid={"method": ["ei", "tdbn"]})
    done = cli("search", path, "--export", "tuned.yaml")
    assert done.code == 0
    assert done.out.splitlines()[-1] == "tuned.yaml"
    assert cli("run", "tuned.yaml").code == 0
    assert project.records("tuned").keys() == project.records().keys()
    methods = {r["fields"]["method"] for r in project.records("tuned").values()}
    assert methods == {"ei", "tdbn"}


def test_a_plugins_method(cli, project, suite):
    project.write(PLUGIN, "my_norm.py")
    more = {"plugins": ["my_norm.py"]}
    space = {"method.eps": {"low": 1e-6, "high": 0.1, "log": True}}
    done = cli("search", suite(grid={"method": ["rmsnorm"]}, more=more, space=space, trials=2))
    assert done.code == 0
    assert done.out.startswith("plugin: my_norm.py (method rmsnorm)")
    assert [t["state"] for t in trials(name="rmsnorm")] == ["complete"] * 2


def test_settings(cli, suite):
    space = {**SPACE, "train.momentum": {"choices": [0, 0.9]}}
    cli("search", suite(space=space), "--set", "train.lr=0.3")
    assert all(t["values"].keys() == {"train.momentum"} for t in trials())
    assert {row["fields"]["train.lr"] for row in content()["runs"]} == {0.3}


# ---------------------------------------------------------------------------- runs that fail


def test_a_trial_that_crashes_does_not_end_the_search(cli, suite, break_lr):
    break_lr(RuntimeError("it broke"), 0.2)
    done = cli("search", suite(space=LRS, sampler="grid"))
    assert done.code == 1
    assert "[2/3] ei, trial 1: error: RuntimeError: it broke  (lr 0.2)" in done.out
    assert "3 of 3 trials, 1 failed; 1 of 1 winners to confirm" in done.out
    assert [t["state"] for t in trials()] == ["complete", "failed", "complete"]
    assert trials()[1]["reason"] == "error: RuntimeError: it broke"
    assert trials()[1]["scores"] == {}
    assert studies()["ei"]["winner"] in (0, 2)


def test_a_diverged_trial_scores_chance_and_is_marked(cli, suite, break_lr):
    break_lr(Diverged("loss is nan"), 0.2)
    done = cli("search", suite(space=LRS, sampler="grid"))
    assert done.code == 0
    assert "[2/3] ei, trial 1: 10.0 diverged: loss is nan  (lr 0.2)" in done.out
    trial = trials()[1]
    assert (trial["state"], trial["scores"]) == ("complete", {"validation_accuracy": 10.0})
    assert trial["reason"] == "diverged: loss is nan"
    assert studies()["ei"]["winner"] in (0, 2)


@pytest.mark.parametrize("error", [RuntimeError("it broke"), Diverged("loss is nan")])
def test_a_study_in_which_all_fail_has_no_winner(cli, suite, break_lr, error):
    break_lr(error)
    done = cli("search", suite(space=LRS, sampler="grid"))
    assert done.code == 1
    assert "0 of 1 winners to confirm" in done.out
    assert studies()["ei"]["winner"] is None
    assert not Path("results/tiny/plan.json").exists()
    assert "Traceback" not in done.out + done.err


def test_the_others_are_confirmed_where_one_study_has_no_winner(cli, project, suite, monkeypatch):
    def fit(experiment, progress, on_step):
        if experiment.spec.method.name == "tdbn":
            raise RuntimeError("it broke")
        yield from real_fit(experiment, progress, on_step)

    monkeypatch.setattr("eibench.execution.run_one.fit", fit)
    done = cli("search", suite(grid={"method": ["ei", "tdbn"]}), "--export", "tuned.yaml")
    assert done.code == 1
    assert "6 of 6 trials, 3 failed; 1 of 2 winners to confirm" in done.out
    assert {r["fields"]["method"] for r in project.records().values()} == {"ei"}
    assert yaml.safe_load(Path("tuned.yaml").read_text())["exclude"] == [{"method": "tdbn"}]


def test_a_confirming_run_that_fails(cli, suite, monkeypatch):
    def fit(experiment, progress, on_step):
        if experiment.spec.seed == 0:
            raise RuntimeError("it broke")
        yield from real_fit(experiment, progress, on_step)

    monkeypatch.setattr("eibench.execution.run_one.fit", fit)
    done = cli("search", suite())
    assert done.code == 1
    assert "0 of 1 runs ok, 1 failed" in done.out


def test_values_within_the_space_that_no_run_can_have(cli, suite, break_lr):
    """Each by itself goes with the base, not all go together; too many to try out before."""
    break_lr(Diverged("not the matter here"))
    space = {f"train.{key}": {"low": 0.1, "high": 0.9} for key in ("lr", "momentum", "clip_norm")}
    space |= {"train.epochs": {"choices": [1, 2, 3]}, "train.warmup_epochs": {"choices": [0, 1, 2]}}
    done = cli("search", suite(epochs=3, space=space, trials=8))
    assert done.code == 1
    assert "Traceback" not in done.out + done.err
    failed = [t for t in trials() if t["state"] == "failed"]
    assert failed
    for trial in trials():
        epochs, warmup = (trial["values"][f"train.{k}"] for k in ("epochs", "warmup_epochs"))
        assert (trial["state"] == "failed") == (warmup >= epochs)
    for trial in failed:
        assert "must be below epochs" in trial["reason"]
        assert (trial["runs"], trial["epochs"]) == ([], 0)


def test_an_end_at_which_the_network_cannot_be_built(cli, project, suite):
    """Digits of 8x8 are no more than a pixel after three poolings."""
    before = suite(depth=6, space={"model.pools": {"low": 1, "high": 6}})
    files = project.files()
    done = cli("search", before)
    assert done.code == 2
    (error,) = done.errors
    assert error.startswith("ei with model.pools 6: model plain-depth6-width4-pools6 on data set ")
    assert project.files() == files


def test_a_data_set_that_is_absent(cli, project, suite):
    path = suite()
    values = yaml.safe_load(path.read_text())
    values["base"]["data"] = "cifar10"
    project.write(yaml.safe_dump(values))
    files = project.files()
    done = cli("search", path)
    assert done.code == 2
    (error,) = done.errors
    assert error.startswith("data set cifar10: ")
    assert project.files() == files


# ---------------------------------------------------------------------------- pruning


@pytest.mark.slow
def test_a_pruner_stops_trials(cli, project, suite):
    path = suite(epochs=9, trials=12, pruner="median", sampler_seed=3)
    done = cli("search", path)
    assert done.code == 0
    states = {t["number"]: t["state"] for t in trials()}
    assert set(states.values()) == {"complete", "pruned"}
    for trial in trials():
        epochs, (run,) = trial["epochs"], trial["runs"]
        assert (epochs == 9) == (trial["state"] == "complete")
        assert not Path("results/tiny/search", run, "checkpoint.pt").exists()
        if trial["state"] == "pruned":
            assert 1 <= epochs < 9
            assert f"trial {trial['number']}: pruned  (lr" in done.out
            assert trial["reason"] is None
    paid = [t["seconds"] for t in studies()["ei"]["trials"]]
    assert min(paid) > 0
    assert states[studies()["ei"]["winner"]] == "complete"
    before = trials()
    assert cli("search", path).code == 0
    assert trials() == before


# ---------------------------------------------------------------------------- interrupts


def test_several_studies_interrupted_at_any_epoch(cli, suite, monkeypatch):
    path = suite(seeds=[0, 1], studies=2, enqueue=[{"train.lr": 0.5}], trials=4)
    assert cli("search", path, "--results", "whole").code == 0
    count = 0

    def fit(experiment, progress, on_step):
        nonlocal count
        for record in real_fit(experiment, progress, on_step):
            yield record
            count += 1
            if count % 5 == 0:
                raise KeyboardInterrupt

    monkeypatch.setattr("eibench.execution.run_one.fit", fit)
    codes = []
    while not codes or codes[-1] == 130:
        codes.append(cli("search", path).code)
    assert len(codes) > 2
    assert codes[-1] == 0
    for name in ("ei, study 1", "ei, study 2"):
        assert trials(name=name) == trials("whole", name=name)
        assert studies()[name]["winner"] == studies("whole")[name]["winner"]


@pytest.mark.parametrize("pruner", ["none", pytest.param("median", marks=pytest.mark.slow)])
def test_interrupted_at_any_epoch_it_goes_on_to_the_same_trials(cli, suite, monkeypatch, pruner):
    """Ctrl-C after every fourth epoch, until it is done."""
    path = suite(epochs=3, trials=11 if pruner == "median" else 6, pruner=pruner)
    assert cli("search", path, "--results", "whole").code == 0
    assert pruner == "none" or "pruned" in {t["state"] for t in trials("whole")}
    count = 0

    def fit(experiment, progress, on_step):
        nonlocal count
        for record in real_fit(experiment, progress, on_step):
            yield record
            count += 1
            if count % 4 == 0:
                raise KeyboardInterrupt

    monkeypatch.setattr("eibench.execution.run_one.fit", fit)
    codes = []
    while not codes or codes[-1] == 130:
        done = cli("search", path)
        codes.append(done.code)
        assert done.code != 130 or done.err == "interrupted; run the same command again to resume\n"
    assert len(codes) > 3
    assert codes[-1] == 0
    assert trials() == trials("whole")
    assert studies()["ei"]["winner"] == studies("whole")["ei"]["winner"]


# ---------------------------------------------------------------------------- bad surroundings


def test_references_are_read_before_the_search(cli, project, suite):
    """Not when hours of trials have passed."""
    path = suite(more={"references": "published.yaml"})
    files = project.files()
    done = cli("search", path)
    assert done.code == 2
    (error,) = done.errors
    assert "published.yaml: no such file" in error
    assert project.files() == files


def test_results_that_another_process_works_on(cli, project, suite):
    folder = Path("results/tiny/search")
    with other_process(folder, "driver") as other:
        done = cli("search", suite())
    assert done.code == 2
    (error,) = done.errors
    assert error.startswith(f"{folder}: another eibench run is working here ({other}, since 20")


def test_results_that_cannot_be_written(cli, project, suite):
    project.write("", "file")
    done = cli("search", suite(), "--results", "file/results")
    assert done.code == 2
    assert done.errors == ["file/results/tiny/search: cannot be written: Not a directory"]


@pytest.mark.parametrize("write", ["append_logs", "write_atomic"])
def test_a_disk_that_is_full(cli, suite, monkeypatch, write):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    where = {
        "append_logs": "eibench.search.journal._JournalFile.append_logs",
        "write_atomic": "eibench.search.record.write_atomic",
    }
    monkeypatch.setattr(where[write], full)
    done = cli("search", suite())
    assert done.code == 2
    assert done.errors == ["No space left on device"]


def test_a_damaged_journal(cli, suite):
    path = suite()
    cli("search", path)
    journal = Path("results/tiny/search/journal.log")
    journal.write_text("{}\n" + journal.read_text())
    done = cli("search", path)
    assert done.code == 2
    (error,) = done.errors
    assert error.startswith(f"{journal}: damaged (line 1: op_code: is missing; ")
    assert "delete it" in error
    journal.unlink()
    assert cli("search", path).code == 0


def test_a_damaged_plan_is_written_again(cli, suite):
    path = suite()
    cli("search", path)
    before = trials()
    Path("results/tiny/search/plan.json").write_text("{")
    assert cli("search", path).code == 0
    assert trials() == before


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"epochs": 2}, "train.epochs"),
        ({"depth": 2}, "model.depth"),
        ({"space": {**SPACE, "neuron.tau": {"low": 2, "high": 3}}}, "search.space.neuron.tau"),
        ({"sampler_seed": 1}, "search.sampler_seed"),
    ],
)
def test_a_suite_that_changed_under_its_trials(cli, project, suite, changes, keys):
    cli("search", suite())
    path = suite(**changes)
    before = project.files()
    done = cli("search", path)
    assert done.code == 2
    assert done.errors == [
        "results/tiny/search: the trials of ei were made before these settings changed:"
        f" {keys}; give the suite another name, or delete the folder to search anew"
    ]
    assert project.files() == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there(cli, suite):
    done = cli("search", suite(), "--device", "cuda")
    assert done.code == 2
    assert len(done.errors) == 1


# ---------------------------------------------------------------------------- several at a time


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_two_at_a_time_make_the_same_trials(cli, suite, monkeypatch):
    monkeypatch.setitem(DATASETS.code, "digits", digits)  # which other processes have whole
    path = suite(epochs=3, trials=11, pruner="median", grid={"method": ["ei", "tdbn"]})
    torch.set_num_threads(2)  # one for each of two processes; one job has one
    assert cli("search", path, "--jobs", 2, "--results", "two").code == 0
    torch.set_num_threads(1)
    assert cli("search", path, "--results", "one").code == 0
    for name in ("ei", "tdbn"):
        assert trials("two", name) == trials("one", name)
        assert studies("two")[name]["winner"] == studies("one")[name]["winner"]


# ---------------------------------------------------------------------------- files that vanish


@pytest.mark.parametrize("content", [None, "", '{"epoch": 1, "cos'])
def test_a_trial_that_lost_its_epochs(cli, suite, content):
    path = suite(trials=2)
    cli("search", path)
    before = trials()
    for epochs in Path("results/tiny/search").glob("*/epochs.jsonl"):
        epochs.unlink() if content is None else epochs.write_text(content)
    done = cli("search", path)
    assert done.code == 0, done
    assert trials() == before


@pytest.mark.parametrize("what", ["journal.log", "the folder"])
def test_files_that_are_deleted_while_it_runs(cli, suite, monkeypatch, what):
    """One message; the same command goes on."""
    path = suite(trials=3)
    folder, count = Path("results/tiny/search"), 0

    def fit(experiment, progress, on_step):
        nonlocal count
        count += 1
        yield from real_fit(experiment, progress, on_step)
        if count == 2:
            if what == "the folder":
                shutil.rmtree(folder)
            else:
                (folder / what).unlink()

    monkeypatch.setattr("eibench.execution.run_one.fit", fit)
    done = cli("search", path)
    assert done.code == 2
    (error,) = done.errors
    assert error.startswith(f"{folder}/journal.log: was deleted or replaced while the search ran")
    assert cli("search", path).code == 0
    assert len(trials()) == 3
