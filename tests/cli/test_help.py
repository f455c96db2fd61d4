"""`--help`: fits 80 columns, has examples that the command takes, and comes at once."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from eibench.cli import app
from eibench.cli.help import EXAMPLES, START

ROOT = typer.main.get_command(app)
COMMANDS = {name: ROOT.get_command(None, name) for name in ROOT.list_commands(None)}
GROUPS = {name: one for name, one in COMMANDS.items() if hasattr(one, "commands")}
VERBS = [[name] for name in COMMANDS] + [
    [group, name] for group, one in GROUPS.items() for name in one.commands
]


@pytest.mark.parametrize("verb", [[], *VERBS], ids=" ".join)
def test_help_fits_80_columns_and_cuts_nothing(cli, verb):
    done = cli(*verb, "--help")
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= 80
    cut = [line for line in done.out.splitlines() if line.endswith("...")]
    assert all(line.startswith("Usage") for line in cut)


def test_every_command_has_examples():
    assert EXAMPLES.keys() == COMMANDS.keys()


@pytest.mark.parametrize("example", [line for lines in EXAMPLES.values() for line in lines])
def test_an_example_is_taken_by_its_command(cli, example, monkeypatch):
    """Parsed to the end; nothing is run."""
    Path("results").mkdir()
    program, name, *words = shlex.split(example)
    assert program == "eibench"
    command = COMMANDS[name]
    if name in GROUPS:
        command, words = GROUPS[name].commands[words[0]], words[1:]
    command.make_context(name, words, parent=typer.Context(ROOT))


def test_the_first_examples_are_of_real_commands():
    for line in START:
        assert line.split()[0] == "eibench"
        assert line.split()[1] in (*COMMANDS, "COMMAND")


def test_help_loads_little():
    """Not what takes half a second: the classes of all options, rich."""
    code = """
import sys
from eibench.cli import app
for words in (["--help"], ["run", "--help"], ["search", "--help"], ["report", "--help"]):
    try:
        app(words)
    except SystemExit:
        pass
print("loaded:", *({"yaml", "eibench.plan", "rich.console"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["loaded:"]
