"""Damaged suites: each is planned, or refused in one bounded message that names the file."""

import random
import time
from pathlib import Path

import pytest
import yaml
from mutate import as_json, count, mutated_bytes, mutated_data

from eibench.errors import LONGEST_LINE, MOST_LINES, UserError
from eibench.plan import load_plan
from eibench.plan.read_search import load_search

SUITES = Path(__file__).parents[2] / "suites"
FILE = Path("damaged.yaml")
SECONDS = 5
"""For a suite; most take some hundredths."""
PARTS = 10
"""Tests that share the work."""
LONGEST = 1400
"""Bytes of a suite: half of the time goes into reading YAML."""
REFERENCES = 3
"""Entries of the file of references."""


def small(data):
    """A suite with two values of each axis, so that planning it takes no time."""
    for part in ("grid", "zip"):
        for key, values in data.get(part, {}).items():
            data[part][key] = values[:2]
    return {**data, "seeds": data.get("seeds", [0])[:2]}


def load(path):
    """A committed YAML file as text and as data; the smaller ones are enough."""
    text = path.read_bytes()
    return text, yaml.load(text, yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader)


@pytest.fixture(scope="module")
def suites():
    """The committed suites, as text and as small data."""
    paths = sorted(path for path in SUITES.glob("*.yaml") if path.stem != "references")
    found = [load(path) for path in paths]
    return [(text, small(data)) for text, data in found if len(text) < LONGEST]


@pytest.fixture
def references():
    """A short file of published numbers, which some of the suites name."""
    _, data = load(SUITES / "references.yaml")
    known = data["published"][:REFERENCES]
    sources = {entry["source"]: data["sources"][entry["source"]] for entry in known}
    Path("references.yaml").write_bytes(as_json({"sources": sources, "published": known}))


def plan(path):
    """Plan a suite by the command that it is for."""
    try:
        load_plan(path, [])
    except UserError as error:
        if "this suite has a search" not in str(error):
            raise
        load_search(path, [])


def check_refusal(error):
    text = str(error)
    lines = text.split("\n")
    assert FILE.stem in text or "references.yaml" in text, text
    assert len(lines) <= MOST_LINES + 1
    assert all(line and line.isprintable() and len(line) <= LONGEST_LINE for line in lines), text


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.usefixtures("references")
def test_a_damaged_suite_is_planned_or_refused(part, suites):
    for seed in range(part, count(2000), PARTS):
        chance = random.Random(seed)
        text, data = chance.choice(suites)
        if chance.random() < 0.4:
            FILE.write_bytes(mutated_bytes(text, chance))
        else:
            FILE.write_bytes(as_json(mutated_data(data, chance)))
        began = time.process_time()
        try:
            plan(FILE)
        except UserError as error:
            check_refusal(error)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        assert time.process_time() - began < SECONDS, f"seed {seed}"
