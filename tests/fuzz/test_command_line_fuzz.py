"""Odd command lines: exit code 0, 1 or 2, a bounded message, never a traceback."""

import random

import pytest
from mutate import ODD, count
from typer.testing import CliRunner

from eibench.cli import app

LONGEST = 20_000
"""Characters of output, of which a usage message in a frame has most."""
PARTS = 5
TEXTS = [
    text for text in ODD if isinstance(text, str) and set(text) - {".", "/"}
]  # no real folders
NUMBERS = [
    "nan",
    "inf",
    "-inf",
    "1e999",
    "0",
    "-1",
    "9" * 400,
    "1_000",
    "0x10",
    "٣",
    "1e3",
    "",
    " ",
]
WORDS = {
    "run": ["--keep", "--set", "--only", "--seeds", "--device", "--results", "--jobs"],
    "probe": ["--steps", "--set", "--only", "--seeds", "--jobs"],
    "search": ["--trials", "--export", "--set", "--jobs"],
    "report": ["--format", "--metric", "--rows", "--columns", "--against", "--out"],
    "plot": ["--metric", "--x", "--by", "--out"],
    "list suites": ["--in", "--json"],
    "list methods": ["--plugin", "--json"],
    "data verify": ["--set", "--data-dir", "--plugin"],
    "data show": ["--timesteps", "--out", "--set"],
    "data speed": ["--seconds", "--batch-size", "--set", "--model"],
    "show": ["--data", "--method", "--set", "--plugin"],
    "check": ["--set"],
    "evaluate": ["--data", "--set", "--timesteps", "--results"],
    "import deepeisnn": ["--config", "--out"],
    "profile": [
        "--model",
        "--image",
        "--depths",
        "--times",
        "--batch-sizes",
        "--classes",
        "--steps",
    ],
    "": ["--version=", "--nothing", "-x"],
}
"""The options of each command."""
SETTINGS = ["model.depth=", "train.lr=", "=", "a" + ".a" * 3000 + "=", "name=", "model=", "."]


def odd(chance):
    """A value for anything."""
    text = chance.choice([*TEXTS, *NUMBERS, *NUMBERS])
    return chance.choice(SETTINGS) + text if chance.random() < 0.3 else text


def command_line(chance):
    verb = chance.choice(list(WORDS))
    words = verb.split()
    words += [odd(chance) for _ in range(chance.choice([0, 1, 1, 2]))]
    for _ in range(chance.choice([0, 1, 1, 2])):
        words += [chance.choice(WORDS[verb]), odd(chance)]
    return [*words, "--image", "x"] if verb == "profile" else words  # never one that is measured


@pytest.mark.parametrize("part", range(PARTS))
def test_an_odd_command_line_is_a_message(part):
    for seed in range(part, count(400), PARTS):
        words = command_line(random.Random(seed))
        done = CliRunner().invoke(app, words)
        shown = f"seed {seed}: {[word[:60] for word in words]}"
        assert done.exception is None or isinstance(done.exception, SystemExit), shown
        assert done.exit_code in (0, 1, 2), shown
        assert "Traceback" not in done.output, shown
        assert len(done.output) < LONGEST, shown
