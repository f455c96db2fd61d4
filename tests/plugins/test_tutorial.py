"""The tutorial's commands have the output that it shows."""

import re
from pathlib import Path

import pytest
import yaml

TEXT = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text()
CONSOLE = "".join(re.findall(r"```console\n(.*?)```", TEXT, re.S))
SHOWN = dict(re.findall(r"^\$ eibench (.*)\n((?:(?!\$).*\n)*)", CONSOLE, re.M))
CHECKS = [words for words in SHOWN if words.startswith("check")]


def test_the_method_is_written_in_under_40_lines(tutorial):
    assert len(tutorial["my_norm.py"].splitlines()) < 40
    assert len(tutorial["mine.yaml"].splitlines()) <= 10
    assert len(CHECKS) == 3


@pytest.mark.parametrize("words", CHECKS)
def test_checks_print_what_the_tutorial_shows(cli, tutorial, words):
    done = cli(*words.split())
    code = Path(words.split()[1]).resolve()
    assert (done.code, done.err) == (0, f"running the code of {code}\n")
    assert SHOWN[words].startswith(done.out)


def test_the_failing_check_prints_what_the_tutorial_shows(cli, broken):
    done = cli("check", broken("my_norm.py", "(square + self.eps)", "square"))
    assert done.code == 1
    failures = re.search(r"  FAILS  .*\n         .*\n", done.out)[0]
    assert f"```console\n{failures}```" in TEXT
    assert done.out.count("FAILS") == 1


def heads(text):
    """The words between the title of the table and its first row."""
    return text.partition(": test accuracy (%)\n")[2].partition("----")[0].split()


def test_the_suite_runs_and_reports(cli, tutorial):
    small = ["--set", "train.epochs=1", "--set", "model.width=4", "--set", "timesteps=2"]
    run = cli("run", "mine.yaml", *small)
    assert run.code == 0
    shown = SHOWN["run mine.yaml"]
    assert run.out.splitlines()[0] == shown.splitlines()[0]
    assert heads(run.out) == heads(shown)
    assert "difference to" in shown
    report = cli("report", "results/mine", "--format", "markdown")
    assert report.code == 0
    assert re.search(r"^\| rmsnorm +\|", report.out, re.M)
    assert re.search(r"Plugin: `my_norm.py \(sha256 [0-9a-f]{16}\)`", report.out)


def test_shown_runs_have_the_ids_of_the_suite(tutorial):
    from eibench.plan import load_plan

    shown = re.findall(r"\] (\S+)  ", SHOWN["run mine.yaml"])
    assert shown == [run.run_id for run in load_plan(Path("mine.yaml"), []).runs]


def test_a_model_and_data_of_ones_own_in_one_suite(cli, project, tutorial):
    suite = {
        "name": "own",
        "title": "All of it",
        "plugins": ["my_norm.py", "my_data.py", "my_model.py"],
        "base": {
            "method": "rmsnorm",
            "model": {"name": "two_roads", "width": 4},
            "data": "stripes",
            "train": {"epochs": 1},
            "timesteps": 2,
        },
    }
    project.write(yaml.safe_dump(suite, sort_keys=False), "own.yaml")
    done = cli("run", "own.yaml")
    assert done.code == 0, done.err
    (run_id,) = project.records("own")
    spec = yaml.safe_load(Path("results/own", run_id, "spec.yaml").read_text())
    assert spec["plugins"].keys() == {"method", "model", "data"}
    assert spec["plugins"]["model"].startswith("my_model.py (sha256 ")
