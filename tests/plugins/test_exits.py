"""Plugins that would end the program, or whose errors have no text: a failed contract, an error
row, a non-zero exit, never a traceback."""

import json
from pathlib import Path

import pytest

PLUGIN = """
from dataclasses import dataclass

from eibench.methods import Method
from eibench.plan.options import MethodOptions
from eibench.plugins import add_method


class Odd(BaseException):
    pass


class Mute(Exception):
    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


class Number(Exception):
    def __str__(self):
        return 3


class Leaving(Exception):
    def __str__(self):
        raise SystemExit(0)


class ExitOptions(MethodOptions):
    \"\"\"A method that exits.\"\"\"

    name = "hostile"


@dataclass(frozen=True, kw_only=True)
class Exit(Method):
    def conv(self, *args, **kwargs):
        raise ERROR

    def readout(self, *args, **kwargs):
        raise ERROR


add_method(ExitOptions, Exit)
"""
NO_TEXT = "(its text cannot be read)"
ERRORS = {
    "SystemExit(0)": "SystemExit: 0",
    "SystemExit": "SystemExit",
    "GeneratorExit()": "GeneratorExit",
    "Odd('x')": "Odd: x",
    "Mute()": f"Mute: {NO_TEXT}",
    "Number()": f"Number: {NO_TEXT}",
    "Leaving()": f"Leaving: {NO_TEXT}",
    "BaseExceptionGroup('all', [SystemExit(0)])": "BaseExceptionGroup: all",
    "ArithmeticError('x' * 10**6)": "ArithmeticError: xxx",
}


@pytest.fixture
def write(project):
    def call(error, text=PLUGIN):
        project.write(text.replace("ERROR", error), "odd.py")
        return project.suite(plugins=["odd.py"], base={"method": "hostile"}, grid={})

    return call


@pytest.mark.parametrize("error", ERRORS)
def test_check(cli, write, error):
    write(error)
    done = cli("check", "odd.py")
    assert done.code == 1, done
    assert f": {ERRORS[error]}" in done.out
    assert len(done.out) < 100_000


@pytest.mark.parametrize("error", ERRORS)
def test_run(cli, project, write, error):
    """What is no `Exception` is the run's; other errors refuse the suite, as ever."""
    path = write(error)
    done = cli("run", path)
    if "Exit" in error or "Odd" in error:
        assert done.code == 1, done
        (record,) = project.records().values()
        assert record["status"] == "error"
        assert record["reason"].startswith(ERRORS[error])
        assert ERRORS[error] in done.out
    else:
        assert done.code == 2, done
        (line,) = done.errors
        assert f": {ERRORS[error]}" in line
        assert not Path("results").exists()


WORKING = """def conv(self, c_in, c_out, kernel, *, stride=1, branches=1, summed=1):
        conv = nn.Conv2d(c_in, c_out, kernel, stride=stride, padding=kernel // 2)
        return TimeDistributed(conv)

    def readout(self, features, classes):
        return nn.Linear(features, classes)

    def PLACE:
        raise ERROR"""
BROKEN = """def conv(self, *args, **kwargs):
        raise ERROR

    def readout(self, *args, **kwargs):
        raise ERROR"""
LATER = "from torch import nn\nfrom eibench.nn import TimeDistributed\n" + PLUGIN.replace(
    BROKEN, WORKING
)
"""The same method, which works up to the place where it raises."""


@pytest.mark.parametrize(
    "place", ["prepare(self, model, batch, generator)", "project(self, model)"]
)
@pytest.mark.parametrize("error", ["SystemExit(0)", "Mute()", "Odd('x')"])
def test_later_in_a_run(cli, project, write, place, error):
    done = cli("run", write(error, LATER.replace("PLACE", place)))
    assert done.code == 1, done
    (record,) = project.records().values()
    assert (record["status"], record["reason"]) == ("error", ERRORS[error])
    assert "traceback" in record


def test_in_a_search(cli, write, project):
    write("SystemExit(0)", LATER.replace("PLACE", "project(self, model)"))
    space = {"train.lr": {"choices": [0.1, 0.2]}}
    section = {"space": space, "sampler": "grid", "seeds": [7]}
    base = {"method": "hostile"}
    path = project.suite(plugins=["odd.py"], base=base, grid={}, search=section)
    done = cli("search", path)
    assert done.code == 1, done
    (study,) = json.loads(Path("results/tiny/search/plan.json").read_text())["studies"]
    assert [trial["reason"] for trial in study["trials"]] == ["error: SystemExit: 0"] * 2


@pytest.mark.parametrize("error", ["SystemExit(0)", "GeneratorExit()", "Odd('x')", "Mute()"])
def test_at_import(cli, write, error):
    path = write(error, PLUGIN + "\nraise ERROR\n")
    for words in (["check", "odd.py"], ["run", path]):
        done = cli(*words)
        assert done.code == 2, done
        (line,) = done.errors
        assert ERRORS[error] in line


@pytest.mark.parametrize("what", ["label", "summary", "same_as"])
def test_in_what_the_options_say(cli, write, what):
    kind = "classmethod" if what == "summary" else "property"
    text = PLUGIN.replace(
        '    name = "hostile"\n', f'    name = "hostile"\n\n    @{kind}\n    def {what}(self):\n'
        "        raise ERROR\n"
    )  # fmt: skip
    path = write("SystemExit(0)", text)
    for words in (["check", "odd.py"], ["run", path]):
        done = cli(*words)
        assert done.code in (1, 2), done
        assert "SystemExit: 0" in done.out + done.err
