"""`eibench list`, `doctor`, `--version`, `-h`, and how fast they answer."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import eibench
from eibench.plan import DATASETS, METHODS, MODELS
from eibench.plan.find import shipped_folder, suite_files
from eibench.version import __version__

REGISTRIES = {"methods": METHODS, "models": MODELS, "datasets": DATASETS}


@pytest.mark.parametrize("kind", REGISTRIES)
def test_list_as_text(cli, kind):
    done = cli("list", kind)
    assert (done.code, done.err) == (0, "")
    shown = [line for line in done.out.splitlines() if not line.startswith(" ")]  # no presets
    lines = dict(line.split(maxsplit=1) for line in shown)
    assert lines == {name: cls.summary() for name, cls in REGISTRIES[kind].items()}


@pytest.mark.parametrize("kind", REGISTRIES)
def test_list_as_json(cli, kind):
    done = cli("list", kind, "--json")
    assert (done.code, done.err) == (0, "")
    entries = [entry for entry in json.loads(done.out) if "preset" not in entry]
    assert {entry["name"] for entry in entries} == REGISTRIES[kind].keys()
    assert all(list(entry) == ["name", "summary"] for entry in entries)


@pytest.mark.parametrize("kind", REGISTRIES)
def test_a_suite_can_name_everything_in_the_list(cli, kind):
    """The list is of the options; what carries them out is registered under the same names."""
    names = [entry["name"] for entry in json.loads(cli("list", kind, "--json").out)]
    assert set(names) == REGISTRIES[kind].code.keys()


def test_the_list_of_methods_begins_with_the_question(cli):
    entries = json.loads(cli("list", "methods", "--json").out)
    names = list(dict.fromkeys(entry["name"] for entry in entries))
    assert names[:2] == ["ei", "batchnorm"]
    assert names[2:] == [name for name in METHODS if name not in names[:2]]


def test_the_order_does_not_depend_on_what_was_imported_first():
    code = "from eibench.methods import without_norm; from eibench.plan import METHODS\n"
    code += "print(*METHODS)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(METHODS)
    assert done.stdout.startswith("dann ei batchnorm ")


def test_list_suites(cli, project):
    project.suite("suites/b.yaml", title="Second")
    project.suite("suites/a.yml", title="First: one")
    project.write("notes", "suites/README.md")
    own = [{"name": "a", "summary": "First: one"}, {"name": "b", "summary": "Second"}]
    assert json.loads(cli("list", "suites", "--json", "--in", "suites").out) == own
    entries = json.loads(cli("list", "suites", "--json").out)
    assert entries[:2] == own
    assert [entry["name"] for entry in entries[2:]] == SHIPPED


def test_list_suites_elsewhere(cli, project):
    project.suite("mine/a.yaml")
    assert cli("list", "suites", "--in", "mine").out == "a  A tiny suite\n"


def test_list_suites_shows_a_broken_one_on_one_line(cli, project):
    project.suite("suites/good.yaml")
    project.write("nmae: x\nbase: 3\n", "suites/broken.yaml")
    done = cli("list", "suites", "--in", "suites")
    assert done.code == 0
    assert len(done.out.splitlines()) == 2
    assert "broken  (invalid: " in done.out
    assert "good    A tiny suite" in done.out


def test_no_such_folder_of_suites(cli):
    done = cli("list", "suites", "--in", "nowhere")
    assert done.code == 2
    assert done.errors == ["nowhere: no such folder; name the one that holds suites with --in"]


def test_without_a_folder_of_suites_those_of_eibench_are_listed(cli):
    assert [line.split()[0] for line in cli("list", "suites").out.splitlines()] == SHIPPED


def test_an_empty_folder_of_suites(cli):
    Path("suites").mkdir()
    assert cli("list", "suites", "--in", "suites").out == ""
    assert json.loads(cli("list", "suites", "--in", "suites", "--json").out) == []


def test_version(cli):
    done = cli("--version")
    assert (done.code, done.out) == (0, f"eibench {__version__}\n")


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize(
    "verb",
    [[], ["run"], ["report"], ["plot"], ["list"], ["show"], ["data"], ["check"], ["doctor"]],
)
def test_help(cli, verb, flag):
    done = cli(*verb, flag)
    assert (done.code, done.err) == (0, "")
    assert "Usage" in done.out


def test_help_of_run_names_its_options(cli):
    out = cli("run", "-h").out
    options = ["--set", "--only", "--seeds", "--device", "--results", "--dry-run", "--fail-fast"]
    assert all(option in out for option in options)


def test_doctor(cli, project):
    done = cli("doctor")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert all(line.startswith("ok   ") for line in lines)
    assert lines[0].startswith(f"ok   eibench {__version__}, Python ")
    assert lines[-2].endswith("/datasets: none (`eibench data fetch NAME`)")
    for word in ("torch ", "CPU: a training step works", "CUDA", "cores usable", "can write here"):
        assert word in done.out
    assert project.files() == {}


def test_doctor_says_when_a_training_step_fails(cli, monkeypatch):
    def broken(*_):
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr("eibench.nn.initialize", broken)
    done = cli("doctor")
    assert done.code == 1
    assert "BAD  CPU: a training step failed: no kernel image is available" in done.out


def test_doctor_says_when_torch_is_missing(cli, monkeypatch):
    from eibench.execution import environment

    real = environment.package_version
    monkeypatch.setattr(
        environment, "package_version", lambda name: None if name == "torch" else real(name)
    )
    done = cli("doctor")
    assert done.code == 1
    assert "BAD  not installed: torch" in done.out


# --------------------------------------------------------------------------- start-up

SHIPPED = [path.stem for path in suite_files(shipped_folder())]
HEAVY = {"torch", "torchvision", "pandas", "sklearn", "scipy", "matplotlib", "optuna"}
LIGHT = [
    [
        ["--help"],
        ["--version"],
        ["run", "-h"],
        ["list", "-h"],
        ["data", "-h"],
        ["show", "-h"],
        ["show", "x"],
    ],
    [["list", kind, "--json"] for kind in REGISTRIES],
    [["list", "suites"], ["run", "typo.yaml"], ["run", "broken.yaml"], ["run", "x", "--seeds=a"]],
]


@pytest.mark.parametrize("commands", LIGHT, ids=["help", "list", "bad suites"])
def test_commands_that_answer_at_once(project, commands):
    """In a fresh interpreter: none of these loads what takes seconds to load."""
    project.suite("suites/a.yaml")
    project.write("name: 3\n", "broken.yaml")
    code = f"""
import sys
from eibench.cli import app
for words in {commands!r}:
    try:
        app(words)
    except SystemExit:
        pass
print("loaded:", *({HEAVY!r} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["loaded:"]
    assert "Traceback" not in done.stderr


def test_the_package_itself_is_light():
    code = f"import sys, eibench; print(*({HEAVY!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_package_has_what_it_names():
    assert set(eibench.__all__) == {
        "__version__",
        "load_epochs",
        "load_layers",
        "load_model",
        "load_results",
        "nn",
    }
    assert eibench.nn.LIF
    assert eibench.load_results.__module__ == "eibench.results.frame"
    assert eibench.load_layers.__module__ == "eibench.results.frame"
    with pytest.raises(AttributeError, match="no attribute 'NN'"):
        eibench.NN  # noqa: B018


def test_as_a_module():
    command = [sys.executable, "-m", "eibench", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"eibench {__version__}\n"
