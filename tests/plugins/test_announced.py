"""Plugins are code from others: the files to run are announced before they run."""

from pathlib import Path

import pytest

LOUD = "import sys\nprint('LOUD', file=sys.stderr)\n"


def said(*files):
    return f"running the code of {', '.join(str(Path(file).resolve()) for file in files)}"


@pytest.fixture
def suite(project):
    for name in ("a.py", "b.py"):
        project.write(LOUD, f"sub/{name}")
    Path("sub/link.py").symlink_to("b.py")
    return project.suite("sub/s.yaml", plugins=["a.py", "link.py"])


@pytest.mark.parametrize("verb", ["run", "probe"])
def test_a_suite_names_all_files_before_the_first_one_runs(cli, suite, verb):
    done = cli(verb, suite, "--only", "model.depth=99")
    assert done.code == 2
    first, *rest = done.err.splitlines()
    assert first == said("sub/a.py", "sub/b.py")
    assert rest[:2] == ["LOUD", "LOUD"]


def test_so_does_a_search(cli, project, suite):
    search = {"space": {"train.lr": {"low": 0.1, "high": 1}}, "seeds": [5]}
    project.suite("sub/s.yaml", plugins=["a.py"], search=search)
    done = cli("search", suite, "--export", "x.txt")
    assert done.err.splitlines()[:2] == [said("sub/a.py"), "LOUD"]


@pytest.mark.parametrize(
    "words",
    [
        "check sub/a.py",
        "list methods --plugin sub/a.py",
        "show nothing --plugin sub/a.py",
        "data verify nothing --plugin sub/a.py",
        "data speed nothing --plugin sub/a.py",
    ],
)
def test_so_does_every_command_that_loads_a_plugin(cli, suite, words):
    done = cli(*words.split())
    assert done.err.splitlines()[:2] == [said("sub/a.py"), "LOUD"]


def test_several_plugins_of_a_command_are_one_line(cli, suite):
    done = cli("list", "models", "--plugin", "sub/a.py", "--plugin", "sub/b.py")
    assert done.err.splitlines() == [said("sub/a.py", "sub/b.py"), "LOUD", "LOUD"]


@pytest.mark.parametrize("missing", ["c.py", "no_such_package", "\0.py", "d.py"])
def test_where_one_is_missing_none_runs(cli, project, suite, missing):
    Path("sub/d.py").mkdir()
    done = cli("run", project.suite("sub/s.yaml", plugins=["a.py", missing]))
    assert done.code == 2
    assert len(done.errors) == 1
    assert done.err.splitlines() == [f"error: {done.errors[0]}"]


def test_a_name_cannot_hide_what_runs(cli, project):
    project.write(LOUD, "a\x1b[2K\u202eyp.py")
    done = cli("list", "models", "--plugin", "a\x1b[2K\u202eyp.py")
    assert "a\\x1b[2K\\u202eyp.py" in done.err.splitlines()[0]


def test_nothing_is_said_where_no_code_runs(cli, project, suite):
    assert cli("list", "methods").err == ""
    assert "running" not in cli("run", project.suite("t.yaml"), "--only", "model.depth=99").err


@pytest.mark.parametrize(
    "code",
    [
        "raise SystemExit(0)",
        "raise GeneratorExit",
        "import sys\nsys.exit()",
        "class Odd(BaseException):\n    def __str__(self):\n        raise self\nraise Odd",
        "raise RuntimeError('x' * 10_000_000)",
        "(" * 5000,
        "\0",
        "raise MemoryError",
    ],
)
def test_code_that_fails_in_any_way_is_a_message(cli, project, code):
    done = cli("check", project.write(code, "odd.py"))
    assert done.code == 2
    (line,) = done.errors
    assert line.startswith("odd.py")
    assert len(line) <= 2000
