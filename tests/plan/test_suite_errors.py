"""Every way to write a suite wrongly: what is said of it, and on which line.

A row changes the tiny suite; `at` is the text of the line that must be blamed.
"""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from eibench.errors import BadSuite, UserError
from eibench.plan import load_plan

INF, NAN = float("inf"), float("nan")
BATCHNORMS = ["batchnorm", {"name": "batchnorm", "stats": "per_step"}]


def base(**changes):
    """A change of base alone, without axes that would hide it."""
    return {"base": changes, "grid": {}}


def problems(path):
    with pytest.raises(BadSuite) as caught:
        load_plan(path, [])
    return caught.value.problems


TOP: list[tuple[dict[str, Any], str, str]] = [
    # what, blamed line, message behind `tiny.yaml:LINE: `
    ({"names": "x"}, "names: x", "names: unknown key; allowed here: ablate, ablate_pairs, base"),
    ({"names": "x"}, "names: x", "did you mean 'name'?"),
    ({"Grid": {}}, "Grid: {}", "did you mean 'grid'?"),
    ({"name": 3}, "name: 3", "name: must be text, not 3"),
    ({"name": None}, "name: null", "name: must be text, not nothing"),
    ({"name": "a b"}, "name: a b", "name: "),
    ({"name": "../up"}, "name: ../up", "name: "),
    ({"name": ""}, "name: ''", "name: "),
    ({"name": "x" * 300}, "name: xxx", "name: "),
    ({"title": ""}, "title: ''", "title: "),
    ({"title": ["a"]}, "title:", "title: must be text, not ['a']"),
    ({"grid": [1]}, "grid:", "grid: must be a mapping of keys to values, not [1]"),
    ({"grid": None}, "grid: null", "grid: must be a mapping of keys to values, not nothing"),
    ({"grid": {"train.lr": 1}}, "  train.lr: 1", "grid.train.lr: must be a list, not 1"),
    ({"grid": {"train.lr": []}}, "  train.lr: []", "grid.train.lr: must not be empty"),
    ({"zip": {"train.lr": []}}, "  train.lr: []", "zip.train.lr: must not be empty"),
    ({"zip": [1]}, "zip:", "zip: must be a mapping of keys to values, not [1]"),
    ({"seeds": []}, "seeds: []", "seeds: must not be empty"),
    ({"seeds": 3}, "seeds: 3", "seeds: must be a list, not 3"),
    ({"seeds": [0, 7, 1.5]}, "- 1.5", "seeds[2]: must be a whole number, not 1.5"),
    ({"seeds": [0, True]}, "- true", "seeds[1]: must be a whole number, not true"),
    ({"seeds": [0, "a"]}, "- a", "seeds[1]: must be a whole number, not 'a'"),
    ({"seeds": [0, -4]}, "- -4", "seeds[1]: must be at least 0, not -4"),
    ({"seeds": [5, 8, 7, 8]}, "- 7+1", "seeds[3]: 8 is listed twice"),
    ({"seeds": [2**70]}, f"- {2**70}", "seeds[0]: "),  # torch takes 64 bits
    ({"per_method": [1]}, "per_method:", "per_method: must be a mapping of keys"),
    ({"per_method": {"ei": 3}}, "  ei: 3", "per_method.ei: must be a mapping of keys"),
    ({"exclude": {"a": 1}}, "exclude:", "exclude: must be a list, not a mapping"),
    ({"exclude": [3]}, "- 3", "exclude[0]: must be a mapping of keys to values, not 3"),
    ({"tuned_by": 3}, "tuned_by: 3", "tuned_by: must be text, not 3"),
    ({"margin": 0}, "margin: 0", "margin: must be above 0.0, not 0"),
    ({"margin": -1}, "margin: -1", "margin: must be above 0.0, not -1"),
    ({"margin": 101}, "margin: 101", "margin: must be at most 100.0, not 101"),
    ({"margin": "a"}, "margin: a", "margin: must be a number, not 'a'"),
    ({"margin": True}, "margin: true", "margin: must be a number, not true"),
    ({"margin": NAN}, "margin: .nan", "margin: must be "),
    ({"control": 3}, "control: 3", "control: must be text, not 3"),
    ({"control": "eii"}, "control: eii", "no method of this name; allowed: ei; did you mean 'ei'?"),
    ({"control": ""}, "control: ''", "control: no method of this name; allowed: ei"),
    ({"control": "batchnorm"}, "control: batchnorm", "control: no method of this name"),
    (
        {"control": "hard", "ablate": {"hard": {"neuron.reset": "hard"}}},
        "control: hard",
        "control: no method of this name; allowed: ei",
    ),
]

BASE: list[tuple[dict[str, Any], str, str]] = [
    (
        base(trian={"lr": 1}),
        "  trian:",
        "base.trian: unknown key; allowed here: data, init_from, input, method",
    ),
    (base(trian={"lr": 1}), "  trian:", "did you mean 'train'?"),
    (base(name="x"), "  name: x", "base.name: unknown key"),
    (base(method=...), "base:", "base.method: is missing; allowed: dann, ei, batchnorm"),
    (base(model=...), "base:", "base.model: is missing; allowed: mlp, plain, vgg, resnet"),
    (base(data=...), "base:", "base.data: is missing; allowed: digits, imagefolder"),
    (base(seed=1), "  seed: 1", "base.seed: seeds are listed under `seeds`"),
    (base(method="eii"), "  method: eii", "unknown method 'eii'; allowed: dann, ei, batchnorm"),
    (base(method="batchnrm"), "  method: batchnrm", "did you mean 'batchnorm'?"),
    (base(method=None), "  method: null", "base.method: must be a name or a mapping with one"),
    (base(method=3), "  method: 3", "base.method: must be a name or a mapping with one, not 3"),
    (base(method={"ei_ratio": 4}), "  method:", "base.method: needs a name; allowed: dann, ei"),
    (base(method={"name": "ei", "ei_ratio": 0}), "    ei_ratio: 0", "must be at least 1, not 0"),
    (base(method={"name": "ei", "ratio": 4}), "    ratio: 4", "did you mean 'ei_ratio'?"),
    (base(method={"name": "tdbn", "stats": "joint"}), "    stats: joint", "allowed here: name"),
    (base(method={"name": 1}), "    name: 1", "unknown method 1; allowed: dann, ei"),
    (
        base(method={"name": "batchnorm", "stats": "perstep"}),
        "    stats: perstep",
        "must be 'joint' or 'per_step', not 'perstep'; did you mean 'per_step'?",
    ),
    (
        base(model="vgg11"),
        "  model: vgg11",
        "unknown model 'vgg11'; allowed: mlp, plain, vgg, resnet; did you",
    ),
    (base(model={"depth": 0}), "    depth: 0", "base.model.depth: must be at least 1, not 0"),
    (base(model={"depth": 1.5}), "    depth: 1.5", "must be a whole number, not 1.5"),
    (base(model={"depth": 2.0}), "    depth: 2.0", "must be a whole number, not 2.0"),
    (base(model={"depth": "2"}), "    depth: '2'", "must be a whole number, not '2'"),
    (base(model={"depth": True}), "    depth: true", "must be a whole number, not true"),
    (base(model={"depth": None}), "    depth: null", "must be a whole number, not nothing"),
    (base(model={"depth": [2]}), "    depth:", "must be a whole number, not [2]"),
    (base(model={"widht": 2}), "    widht: 2", "base.model.widht: unknown key; allowed here: "),
    (base(model={"widht": 2}), "    widht: 2", "depth, name, pools, width; did you mean 'width'?"),
    (base(model={"pools": 3}), "  model:", "pools (3) cannot exceed depth (2)"),
    (base(data="digit"), "  data: digit", "unknown data set 'digit'; allowed: digits, imagefol"),
    (base(data={"name": "imagefolder"}), "  data:", "base.data.root: is missing"),
    (base(data={"name": "imagefolder", "root": 3}), "    root: 3", "must be text, not 3"),
    (base(data={"name": "imagefolder", "root": ""}), "    root: ''", "base.data.root: "),
    (base(train=3), "  train: 3", "base.train: must be a mapping of keys to values, not 3"),
    (base(train=["lr"]), "  train:", "base.train: must be a mapping of keys to values, not ['lr']"),
    (base(train={"epochs": 1.5}), "    epochs: 1.5", "must be a whole number, not 1.5"),
    (base(train={"epochs": 0}), "    epochs: 0", "base.train.epochs: must be at least 1, not 0"),
    (base(train={"epochs": True}), "    epochs: true", "must be a whole number, not true"),
    (base(train={"lr": -0.1}), "    lr: -0.1", "base.train.lr: must be above 0.0, not -0.1"),
    (base(train={"lr": 0}), "    lr: 0", "base.train.lr: must be above 0.0, not 0"),
    (base(train={"lr": NAN}), "    lr: .nan", "base.train.lr: must be "),
    (base(train={"lr": INF}), "    lr: .inf", "base.train.lr: must be finite, not inf"),
    (base(train={"clip_norm": INF}), "    clip_norm: .inf", "must be finite, not inf"),
    (base(train={"lr": True}), "    lr: true", "base.train.lr: must be a number, not true"),
    (base(train={"lr": "fast"}), "    lr: fast", "base.train.lr: must be a number, not 'fast'"),
    (base(train={"learning_rate": 1}), "    learning_rate: 1", "base.train.learning_rate: unknown"),
    (base(train={"epoch": 1}), "    epoch: 1", "did you mean 'epochs'?"),
    (base(train={"optimizer": "adam"}), "    optimizer: adam", "did you mean 'adamw'?"),
    (base(train={"optimizer": "moun"}), "    optimizer: moun", "'muon' or 'eg', not 'moun'; did y"),
    (base(train={"schedule": "cosin"}), "    schedule: cosin", "'cosine' or 'constant', not 'cosi"),
    (
        base(method={"name": "no_norm", "rate": 0.2}),
        "  method:",
        "base.method: rate (0.2) is the target of init spikeinit, and init is kaiming",
    ),
    (base(method={"name": "no_norm", "rate": 0.5}), "    rate: 0.5", "must be below 0.5, not 0.5"),
    (base(method={"name": "no_norm", "init": "spike"}), "    init: spike", "did you mean 'spikein"),
    (base(method={"name": "wta", "share": 0.0}), "    share: 0.0", "must be above 0.0, not 0"),
    (base(train={"warmup_epochs": 1}), "  train:", "warmup_epochs (1) must be below epochs (1)"),
    (base(neuron={"reset": "sof"}), "    reset: sof", "did you mean 'soft'?"),
    (base(neuron={"tau": 0.5}), "    tau: 0.5", "base.neuron.tau: must be at least 1.0, not 0.5"),
    (base(neuron={"tau": INF}), "    tau: .inf", "base.neuron.tau: must be finite, not inf"),
    (base(neuron={"detach_reset": 0}), "    detach_reset: 0", "must be true or false, not 0"),
    (base(timesteps=0), "  timesteps: 0", "base.timesteps: must be at least 1, not 0"),
    (base(timesteps=True), "  timesteps: true", "must be a whole number, not true"),
    (base(**{"train.lr": 0.2}), "  train.lr: 0.2", "base.train.lr: unknown key"),
]

AXES: list[tuple[dict[str, Any], str, str]] = [
    ({"grid": {"model.depth": [3, -7]}}, "- -7", "grid.model.depth[1]: must be at least 1, not"),
    ({"grid": {"train.lr": [0.1, -7]}}, "- -7", "grid.train.lr[1]: must be above 0.0, not -7"),
    ({"grid": {"method": ["ei", "x"]}}, "- x", "grid.method[1].name: unknown method 'x'; allowed"),
    ({"grid": {"modle.depth": [7]}}, "  modle.depth: | - 7", "did you mean 'model'?"),
    ({"grid": {"modle": ["vgg"]}}, "- vgg", "grid.modle[0]: unknown key; allowed here: data"),
    ({"grid": {"model.dpth": [7]}}, "- 7", "grid.model.dpth[0]: unknown key; allowed here: depth"),
    (
        {"grid": {"depth": [7]}},
        "- 7",
        "grid.depth[0]: unknown key; did you mean 'model.depth'?",
    ),
    ({"grid": {"": [7]}}, ": - 7", "unknown key"),
    ({"grid": {"train.lr.x": [7]}}, "  train.lr.x: | - 7", "grid.train.lr.x"),
    ({"grid": {"timesteps.x": [7]}}, "- 7", "goes through a value that is not a mapping"),
    ({"grid": {"train.lr": [0.5, 7, 0.25, 7]}}, "- 0.25+1", "grid.train.lr[3]: 7 is listed twice"),
    ({"grid": {"seed": [1]}}, "  seed:", "grid.seed: seeds are listed under `seeds`"),
    ({"zip": {"seed": [1]}}, "  seed:", "zip.seed: seeds are listed under `seeds`"),
    ({"zip": {"model.depth": [1]}}, "zip:+1", "zip.model.depth: is an axis of grid as well"),
    ({"zip": {"train.lr": [3, 4], "model.width": [9]}}, "zip:", "zip: lists must be of one length"),
    (
        {"zip": {"train.lr": [3, 4], "model.width": [9]}},
        "zip:",
        "train.lr has 2, model.width has 1",
    ),
    ({"zip": {"train.lr": [0.1, -7]}}, "- -7", "zip.train.lr[1]: must be above 0.0, not -7"),
    ({"per_method": {"tdbn": {}}}, "  tdbn: {}", "per_method.tdbn: no run uses this method"),
    ({"per_method": {"eii": {}}}, "  eii: {}", "allowed: ei; did you mean 'ei'?"),
    (
        {"grid": {"method": BATCHNORMS}, "per_method": {"batchnorm-perstep": {}}},
        "  batchnorm-perstep: {}",
        "allowed: batchnorm, batchnorm-per_step; did you mean 'batchnorm-per_step'?",
    ),
    (
        {"per_method": {"ei": {"model.depth": 3}}},
        "    model.depth: 3",
        "per_method.ei.model.depth: is an axis of grid or zip as well",
    ),
    (
        {"grid": {"train.lr": [0.5]}, "per_method": {"ei": {"train": {"lr": 3}}}},
        "      lr: 3 |       lr: 3+-1",
        "is an axis of grid or zip as well",
    ),
    (
        {"grid": {"model.depth": [5]}, "per_method": {"ei": {"model": {"name": "vgg"}}}},
        "      name: vgg |       name: vgg+-1",
        "is an axis of grid or zip as well",
    ),
    ({"per_method": {"ei": {"seed": 3}}}, "    seed: 3", "per_method.ei.seed: "),
    ({"per_method": {"ei": {"train.lrr": 3}}}, "    train.lrr: 3", "per_method.ei.train.lrr: unkn"),
    ({"per_method": {"ei": {"trian.lr": 3}}}, "    trian.lr: 3", "did you mean 'train'?"),
    ({"per_method": {"ei": {"train.lr": -3}}}, "    train.lr: -3", "must be above 0.0, not -3"),
    ({"exclude": [{"method": "tdbn"}]}, "- method: tdbn", "exclude[0]: excludes nothing"),
    (
        {"grid": {"method": ["ei", "batchnorm"]}, "exclude": [{"method": "batchnrm"}]},
        "- method: batchnrm",
        "exclude[0]: excludes nothing; did you mean 'batchnorm'?",
    ),
    (
        {"grid": {"method": ["ei", "batchnorm"]}, "exclude": [{"method": ["ei", "batchnrm"]}]},
        "exclude:+1",
        "exclude[0]: no run has 'batchnrm'; did you mean 'batchnorm'?",
    ),
    ({"exclude": [{"model.depth": 9}]}, "- model.depth: 9", "exclude[0]: excludes nothing"),
    ({"exclude": [{"modle": "vgg"}]}, "- modle: vgg", "unknown key; did you mean 'model'?"),
    ({"exclude": [{}]}, "- {}", "exclude[0]: is empty"),
    ({"exclude": [{"method": "ei"}]}, "exclude:", "exclude: every run is excluded"),
]


def blamed(text: str, at: str) -> set[int]:
    """The lines that `at` allows: `a | b` either, `a+1` the line after a, `a+-1` the one before."""
    out = set()
    for choice in at.split(" | "):
        start, _, offset = choice.partition("+")
        lines = list(enumerate(text.splitlines(), start=1))
        equal = [n for n, line in lines if line == start]
        equal = equal or [n for n, line in lines if line.strip() == start.strip()]
        (hit,) = equal or [n for n, line in lines if line.startswith(start)]
        out.add(hit + int(offset or 0))
    return out


ROWS = [*TOP, *BASE, *AXES]


@pytest.mark.parametrize(("changes", "at", "message"), ROWS, ids=[str(r[0])[:60] for r in ROWS])
def test_one_mistake(project, changes, at, message):
    path = project.suite(**copy.deepcopy(changes))
    found = problems(path)
    places = {f"{path}:{line}: " for line in blamed(path.read_text(), at)}
    hits = [p for p in found if message in p]
    assert hits, found
    assert any(hit.startswith(tuple(places)) for hit in hits), (places, hits)


@pytest.mark.parametrize("key", ["name", "title", "base"])
def test_what_every_suite_needs(project, key):
    keys = {"name": "x", "title": "y", "base": {"method": "ei", "model": "plain", "data": "digits"}}
    del keys[key]
    path = project.write("# first line\n" + yaml.safe_dump(keys))
    assert problems(path) == [f"tiny.yaml:2: {key}: is missing"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "tiny.yaml: must be a mapping of keys to values, not nothing"),
        ("# nothing but a comment\n", "tiny.yaml: must be a mapping of keys to values, not noth"),
        ("\n\nname\n", "tiny.yaml:3: must be a mapping of keys to values, not 'name'"),
        ("- name: x\n", "tiny.yaml:1: must be a mapping of keys to values, not [{'name': 'x'}]"),
        ("name: x\nbase: {a: 1\ntitle: y\n", "tiny.yaml:3: not valid YAML"),
        ("name: x\nname: y\n", "tiny.yaml:2: name: duplicate key (first on line 1)"),
    ],
)
def test_not_a_suite_at_all(project, text, message):
    (problem,) = problems(project.write(text))
    assert problem.startswith(message)


def test_lines_of_a_suite_written_by_hand(project):
    """Flow style, comments, several values on a line and a value on the line after its key."""
    text = """\
# 1
name: hand
title:
  Written by hand
base: {method: ei, data: digits,
       # 6
       model: {name: plain,
               widht: 4}, train: {lr: -1, epochs:
                 0}}
grid:
  model.depth: [2,
    0, 4]
  method: [ei, {name: tdbn, stats: joint}]
per_method:
  ei:

    train.momentum: 2  # 17
"""
    found = problems(project.write(text))
    places = {re.sub(r": (unknown|must).*", "", problem) for problem in found}
    assert places == {
        "tiny.yaml:8: base.model.widht",
        "tiny.yaml:8: base.train.lr",
        "tiny.yaml:8: base.train.epochs",
        "tiny.yaml:12: grid.model.depth[1]",
        "tiny.yaml:13: grid.method[1].stats",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "a b"},
        {"title": ""},
        base(data={"name": "imagefolder", "root": ""}),
        base(model={"name": "vgg", "depth": 9, "width": ..., "pools": ...}),
        base(method=""),
    ],
    ids=str,
)
def test_hints_are_of_use(project, changes):
    """In our words, and no `did you mean` of nothing, or of a number: 9 is not nearly 19."""
    (problem,) = problems(project.suite(**changes))
    assert "should" not in problem
    assert "did you mean" not in problem


def test_problems_of_all_sections_are_reported_together(project):
    path = project.suite(
        base={
            "method": {"name": "ei", "ratio": 4},
            "model": {"name": "plain", "width": 0},
            "data": "digit",
            "train": {"lr": -1, "epochs": 1.5},
            "timesteps": 0,
            "extra": 1,
        }
    )
    keys = [re.sub(r"^tiny.yaml:\d+: ([\w.]+): .*", r"\1", problem) for problem in problems(path)]
    inner = ["method.ratio", "model.width", "data.name", "train.lr", "train.epochs", "timesteps"]
    assert sorted(keys) == sorted(f"base.{key}" for key in [*inner, "extra"])


def test_problems_of_all_runs_are_reported_together(project):
    path = project.suite(grid={"model.depth": [0, -1], "train.lr": [-2, 0.1, "x"]})
    found = "\n".join(problems(path))
    for value in ("not 0", "not -1", "not -2", "not 'x'"):
        assert value in found


def test_a_problem_of_many_runs_is_reported_once(project):
    path = project.suite(base={"train": {"lr": -1}}, grid={"model.width": [1, 2, 3, 4]})
    assert len(problems(path)) == 1


def test_problems_of_seeds_axes_and_methods_are_reported_together(project):
    path = project.suite(
        seeds=[1, 1],
        grid={"model.depth": [1, 1], "seed": [1]},
        zip={"train.lr": [1, 2], "model.width": [3]},
        per_method={"ei": {"model.depth": 3}},
    )
    found = "\n".join(problems(path))
    for place in ("seeds[1]", "grid.model.depth[1]", "grid.seed", "zip: ", "per_method.ei.model.d"):
        assert place in found


def test_problems_of_the_top_level_are_reported_together(project):
    found = problems(project.suite(names="x", title="", seeds=[-1], grid=[1], per_method=3))
    assert len(found) == 5


@pytest.mark.parametrize(
    "grid",
    [
        {"method": ["ei", {"name": "ei"}]},
        {"method": ["ei", {"name": "ei", "ei_ratio": 4}]},
        {"train": [{"lr": 0.1}, {"momentum": 0.9}]},
        {"model": ["vgg", {"name": "vgg", "depth": 8}]},
    ],
)
def test_the_same_run_twice(project, grid):
    """Written differently, so that only the finished runs show it."""
    (problem,) = problems(project.suite(grid=grid))
    assert re.fullmatch(r"tiny\.yaml: \w+_\S+_s0_[0-9a-f]{8} is planned twice", problem)


def test_a_key_with_a_line_break_makes_one_line(project):
    """The command line prints a problem per line."""
    (problem,) = problems(project.suite(base={"a\nb": 1}))
    assert len(problem.splitlines()) == 1


@pytest.mark.parametrize("depth", [21, 60, 200, 488])
def test_nesting_that_the_reader_takes_but_copying_might_not(project, depth):
    """At 488 levels PyYAML still reads what `copy.deepcopy` no longer copies."""
    text = f"name: x\ntitle: y\nbase: {{train: {{lr: {'[' * depth}{']' * depth}}}}}\n"
    (problem,) = problems(project.write(text))
    assert problem.startswith("tiny.yaml")


# ----------------------------------------------------------------------- random mistakes

VALUES = st.sampled_from(
    [
        *(None, True, 0, 1, -1, 1.5, 10**30, INF, NAN, "", "ei", "x", "a.b", "\n", "seed", "name"),
        *([], [[]], [1, 1], ["ei"], {}, {"": 1}, {"name": "x"}, {"name": None}, {"lr": 1}),
        *({"train.lr": [1]}, {"seed": 1}, {"method": [{"name": []}]}, [{"name": "ei"}, {"a": {}}]),
    ]
)
WHERE = st.sampled_from(
    [
        *("name", "title", "base", "grid", "zip", "per_method", "exclude", "seeds", "tuned_by"),
        *("base method", "base model", "base data", "base train", "base name", "base seed"),
        *("base model name", "base model depth", "base train lr", "base train epochs", "base x"),
        *("grid method", "grid train", "grid model.depth", "grid base", "grid name", "grid "),
        *("zip method", "zip train.lr", "zip name", "per_method ei", "per_method ei train.lr"),
        *(
            "per_method ei method",
            "per_method ei name",
            "per_method ei train",
            "per_method ei seed",
        ),
    ]
)


@given(st.dictionaries(WHERE, VALUES, min_size=1, max_size=3))
def test_no_suite_makes_a_traceback(mistakes):
    suite: dict[str, Any] = {
        "name": "x",
        "title": "y",
        "base": {"method": "ei", "model": {"name": "plain"}, "data": "digits", "train": {}},
    }
    for where, wrong in mistakes.items():
        *path, last = where.split(" ")
        inner = suite
        for key in path:
            if not isinstance(inner.get(key), dict):
                inner[key] = {}
            inner = inner[key]
        inner[last] = copy.deepcopy(wrong)
    Path("random.yaml").write_text(yaml.safe_dump(suite))
    try:
        runs = load_plan(Path("random.yaml"), []).runs
        message = "random.yaml: planned" if runs else "no run"
    except UserError as error:
        message = str(error)
    assert message.startswith("random.yaml")
