"""The suite with the winning values: it loads, and plans exactly the runs that confirmed them."""

from pathlib import Path

import pytest
import yaml

from eibench.errors import UserError
from eibench.plan import Override, load_plan
from eibench.plan.read_search import load_search
from eibench.search.export import check_export, write_tuned_suite

LR = {"train.lr": {"low": 0.01, "high": 1, "log": True}}
PER_STEP = {"name": "batchnorm", "stats": "per_step"}
TUTORIAL = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text()
PLUGIN = TUTORIAL.partition("```python\n")[2].partition("```")[0]
"""Adds the method `rmsnorm`."""
PUBLISHED = """
sources: {known: {paper: Some paper, year: 2020, where: table 1}}
published:
  - data: digits
    model: {name: plain, depth: 9}
    method: ei
    metric: test_accuracy
    value: 90.0
    source: known
    protocol: {timesteps: 2}
"""


@pytest.fixture
def exported(project):
    """`exported(*settings, to=..., file=..., winners=..., **changes)`: both plans, and the file."""

    def write(*settings, to="tuned.yaml", file="tiny.yaml", winners=None, **changes):
        section = {"space": LR, "seeds": [1000], "trials": 3}
        suite = {"search": section, "grid": {"method": ["ei", "tdbn"]}, **changes}
        path = project.suite(file, **suite)
        plan = load_search(path, [Override.read("--set", text) for text in settings])
        won = winners or {s.name: {"train.lr": 0.02 * (n + 1)} for n, s in enumerate(plan.studies)}
        check_export(plan, Path(to))
        Path(to).parent.mkdir(parents=True, exist_ok=True)
        write_tuned_suite(plan, won, Path(to))
        return plan.confirmation(won), load_plan(Path(to), []), yaml.safe_load(Path(to).read_text())

    return write


def same(confirmed, written):
    ids = [run.run_id for run in confirmed.runs]
    assert [run.run_id for run in written.runs] == ids
    assert [run.method for run in written.runs] == [run.method for run in confirmed.runs]
    return len(ids)


def test_it_plans_the_confirming_runs(exported):
    confirmed, written, values = exported(seeds=[0, 1])
    assert same(confirmed, written) == 4
    assert (written.name, written.title) == ("tuned", "A tiny suite: winners")
    assert written.tuned_by == "tiny"
    assert "search" not in values
    assert values["tuned"][0] == {"where": {"method": "ei"}, "set": {"train.lr": 0.02}}


def test_the_first_line_says_where_it_is_from(exported):
    exported()
    first = Path("tuned.yaml").read_text().splitlines()[0]
    assert first.startswith("# Found by `eibench search` of the suite tiny: 3 trials for each")


def test_per_method_values_and_exclusions_stay(exported):
    grid = {"method": ["ei", "tdbn"], "model.depth": [1, 2]}
    confirmed, written, _ = exported(
        grid=grid,
        per_method={"ei": {"train.momentum": 0.5}},
        exclude=[{"method": "ei", "model.depth": 2}],
    )
    assert same(confirmed, written) == 3


def test_variants_of_one_method(exported):
    confirmed, written, _ = exported(grid={"method": [PER_STEP, "batchnorm"]})
    same(confirmed, written)
    assert [run.spec.train.lr for run in written.runs] == [0.02, 0.04]


def test_a_preset_beside_its_method(exported):
    """Also where what won is an option of the preset: the arm keeps its name."""
    methods = ["ei", {"name": "ei", "preset": "blanket"}]
    won = {"ei": {"train.lr": 0.1}, "ei-blanket": {"train.lr": 0.2, "method.relay": 2.0}}
    confirmed, written, values = exported(grid={"method": methods}, winners=won, seeds=[0])
    assert same(confirmed, written) == 2
    assert [run.method for run in written.runs] == ["ei", "ei-blanket"]
    assert [run.spec.method.relay for run in written.runs] == [0.0, 2.0]
    assert values["tuned"][1]["where"] == {"method": "ei-blanket"}


def test_arms_without_a_winner_are_left_out(exported):
    confirmed, written, _ = exported(winners={"tdbn": {"train.lr": 0.5}})
    assert same(confirmed, written) == 1


def test_the_plain_variant_is_left_out_alone(exported):
    """`exclude: {method: batchnorm}` is the plain one where there is one."""
    confirmed, written, values = exported(
        grid={"method": ["batchnorm", PER_STEP]},
        winners={"batchnorm-per_step": {"train.lr": 0.5}},
    )
    assert same(confirmed, written) == 1
    assert values["exclude"] == [{"method": "batchnorm"}]
    assert [(r.method, r.spec.train.lr) for r in written.runs] == [("batchnorm-per_step", 0.5)]


def test_mappings_as_values_stand_in_each_clause(exported):
    """YAML's anchors, which suites refuse, would be written for an object that occurs twice."""
    one = {"lr": 0.5, "momentum": 0}
    section = {"space": {"train": {"choices": [one, {"lr": 0.2}]}}, "seeds": [1000]}
    winners = {"ei": {"train": one}, "tdbn": {"train": one}}
    confirmed, written, _ = exported(search=section, winners=winners)
    assert same(confirmed, written) == 2
    assert {run.spec.train.lr for run in written.runs} == {0.5}


# ------------------------------------------------------------------------ several studies

STUDIES = {"space": LR, "seeds": [1000], "trials": 3, "studies": 3}


def test_the_winners_of_several_studies_are_clauses_by_seed(exported):
    confirmed, written, values = exported(search=STUDIES, seeds=[5, 6, 7, 8])
    assert same(confirmed, written) == 8
    assert values["seeds"] == [5, 6, 7, 8]
    wheres = [clause["where"] for clause in values["tuned"][:3]]
    assert wheres == [{"method": "ei", "seed": seeds} for seeds in ([5, 8], [6], [7])]
    rates = {(r.method, r.spec.seed): r.spec.train.lr for r in written.runs}
    assert [rates["ei", seed] for seed in (5, 6, 7, 8)] == [0.02, 0.04, 0.06, 0.02]
    assert [rates["tdbn", seed] for seed in (5, 6, 7, 8)] == [0.08, 0.1, 0.12, 0.08]
    first = Path("tuned.yaml").read_text().splitlines()[0]
    assert "of the suite tiny: 3 studies of 3 trials for each combination" in first


def test_a_study_without_a_winner_leaves_its_seeds_to_the_others(exported):
    winners = {"ei, study 1": {"train.lr": 0.5}, "ei, study 3": {"train.lr": 0.7}}
    confirmed, written, values = exported(search=STUDIES, seeds=[0, 1, 2, 3], winners=winners)
    assert same(confirmed, written) == 4
    assert [clause["where"]["seed"] for clause in values["tuned"]] == [[0, 2], [1, 3]]
    assert values["exclude"] == [{"method": "tdbn"}]


def test_fresh_seeds_that_are_counted_are_listed(exported):
    section = {"space": LR, "seeds": [1], "trials": 3, "confirm": 3}
    confirmed, written, values = exported(search=section, seeds=...)
    assert values["seeds"] == [0, 2, 3]
    assert same(confirmed, written) == 6


# ---------------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    ("file", "to"),
    [
        ("tiny.yaml", "out/tuned.yaml"),
        ("suites/tiny.yaml", "tuned.yaml"),
        ("a/t.yaml", "b/c/t.yaml"),
    ],
)
def test_paths_are_relative_to_the_new_file(exported, project, file, to):
    folder = Path(file).parent
    project.write(PLUGIN, str(folder / "mine.py"))
    project.write(PUBLISHED, str(folder / "published.yaml"))
    changes = {"plugins": ["mine.py"], "references": "published.yaml"}
    confirmed, written, values = exported(
        file=file, to=to, grid={"method": ["ei", "rmsnorm"]}, **changes
    )
    assert same(confirmed, written) == 2
    plugin = Path(to).parent / values["plugins"][0]
    assert plugin.resolve() == (folder / "mine.py").resolve()


# ---------------------------------------------------------------------------- --set


def test_settings_are_written_into_the_suite(exported):
    confirmed, written, values = exported(
        "train.epochs=2",
        "model.depth=2",
        grid={"method": ["ei", "tdbn"], "model.depth": [1, 2]},
        per_method={"ei": {"train.epochs": 5, "train.momentum": 0.5}},
    )
    assert same(confirmed, written) == 2
    assert {run.spec.train.epochs for run in written.runs} == {2}
    assert values["base"]["train"]["epochs"] == 2


def test_a_setting_that_no_file_can_say_is_refused_before_the_search(project):
    """The axis would choose the method anew, over the option in base."""
    section = {"space": LR, "seeds": [1000]}
    grid = {"method": ["ei", {"name": "ei", "dale": False}]}
    path = project.suite(search=section, grid=grid)
    plan = load_search(path, [Override.read("--set", "method.kappa=0.5")])
    with pytest.raises(UserError) as caught:
        check_export(plan, Path("tuned.yaml"))
    assert str(caught.value).startswith("--export tuned.yaml: no suite file plans the same runs")


def test_a_folder_that_is_not_there_is_made(exported):
    exported(to="new/folder/tuned.yaml")
    assert Path("new/folder/tuned.yaml").exists()


def test_a_file_that_cannot_be_written(project):
    section = {"space": LR, "seeds": [1000]}
    plan = load_search(project.suite(search=section, grid={}), [])
    project.write("", "file")
    with pytest.raises(
        UserError, match=r"^--export file/tuned.yaml: (Not a directory|File exists)"
    ):
        write_tuned_suite(plan, {"ei": {"train.lr": 0.1}}, Path("file/tuned.yaml"))
