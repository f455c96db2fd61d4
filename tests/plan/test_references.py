"""`references.yaml`: parsing, matching with runs, and messages for invalid files."""

import copy
import json

import pytest
import yaml

from eibench.errors import BadSuite
from eibench.plan import Override, load_plan, load_probe
from eibench.plan.find import find_suite, suite_files
from eibench.plan.references import read_references
from eibench.results.plan_file import write_plan

PAPER = {"paper": "A and B, On digits", "year": 2026}
ENTRY = {
    "data": "digits",
    "model": {"name": "plain", "depth": 2, "width": 4, "pools": 1},
    "method": "ei",
    "metric": "test_accuracy",
    "value": 98.5,
    "source": "ab",
    "protocol": {"timesteps": 4, "train": {"epochs": 300}, "train.lr": 0.002, "seeds": 1},
}


@pytest.fixture
def write(project):
    """Writes references.yaml with one entry under changes (`...` removes a key)."""

    def made(file="references.yaml", sources=None, more=(), **changes):
        entry = {k: v for k, v in {**copy.deepcopy(ENTRY), **changes}.items() if v is not ...}
        content = {
            "sources": sources or {"ab": PAPER},
            "published": [entry, *map(copy.deepcopy, more)],
        }
        return project.write(yaml.safe_dump(content, sort_keys=False), file)

    return made


@pytest.fixture
def planned(project, write):
    """The references of the tiny suite's plan: entries under changes, suite under `suite`."""

    def made(suite=None, **changes):
        write(**changes)
        plan = load_plan(project.suite(references="references.yaml", **(suite or {})), [])
        return [match.to_dict() for match in plan.references]

    return made


def problems(read, *args):
    with pytest.raises(BadSuite) as caught:
        read(*args)
    return caught.value.problems


def line_of(text, file="references.yaml"):
    with open(file) as lines:
        return next(i for i, line in enumerate(lines, start=1) if text in line)


# ------------------------------------------------------------------------------- reading


def test_what_is_read(write):
    (entry,) = read_references(write())
    assert entry.spec.method.label == "ei"
    assert entry.spec.model.depth == 2
    assert (entry.metric, entry.value) == ("test_accuracy", 98.5)
    assert entry.fields == {"timesteps": 4, "train.epochs": 300, "train.lr": 0.002}
    assert entry.notes.changed() == {"seeds": 1}
    assert entry.source == "A and B, On digits (2026)"


def test_a_source_in_full(write):
    sources = {"ab": {**PAPER, "arxiv": "1234.5678", "where": "table 3"}}
    (entry,) = read_references(write(sources=sources))
    assert entry.source == "A and B, On digits (2026, arXiv 1234.5678), table 3"


BAD = [
    # changes of the entry, text of the blamed line, message behind `references.yaml:LINE: `
    ({"valeu": 3}, "valeu: 3", "published[0].valeu: unknown key; allowed here: data, method, "),
    ({"valeu": 3}, "valeu: 3", "did you mean 'value'?"),
    ({"value": "high"}, "value: high", "published[0].value: must be a number, not 'high'"),
    ({"value": 101}, "value: 101", "published[0].value: must be at most 100.0, not 101"),
    ({"value": ...}, "data: digits", "published[0].value: is missing"),
    ({"metric": "loss"}, "metric: loss", "published[0].metric: must be 'test_accuracy', not"),
    ({"data": "digit"}, "data: digit", "published[0].data.name: unknown data set 'digit'"),
    ({"data": "digit"}, "data: digit", "did you mean 'digits'?"),
    ({"model": "vg"}, "model: vg", "published[0].model.name: unknown model 'vg'; allowed: "),
    (
        {"model": {"name": "vgg", "depth": 9}},
        "depth: 9",
        "published[0].model.depth: must be 8, 11, 16 or 19, not 9",
    ),
    (
        {"model": {"name": "plain", "dept": 9}},
        "dept: 9",
        "published[0].model.dept: unknown key; allowed here: depth, name, pools, width; did you",
    ),
    ({"method": "eI"}, "method: eI", "published[0].method.name: unknown method 'eI'"),
    (
        {"source": "ba"},
        "source: ba",
        "published[0].source: no such source under `sources`; allowed: ab",
    ),
    ({"protocol": 3}, "protocol: 3", "published[0].protocol: must be a mapping of keys to values"),
    (
        {"protocol": {"timestep": 4}},
        "timestep: 4",
        "published[0].protocol.timestep: unknown key; allowed here: augmentation, encoding, input, "
        "neuron, other, perturb, schedule, seeds, selection, timesteps, train; did you mean "
        "'timesteps'?",
    ),
    (
        {"protocol": {"train": {"epoch": 4}}},
        "epoch: 4",
        "published[0].protocol.train.epoch: unknown key; allowed here: accumulate, batch_size, ",
    ),
    (
        {"protocol": {"train.epochs": "many"}},
        "train.epochs: many",
        "published[0].protocol.train.epochs: must be a whole number, not 'many'",
    ),
    ({"protocol": {"model.depth": 3}}, "model.depth: 3", "protocol.model.depth: unknown key"),
    ({"protocol": {"seeds": 0}}, "seeds: 0", "published[0].protocol.seeds: must be at least 1"),
    ({"protocol": {"selection": ""}}, "selection: ''", "protocol.selection: must not be empty"),
    ({"protocol": {"timesteps": {"a": 1}}}, "a: 1", "must be a whole number, not a mapping"),
]


@pytest.mark.parametrize(("changes", "blamed", "message"), BAD)
def test_bad_entries(write, changes, blamed, message):
    (text,) = problems(read_references, write(**changes))
    place, _, words = text.partition(": ")
    assert place == f"references.yaml:{line_of(blamed)}"
    assert message in words


def test_an_empty_section_states_nothing(write):
    (entry,) = read_references(write(protocol={"train": {}}))
    assert entry.fields == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sources: {}\npublished: []\n", "references.yaml:2: published: must not be empty"),
        ("sources: {}\n", "references.yaml:1: published: is missing"),
        ("[1]\n", "references.yaml:1: must be a mapping of keys to values, not [1]"),
        (
            "sources: {ab: {paper: x, yaer: 2026}}\npublished: [{}]\n",
            "references.yaml:1: sources.ab.yaer: unknown key; allowed here: arxiv, paper, where,"
            " year; did you mean 'year'?",
        ),
        ("sources: {ab: {year: 1}}\npublished: [3]\n", "published[0]: must be a mapping"),
    ],
)
def test_bad_files(project, text, message):
    found = problems(read_references, project.write(text, "references.yaml"))
    assert any(message in line for line in found), found


def test_every_problem_is_told_at_once(write):
    path = write(value="a", more=[{**ENTRY, "method": "eI"}, {**ENTRY, "source": "x"}])
    assert [text.partition(": ")[2][:12] for text in problems(read_references, path)] == [
        "published[0]",
        "published[1]",
        "published[2]",
    ]


# ------------------------------------------------------------------------ what a suite does


def test_matches_are_of_one_method_network_and_data_set(planned):
    """The tiny suite has depths 1 and 2 under seeds 0 and 1."""
    (found,) = planned({"seeds": [0, 1]})
    plan = load_plan(find_suite("tiny.yaml"), [])
    wanted = [run.run_id for run in plan.runs if run.spec.model.depth == 2]
    assert found == {
        "method": "ei",
        "model": {"name": "plain", "depth": 2, "width": 4, "pools": 1},
        "data": "digits",
        "data_title": None,
        "metric": "test_accuracy",
        "value": 98.5,
        "source": "A and B, On digits (2026)",
        "fields": {"timesteps": 4, "train.epochs": 300, "train.lr": 0.002},
        "notes": {"seeds": 1},
        "runs": wanted,
    }
    assert len(wanted) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "tdbn"},
        {"method": {"name": "ei", "ei_ratio": 2}},
        {"model": {"name": "plain", "depth": 2}},
        {"data": {"name": "imagefolder", "root": "x"}},
    ],
)
def test_what_differs_in_an_option_is_no_match(planned, changes):
    assert planned(**changes) == []


def test_options_of_data_count_where_they_are_stated(planned):
    data = {"name": "imagefolder", "root": "x"}
    suite = {"base": {"data": {**data, "validation_share": 0.2}}}
    assert len(planned(suite, data=data)) == 1
    assert planned(suite, data={**data, "validation_share": 0.3}) == []


def test_a_subset_has_no_published_numbers_of_the_whole(planned):
    """Neither itself nor a copy of another set; an entry may be of a subset too."""
    data = {"name": "imagefolder", "root": "x"}
    copy = {"stands_for": {"imagefolder": {"data": "digits", "title": "Digits (JPEG)"}}}
    for original, declared in ((data, {}), ("digits", copy)):
        assert len(planned({"base": {"data": data}, **declared}, data=original)) == 1
        for option in ("train_images", "test_images"):
            few = {"base": {"data": {**data, option: 100}}, **declared}
            assert planned(few, data=original) == []
    few = {**data, "train_images": 100}
    assert len(planned({"base": {"data": few}}, data=few)) == 1


def test_a_copy_is_named(planned):
    suite = {
        "base": {"data": {"name": "imagefolder", "root": "x"}},
        "stands_for": {"imagefolder": {"data": "digits", "title": "Digits (JPEG)"}},
    }
    (found,) = planned(suite)
    assert (found["data"], found["data_title"]) == ("digits", "Digits (JPEG)")


BAD_SUITES = [
    ({"references": "none.yaml"}, "references", "none.yaml: no such file"),
    ({"references": 3}, "references", "must be text, not 3"),
    ({"stands_for": {"digits": {}}}, "stands_for.digits.data", "is missing"),
    (
        {"stands_for": {"digits": {"data": "digit", "title": "x"}}},
        "stands_for.digits.data",
        "unknown data set 'digit'; allowed: digits",
    ),
    (
        {"stands_for": {"digit": {"data": "digits", "title": "x"}}},
        "stands_for.digit",
        "no run uses this data set; allowed: digits; did you mean 'digits'?",
    ),
    (
        {"stands_for": {"digits": {"data": "digits", "titel": "x"}}},
        "stands_for.digits.titel",
        "unknown key; allowed here: data, title; did you mean 'title'?",
    ),
    (
        {"references": ..., "stands_for": {"digits": {"data": "digits", "title": "x"}}},
        "stands_for",
        "has no effect without `references`",
    ),
    ({"kind": "probe"}, "references", "belongs to suites that train"),
]


@pytest.mark.parametrize(("changes", "key", "message"), BAD_SUITES)
def test_bad_suites(project, write, changes, key, message):
    write()
    suite = {"references": "references.yaml", **changes}
    path = project.suite(**{k: v for k, v in suite.items() if v is not ...})
    assert any(f": {key}: {message}" in text for text in problems(load_plan, path, []))


def test_a_bad_file_is_blamed_in_its_own_lines(project, write):
    """Its path is taken from the suite's folder."""
    write("mine/references.yaml", value="a")
    path = project.suite("mine/tiny.yaml", references="references.yaml")
    (text,) = problems(load_plan, path, [])
    assert text.startswith("mine/references.yaml:14: published[0].value: must be a number")


def test_runs_keep_their_identity(project, write):
    write()
    with_it = load_plan(project.suite(references="references.yaml"), [])
    without = load_plan(project.suite(), [])
    assert [run.run_id for run in with_it.runs] == [run.run_id for run in without.runs]


def test_plan_json_has_the_key_where_something_matches(project, write, tmp_path):
    write()
    contents = {}
    for name, settings, changes in [
        ("with", [], {"references": "references.yaml"}),
        ("without", [], {}),
        ("unmatched", ["method=tdbn"], {"references": "references.yaml"}),
    ]:
        overrides = [Override.read("--set", text) for text in settings]
        write_plan(tmp_path / name, load_plan(project.suite(**changes), overrides))
        contents[name] = json.loads((tmp_path / name / "plan.json").read_text())
    assert contents["with"].pop("references")[0]["value"] == 98.5
    assert contents["with"] == contents["without"]
    assert "references" not in contents["unmatched"]


def test_probes_have_no_published_numbers(project, write):
    write()
    assert load_probe(project.suite(references="references.yaml"), []).references == ()


# ------------------------------------------------------------- a file that is not a suite


def test_the_file_is_no_suite(project, cli, write):
    path = project.suite("suites/tiny.yaml")
    write("suites/references.yaml")
    assert suite_files(path.parent) == [path]
    assert cli("list", "suites", "--in", "suites").out == "tiny  A tiny suite\n"
    listed = cli("list", "suites").out.splitlines()  # with those that eibench ships
    assert listed[0].split(maxsplit=1) == ["tiny", "A tiny suite"]
    assert not any(line.startswith("references") for line in listed)
    message = "references: no such suite or file; `eibench list suites` lists all"
    assert cli("run", "references").errors == [message]
