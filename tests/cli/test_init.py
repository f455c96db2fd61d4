"""`eibench init`: a suite to edit."""

from pathlib import Path

import pytest

from eibench.plan import load_plan
from eibench.plan.find import find_suite, shipped_folder


def shipped(name):
    return (shipped_folder() / f"{name}.yaml").read_text()


def test_a_copy_goes_before_the_shipped_suite(cli):
    done = cli("init", "quickstart")
    assert (done.code, done.err) == (0, "")
    assert done.out == "suites/quickstart.yaml; `eibench run quickstart` uses it\n"
    assert Path("suites/quickstart.yaml").read_text() == shipped("quickstart")
    assert find_suite("quickstart") == Path("suites/quickstart.yaml")


def test_a_copy_under_another_name(cli):
    """Its comments stay, and its runs are those of the original."""
    assert cli("init", "quickstart", "mine").code == 0
    text = shipped("quickstart").replace("name: quickstart\n", "name: mine\n")
    assert Path("suites/mine.yaml").read_text() == text
    plans = [load_plan(find_suite(name), []) for name in ("quickstart", "mine")]
    assert [plan.name for plan in plans] == ["quickstart", "mine"]
    assert plans[0].runs == plans[1].runs
    assert "about" in cli("run", "mine", "--dry-run", "--only", "method=batchnorm").out


@pytest.mark.parametrize("name", ["123", "1e3", "1.5", "true", "null"])
def test_a_name_that_reads_as_something_else(cli, name):
    assert cli("init", "quickstart", name).code == 0
    assert load_plan(Path(f"suites/{name}.yaml"), []).name == name


def test_published_numbers_come_along(cli):
    done = cli("init", "cifar10")
    assert done.out.splitlines()[1] == "suites/references.yaml"
    assert load_plan(Path("suites/cifar10.yaml"), []).references
    assert cli("init", "cifar10", "more").out.count("references") == 0


def test_a_search_is_searched(cli):
    assert "`eibench search mine`" in cli("init", "ei_init_search", "mine").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["quickstrat"],
            "quickstrat: eibench has no suite of this name; did you mean 'quickst",
        ),
        (["zzz"], "zzz: eibench has no suite of this name; allowed: all_methods, balance_probe, "),
        (["quickstart", "a/b"], "NAME must be letters, digits, `_`, `.` and `-`, not 'a/b'"),
        (["quickstart", "con"], "NAME 'con' cannot be a folder's name on every system"),
    ],
)
def test_bad_names(cli, project, words, message):
    done = cli("init", *words)
    assert done.code == 2
    assert done.errors[0].startswith(message)
    assert project.files() == {}


def test_nothing_is_written_over(cli, project):
    project.suite("suites/quickstart.yaml")
    before = project.files()
    done = cli("init", "quickstart")
    assert done.code == 2
    assert done.errors == [
        "suites/quickstart.yaml: exists; `eibench init quickstart NAME` copies to another name"
    ]
    assert project.files() == before
