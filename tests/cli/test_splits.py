"""Suites with `splits: by_seed` through the real command line."""

import json
import shutil
from pathlib import Path

import pytest

from eibench.data.digits import digits
from eibench.execution.dataset_cache import load_checked
from eibench.plan.options.data import DigitsOptions
from eibench.report.model.suite_results import read_suite

BY_SEED = {"data": {"name": "digits", "splits": "by_seed"}}


@pytest.fixture
def suite(project):
    return project.suite(base=BY_SEED, grid={"method": ["ei", "batchnorm"]}, seeds=[3, 4])


def expected(seed):
    return load_checked(DigitsOptions(splits="by_seed"), 4, seed)


def test_each_seed_has_its_splits_under_every_method(cli, project, suite, few_digits):
    done = cli("run", suite)
    assert (done.code, done.err) == (0, "")
    records = list(project.records().values())
    found = {(r["fields"]["method"], r["fields"]["seed"]): r["result"] for r in records}
    for (_, seed), result in found.items():
        assert result["data_digest"] == expected(seed).digest != few_digits.digest
        assert (result["test_images"], result["classes"]) == (len(few_digits.test), 10)
    assert len(found) == 4 and len({r["data_digest"] for r in found.values()}) == 2
    report = cli("report", "results/tiny")
    assert report.code == 0 and "MIXED DATA" not in report.out
    runs = read_suite(Path("results/tiny")).runs
    assert [run.result["test_images"] for run in runs] == [len(few_digits.test)] * 4


def test_other_images_under_one_seed_are_still_told(cli, project, suite):
    cli("run", suite)
    path = next(Path("results/tiny").glob("*/record.json"))
    record = json.loads(path.read_text())
    record["result"]["data_digest"] = "0" * 16
    path.write_text(json.dumps(record))
    assert "MIXED DATA" in cli("report", "results/tiny").out


def test_a_run_that_was_stopped_goes_on_with_its_splits(cli, project, monkeypatch):
    from eibench.execution import run_one

    suite = project.suite(base={**BY_SEED, "train": {"epochs": 3}}, grid={}, seeds=[4])
    cli("run", suite)
    (whole,) = project.records().values()
    shutil.rmtree("results")
    real, began = run_one.fit, []

    def stopped(experiment, progress, on_step):
        for record in real(experiment, progress, on_step):
            yield record
            raise KeyboardInterrupt

    def seen(experiment, progress, on_step):
        began.append(len(progress.history))
        return real(experiment, progress, on_step)

    monkeypatch.setattr(run_one, "fit", stopped)
    assert cli("run", suite).code == 130
    monkeypatch.setattr(run_one, "fit", seen)
    assert cli("run", suite).code == 0
    (again,) = project.records().values()
    assert began == [1] and again["result"] == whole["result"]


def test_trials_and_winners_have_the_splits_of_their_seeds(cli, project):
    space = {"train.lr": {"choices": [0.1, 0.2]}}
    search = {"space": space, "trials": 1, "seeds": [1000, 1001]}
    cli("search", project.suite(base=BY_SEED, grid={}, search=search, seeds=[0]))
    records = {**project.records("tiny/search"), **project.records()}.values()
    found = {r["fields"]["seed"]: r["result"]["data_digest"] for r in records}
    assert found == {seed: expected(seed).digest for seed in (1000, 1001, 0)}


def test_show_and_verify(cli):
    by_seed = ("data", "show", "digits", "--set", "splits=by_seed")
    for words, seed in ((by_seed, 0), ((*by_seed, "--seed", "4"), 4)):
        assert f"digest      {expected(seed).digest}\n" in cli(*words).out
    assert cli("data", "verify", "digits", "--set", "splits=by_seed").out == "digits: complete\n"


def test_a_dry_run_estimates_and_a_probe_measures(cli, project, suite):
    done = cli("run", suite, "--dry-run")
    assert (done.code, done.err) == (0, "")
    assert cli("probe", suite).code == 0
    records = project.records("tiny-probe").values()
    found = {(r["fields"]["seed"], r["result"]["data_digest"]) for r in records}
    assert found == {(seed, expected(seed).digest) for seed in (3, 4)}


def test_a_typo_names_file_line_and_values(cli, project):
    suite = project.suite(base={"data": {"name": "digits", "splits": "by_sed"}})
    done = cli("run", suite)
    assert done.code == 2
    (error,) = done.errors
    line = suite.read_text().splitlines().index("    splits: by_sed") + 1
    assert error == (
        f"tiny.yaml:{line}: base.data.splits: must be 'fixed' or 'by_seed', not 'by_sed'; did you "
        "mean 'by_seed'?"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_worker_processes_draw_the_same(cli, project, suite):
    """They load all the digits, unlike this process."""
    cli("run", suite, "--jobs", "2")
    records = project.records().values()
    found = {(r["fields"]["seed"], r["result"]["data_digest"]) for r in records}
    assert len(found) == 2 and all(r["result"]["test_images"] == 360 for r in records)
    assert len(digits().test) == 360


DATA = "my_data.py"


def stripes():
    """The tutorial's data set, with the other base class."""
    text = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text()
    code = text.partition(f"`{DATA}`:\n\n```python\n")[2].partition("```")[0]
    code = code.replace("(DataOptions)", "(DividedOptions)")
    return code.replace("options import DataOptions", "options.data import DividedOptions")


def test_a_plugin_needs_one_other_base_class(cli, project):
    project.write(stripes(), DATA)
    shown = ("data", "show", "stripes", "--plugin", DATA, "--set", "splits=by_seed")
    first, second = (cli(*shown, "--seed", str(seed)) for seed in (0, 1))
    assert first.code == second.code == 0
    digests = {
        line for done in (first, second) for line in done.out.splitlines() if "digest" in line
    }
    assert len(digests) == 2
    assert cli("check", DATA, "--set", "splits=by_seed").code == 0


def test_a_plugin_may_not_divide_other_splits(cli, project):
    code = stripes().replace("    noise: float", '    divided = ("train", "dev")\n    noise: float')
    project.write(code, DATA)
    done = cli("check", DATA)
    assert done.code == 2
    assert done.errors[0].endswith(
        "StripesOptions: `divided` is ('train', 'dev'); it must be ('train', 'validation') or "
        "('train', 'validation', 'test')"
    )
