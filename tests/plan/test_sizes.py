"""Huge suites: counted before anything is built, and refused in one message that names a limit."""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eibench.errors import BadSuite, UserError
from eibench.plan import load_plan
from eibench.plan.read_search import load_search
from eibench.plan.yaml_source import parse

SECONDS = 6
"""Of processor time, several times what the slowest needs here."""
MEMORY = 2**30
"""Address space of a process that plans all of them: twice what a small suite needs."""
BASE = {
    "method": "batchnorm",
    "model": {"name": "mlp", "depth": 1, "width": 8},
    "data": "digits",
    "train": {"epochs": 1, "batch_size": 256},
}
MANY = list(range(1, 100_001))
TEN = list(range(1, 11))
AXES = ["train.epochs", "train.batch_size", "model.depth", "model.width", "timesteps"]


def suite(**changes):
    base = {**BASE, **changes.pop("base", {})}
    return json.dumps({"name": "x", "title": "X", "base": base, **changes})


def search(space, **options):
    return suite(search={"seeds": [5], "trials": 3, "space": space, **options})


def network(**model):
    return suite(base={"model": model})


STEPS = {"low": 0, "high": 1, "step": 0.001}
FACTORS = {f"factor {i}": {f"key{i}": i} for i in range(300)}
TOO_MANY_VALUES = "too many keys and values; at most 10,000"
TOO_MANY_RUNS = "the axes and seeds combine to more than 10,000 runs"
HOSTILE = {
    "grid 1e5": (suite(grid=dict.fromkeys(AXES, TEN)), TOO_MANY_RUNS),
    "grid 1e50": (suite(grid={f"a{i}": TEN for i in range(50)}), TOO_MANY_RUNS),
    "grid and seeds": (suite(grid={"train.epochs": list(range(1, 200))}, seeds=list(range(100))),
                       TOO_MANY_RUNS),
    "zip": (suite(zip={"train.epochs": list(range(1, 200))}, seeds=list(range(100))),
            TOO_MANY_RUNS),
    "pairs": (suite(ablate=FACTORS, ablate_pairs=True), TOO_MANY_RUNS),
    "ablations": (suite(ablate={str(i): {"a": i} for i in range(1001)}),
                  "ablate: must have at most 1000"),
    "values of an axis": (suite(grid={"train.epochs": MANY}), "larger than 256 KiB"),
    "values of an axis, fewer": (suite(grid={"train.epochs": MANY[:11_000]}), TOO_MANY_VALUES),
    "equal values": (suite(grid={"train.epochs": [1] * 9000}), "1 is listed twice"),
    "unequal lists": (suite(grid={"a": [[[i]] for i in range(3000)]}, seeds=[1, 2, 3, 4]),
                      TOO_MANY_RUNS),
    "seeds": (suite(seeds=list(range(11_000))), TOO_MANY_VALUES),
    "axes": (suite(grid={f"a{i}": [1] for i in range(101)}), "grid: must have at most 100"),
    "unknown keys": (suite(**{f"k{i}": i for i in range(4900)}), "unknown key"),
    "unknown fields": (suite(base={f"k{i}": i for i in range(4900)}), "unknown key"),
    "unknown options": (network(name="mlp", **{f"k{i}": i for i in range(4900)}), "unknown key"),
    "a fault in each run": (suite(base={"timesteps": 0}, grid={"train.epochs": MANY[:9000]}),
                            "must be at least 1, not 0"),
    "clauses": (suite(grid={"train.epochs": list(range(1, 5000))},
                      exclude=[{"timesteps": i} for i in range(900)]),
                "4,999 runs and 900 clauses"),
    "plugins": (suite(plugins=["x"] * 101), "must have at most 100, not 101"),
    "brackets": ("[" * 5000, "f.yaml:1: lists or mappings nested too deeply"),
    "braces": ("{a: " * 5000, "nested too deeply; at most 20 levels"),
    "dashes": ("- " * 5000, "nested too deeply"),
    "question marks": ("? " * 5000, "nested too deeply"),
    "brackets in a value": (f"a: {'[' * 300}{']' * 300}\n", "f.yaml:1: lists or mappings nested"),
    "laughs": ("a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "anchors and aliases"),
    "a long anchor": (f"a: &{'x' * 200_000} 1", "anchors and aliases"),
    "merge keys": (suite().replace('{"name"', '{"<<": {"a": 1}, "name"', 1), "unknown key"),
    "a long text": ("a: " + "x" * 2**20, "larger than 256 KiB"),
    "a long title": (suite(title="x y " * 30_000, seeds="x" * 100_000), "must be a list"),
    "many lines": ("\n" * 2**20, "larger than 256 KiB"),
    "fewer lines": ("\n" * 250_000, "must be a mapping"),
    "a long number": (suite(base={"timesteps": "@"}).replace('"@"', "9" * 5000), "whole number"),
    "a number beyond floats": (suite(base={"train": {"lr": 10**400}}), "must be a number"),
    "keys of many parts": (suite(grid={"a." * 300 + "a": [1, 2]}), "a key has at most 20 parts"),
    "int range": (search({"train.epochs": {"low": 1, "high": 2**31 - 1}}), "at most 100,000"),
    "log range": (search({"train.epochs": {"low": 1, "high": 2**31 - 1, "log": True}}),
                  "at most 100,000"),
    "tiny step": (search({"train.lr": {"low": 0, "high": 1, "step": 1e-9}}), "at most 100,000"),
    "least step": (search({"train.lr": {"low": 0, "high": 1, "step": 5e-324}}), "at most 100,000"),
    "step that adds nothing": (search({"train.lr": {"low": 1e6, "high": 1e6 + 0.01, "step": 1e-6}}),
                               "too small to tell values apart"),
    "overflow": (search({"train.lr": {"low": -1e308, "high": 1, "step": 1}}), "at most 1e+100"),
    "wide range": (search({"train.lr": {"low": -1e308, "high": 1e308}}), "at most 1e+100"),
    "wide whole range": (search({"train.lr": {"low": -(10**308), "high": 10**308}}), "wider than"),
    "choices": (search({"train.lr": {"choices": MANY[:1001]}}), "at most 1000, not 1001"),
    "grid of a search": (search({"train.lr": STEPS, "train.momentum": STEPS}, sampler="grid"),
                         "more than 100,000 points"),
    "search seeds": (search({"train.lr": STEPS}, seeds=list(range(1001))), "at most 1000"),
    "depth": (network(name="plain", depth=10**6), "must be at most 2000, not 1000000"),
    "depth of an mlp": (network(name="mlp", depth=10**6), "must be at most 2000, not 1000000"),
    "width": (network(name="resnet", width=2**31 - 1), "must be at most 65536, not 2147483647"),
    "layout": (network(name="vgg", layout="64 " * 80_000), "at most 2000 entries, not 80000"),
    "layout's width": (network(name="vgg", layout="64 2147483647"), "widths (1 to 65536)"),
    "timesteps": (suite(base={"timesteps": 2**31 - 1}), "must be at most 100000"),
    "batch": (suite(base={"train": {"batch_size": 10**30}}), "must be at most 2147483647"),
}  # fmt: skip


def plan(text):
    Path("f.yaml").write_text(text)
    (load_search if '"search"' in text else load_plan)(Path("f.yaml"), [])


@pytest.mark.parametrize("name", HOSTILE)
def test_refused_at_once(name):
    text, word = HOSTILE[name]
    began = time.process_time()
    with pytest.raises(UserError) as caught:
        plan(text)
    assert time.process_time() - began < SECONDS
    assert word in str(caught.value)
    assert "f.yaml" in str(caught.value)


def test_refused_in_bounded_memory():
    """All of them, one after the other, in a process with little memory."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_sizes import HOSTILE, UserError, plan\n"
        "for text, _ in HOSTILE.values():\n"
        "    try: plan(text)\n"
        "    except UserError: continue\n"
        "    sys.exit('not refused')\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)],
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )


@pytest.mark.parametrize("kind", ["device", "fifo", "folder", "large"])
@pytest.mark.parametrize("place", ["suite", "references", "plugins"])
def test_what_is_no_file_of_usual_size_is_refused(place, kind, tmp_path):
    path = tmp_path / {"suite": "s.yaml", "references": "r.yaml", "plugins": "p.py"}[place]
    if kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(2**40)
    named = {"references": str(path)} if place == "references" else {"plugins": [str(path)]}
    Path("f.yaml").write_text(suite(**named))
    with pytest.raises(UserError) as caught:
        load_plan(path if place == "suite" else Path("f.yaml"), [])
    word = {"folder": "Is a directory", "large": "it is larger than"}
    assert f"{path}: cannot be read: {word.get(kind, 'it is not a regular file')}" in str(
        caught.value
    )


def test_a_plan_of_many_runs_is_planned():
    text = suite(grid={"train.epochs": list(range(1, 501))}, seeds=list(range(10)),
                 exclude=[{"train.epochs": i} for i in range(1, 51)])  # fmt: skip
    Path("f.yaml").write_text(text)
    assert len(load_plan(Path("f.yaml"), []).runs) == 4500


@pytest.mark.parametrize("step", [None, 1])
def test_a_range_of_many_values_can_be_searched(step):
    known = {"low": 1, "high": 100_000, **({"step": step} if step else {})}
    Path("f.yaml").write_text(search({"train.batch_size": known}))
    (study,) = load_search(Path("f.yaml"), []).studies
    assert study.space["train.batch_size"].count() == 100_000
    assert study.space["train.batch_size"].point(99_999) == 100_000


# ------------------------------------------------------------------------- odd characters


@pytest.mark.parametrize("text", [r"\ud800", r"\udfff", r"a\udc80b"])
@pytest.mark.parametrize("place", ['a: "{}"', '"{}": 1', '[["{}"]]'])
def test_half_a_character_is_no_text(place, text):
    """It could not be written into any file of results."""
    with pytest.raises(BadSuite, match=r"^f\.yaml:1: half a character \("):
        parse(place.format(text), "f.yaml")


def test_a_whole_character_may_be_written_as_two_escapes_in_json_only():
    with pytest.raises(BadSuite, match="half a character"):
        parse(r'"\ud83d\ude00"', "f.yaml")
    assert parse(r'"\U0001F600"', "f.yaml").data == "\U0001f600"


@pytest.mark.parametrize("title", ["a\x1b[2Kb", "a\u202eb", "a\nb", "a\x00", " a", "", "x" * 1001])
@pytest.mark.parametrize("key", ["title", "ablate"])
def test_what_a_person_reads_is_one_line_of_printable_text(key, title):
    changes = {"title": title} if key == "title" else {"ablate": {title: {"timesteps": 3}}}
    if key == "ablate" and title.startswith("x"):
        return  # cut where it is shown
    with pytest.raises(BadSuite, match=rf"^f\.yaml:1: {key}"):
        plan(suite(**changes))


@pytest.mark.parametrize("name", ["con", "NUL", "Com1.x", "lpt9", "a.", "..", "-a", "a/b", "a\n"])
@pytest.mark.parametrize("key", ["name", "tuned_by"])
def test_names_are_those_of_folders_on_every_system(key, name):
    with pytest.raises(BadSuite, match=rf"^f\.yaml:1: {key}: "):
        plan(suite(**{key: name}))
