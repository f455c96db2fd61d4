"""Consistency of the repository: suites load, tables are fresh, rates are those of their search."""

import itertools
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import draw_differences
import pandas as pd
import pytest
from cogapp import Cog

import eibench
from eibench.plan import DATASETS, load_plan, read_suite
from eibench.plan.find import suite_files
from eibench.plan.read_search import load_search
from eibench.plan.references import read_references
from eibench.plan.sweeps import Sweep
from eibench.report.make import SuiteReport
from eibench.report.model.search_results import Search, read_searches
from eibench.results.paths import SEARCH, suite_folders
from eibench.results.plan_file import same_computations
from eibench.results.store import COST, kind_of, read_plan

ROOT = Path(__file__).parents[1]
SUITES = suite_files(ROOT / "suites")
REFERENCES = ROOT / "suites" / "references.yaml"
EVIDENCE = ROOT / "results" / "evidence"
PLANS = suite_folders(EVIDENCE)
COUNTED = [folder for folder in PLANS if kind_of(read_plan(folder)) == COST]
REPORTED = [folder for folder in PLANS if folder.name != SEARCH and folder not in COUNTED]
SEARCHED = [folder.parent for folder in PLANS if folder.name == SEARCH]


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("path", SUITES, ids=lambda p: p.stem)
def test_suites_plan_and_are_named_like_their_files(path):
    searches = read_suite(path)[1].search is not None
    plan = load_search(path, []).base_plan() if searches else load_plan(path, [])
    assert plan.name == path.stem
    assert plan.runs
    reached = " of batchnorm-torch too"  # `per_method: ei` is for every `ei-...`
    assert all(note.endswith(reached) for note in plan.notes), plan.notes


PUBLISHED = {
    ("cifar10", "vgg", "ei"): 87.03,
    ("cifar10", "vgg-depth11", "ei"): 88.43,
    ("cifar10", "vgg-depth16", "ei"): 91.01,
    ("cifar10", "vgg-depth19", "ei"): 91.36,
    ("cifar10", "resnet", "ei"): 92.06,
    ("cifar10", "resnet", "batchnorm"): 95.37,
    ("cifar100", "vgg-depth16", "ei"): 65.90,
    ("cifar100", "vgg-depth19", "ei"): 64.06,
    ("tiny_imagenet", "resnet", "ei"): 50.29,
    ("cifar10_dvs", "vgg", "ei"): 78.40,
    ("cifar10_dvs", "vgg-depth11", "ei"): 78.40,
    ("dvs_gesture", "vgg", "ei"): 95.83,
}
"""The paper's numbers, by data, model and method: each is the cell of a suite."""


def test_published_numbers():
    read = {
        (entry.spec.data.name, entry.spec.model.label, entry.spec.method.label): entry.value
        for entry in read_references(REFERENCES)
    }
    assert read == PUBLISHED


@pytest.mark.parametrize(
    "name", ["cifar10", "cifar100", "tiny_imagenet", "cifar10_dvs", "dvs_gesture"]
)
def test_suites_of_the_paper_follow_its_recipes(name):
    """Beside each published number stand runs that differ in no field that its source states."""
    plan = load_plan(ROOT / "suites" / f"{name}.yaml", [])
    specs = {run.run_id: run.spec for run in plan.runs}
    assert len(plan.references) == sum(data == name for data, _, _ in PUBLISHED)
    for match in plan.references:
        assert len(match.run_ids) == 3
        for run_id in match.run_ids:
            fields = specs[run_id].fields()
            stated = match.published.fields
            assert {key: fields[key] for key in stated} == dict(stated), run_id


def test_the_copy_of_cifar10_is_called_so():
    plan = load_plan(ROOT / "suites" / "cifar10_jpeg.yaml", [])
    assert {match.data_title for match in plan.references} == {"CIFAR-10 (JPEG)"}
    assert plan.title.endswith("on CIFAR-10 (JPEG)")
    assert len(plan.references) == 2


def test_the_papers_networks_have_its_batch_norm():
    """In VGGs with torch's first weights, as the authors have it; in the ResNet with Kaiming's."""
    runs = load_plan(ROOT / "suites" / "cifar10.yaml", []).runs
    made = {(run.method, run.spec.model.name) for run in runs}
    assert {one for one in made if one[0].startswith("batchnorm")} == {
        ("batchnorm-torch", "vgg"),
        ("batchnorm", "resnet"),
    }


def test_documents_are_fresh(capsys):
    """`make docs` would change nothing."""
    documents = re.search(r"/cog -r (.*)", Path("Makefile").read_text())[1].split()
    code = Cog().main(["cog", "--check", *documents])
    assert code == 0, f"`make docs` brings them up to date: {capsys.readouterr()}"


def test_the_readme_is_short():
    page = (ROOT / "README.md").read_text()
    shown = re.sub(r"<!--.*?-->", "", page, flags=re.S)
    assert len(page.splitlines()) <= 120
    assert sum(bool(re.search(r"\w", word)) for word in shown.split()) <= 900


@pytest.mark.parametrize(
    "code", re.findall("```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
)
def test_python_of_the_readme_runs(code):
    exec(compile(code, "README.md", "exec"), {})


def test_the_page_on_data_has_every_data_set():
    page = Path("docs/data.md").read_text()
    assert [name for name in DATASETS if f"| `{name}`" not in page] == []


def test_every_suite_with_results_is_in_suites():
    """So that `make tables` makes its tables; SUITE-NAME is an evaluation of SUITE."""
    assert {folder.name.partition("-")[0] for folder in REPORTED} <= {path.stem for path in SUITES}


def test_the_quickstart_trains_although_results_are_committed():
    """Finished runs are skipped, so its results must lie elsewhere."""
    recipe = re.search(r"\nquickstart:.*\n((?:\t.*\n)+)", Path("Makefile").read_text())[1]
    assert "run suites/quickstart.yaml --results build --jobs" in recipe
    assert recipe.lstrip().startswith("OMP_NUM_THREADS=1 ")  # as the committed runs


def suite_of(folder: Path) -> tuple[Path, Sweep | None]:
    """The suite of committed results, and its sweep if they are of one: SUITE-NAME."""
    suite, _, name = folder.name.partition("-")
    path = ROOT / "suites" / f"{suite}.yaml"
    return path, Sweep(name, read_suite(path)[1].evaluate[name]) if name else None


@pytest.mark.parametrize("folder", REPORTED, ids=lambda p: p.name)
def test_tables_are_fresh(folder):
    """And all that the suite asks for is there, with nothing else beside it."""
    path, sweep = suite_of(folder)
    report = SuiteReport(path, folder, sweep)
    tables = dict(report.tables())
    found = {p.name: p.read_text() for p in folder.iterdir() if p.suffix in (".md", ".tex", ".csv")}
    assert found == tables, "`make tables` brings the tables up to date"


def test_the_figure_of_differences_is_fresh():
    """`make figures` draws it again."""
    assert draw_differences.drawn_rows() == list(draw_differences.read_rows())


def test_results_are_few_files():
    words = ["git", "ls-files", "results"]
    listed = subprocess.run(words, capture_output=True, text=True, check=False)
    files = listed.stdout.splitlines()
    if not files:
        pytest.skip("no repository")
    assert len(files) <= 200


@pytest.mark.parametrize("folder", REPORTED, ids=lambda p: p.name)
def test_committed_results_are_those_of_the_suite(folder):
    """Every run that the suite plans today has its record, and says where it comes from."""
    frame = eibench.load_results(folder)
    path, sweep = suite_of(folder)
    if folder in SEARCHED:
        (search,) = read_searches([folder])
        plan = load_search(path, []).confirmation(winners(search))
    else:
        plan = load_plan(path, [])
    planned = {run.run_id for run in plan.runs}
    if sweep:
        rows = set(zip(frame["weights.run"], *(frame[f] for f in sweep.varying), strict=True))
        conditions = [dict(zip(sweep.fields, c.values(), strict=True)) for c in sweep.conditions]
        assert rows == {(r, *(c[f] for f in sweep.varying)) for r in planned for c in conditions}
    else:
        assert set(frame.run_id) == planned
    assert not frame.status.isin(["missing", "interrupted"]).any()


def winners(search: Search) -> dict[str, dict[str, Any]]:
    """Winning values by study."""
    return {study.name: dict(study.best.values) for study in search.studies if study.best}


@pytest.mark.parametrize("folder", SEARCHED, ids=lambda p: p.name)
def test_committed_searches_are_those_of_the_suite(folder):
    """Every study has its trials, and each trial's runs are what the suite makes of its values."""
    (search,) = read_searches([folder])
    plan = load_search(ROOT / "suites" / f"{folder.name}.yaml", [])
    records = {run.run_id: run.status for run in search.runs}
    assert [study.name for study in search.studies] == [study.name for study in plan.studies]
    for known, planned in zip(search.studies, plan.studies, strict=True):
        assert len(known.trials) == plan.trials
        for trial in known.trials:
            made = [planned.run(trial.values, seed).run_id for seed in plan.options.seeds]
            assert list(trial.runs) == made
            ends = ("interrupted",) if trial.state == "pruned" else ("ok", "diverged")
            assert all(records[run_id] in ends for run_id in made)


def searched() -> pd.DataFrame:
    """Validation accuracy of the search: rows by method and depth, a column for each rate."""
    frame = eibench.load_results(EVIDENCE / "learning_rates")
    return frame.pivot_table("validation_accuracy", ["method", "model.depth"], "train.lr")


def test_rates_of_depth_scaling_won_the_search():
    """Each method's rate has the best mean validation accuracy over the searched depths."""
    best = searched().groupby("method").mean().idxmax(axis=1)
    for run in load_plan(ROOT / "suites" / "depth_scaling.yaml", []).runs:
        assert run.spec.train.lr == best[run.spec.method.label], run.run_id


def test_rates_of_the_quickstart_won_the_search_at_its_depth():
    """Of equal mean accuracies the one with the lower loss, as in a search."""
    epochs = eibench.load_epochs(EVIDENCE / "learning_rates")
    scores = ["validation_accuracy", "validation_loss"]
    ordered = epochs.sort_values(scores, ascending=[False, True])
    chosen = ordered[ordered["model.depth"] == 4].groupby("run_id").head(1)  # epochs
    means = chosen.groupby(["method", "train.lr"])[scores].mean().round(9).reset_index()
    order = means.sort_values(scores, ascending=[False, True])
    best = order.groupby("method")["train.lr"].first()
    for run in load_plan(ROOT / "suites" / "quickstart.yaml", []).runs:
        assert run.spec.train.lr == best[run.spec.method.label], run.run_id


@pytest.mark.parametrize("name", ["cifar10_narrow", "cifar10_deeper", "fashion_depth"])
def test_rates_on_images_won_the_search(name):
    plan = load_plan(ROOT / "suites" / f"{name}.yaml", [])
    (search,) = read_searches([EVIDENCE / str(plan.tuned_by)])
    best = {arm["method"]: values["train.lr"] for arm, values in won(search)}
    assert {run.method: run.spec.train.lr for run in plan.runs}.items() <= best.items()


@pytest.mark.parametrize("name", ["robustness", "hardware", "cost"])
def test_rates_of_evaluated_networks_won_the_searches(name):
    """On digits the search at the same depth, on images that of the same network."""
    best = {}
    for searched_by, depth in (("depth_digits", 8), ("fashion_methods", None)):
        (search,) = read_searches([EVIDENCE / searched_by])
        best |= {
            (searched_by, arm["method"]): values["train.lr"]
            for arm, values in won(search)
            if arm.get("model.depth") == depth
        }
    searches = {"digits": "depth_digits", "fashion_mnist": "fashion_methods"}
    for run in load_plan(ROOT / "suites" / f"{name}.yaml", []).runs:
        assert run.spec.train.lr == best[searches[run.spec.data.name], run.method], run.run_id


def won(search: Search) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Axes of each study and the values of its winner."""
    return [(dict(study.arm), dict(study.best.values)) for study in search.studies if study.best]


def test_methods_that_are_the_same_computation_gave_the_same_numbers():
    """`tdbn` is joint batch norm in a chain with threshold 1: footnote and records agree."""
    plan = load_plan(ROOT / "suites" / "depth_scaling.yaml", [])
    groups = same_computations(plan)
    assert groups == [["batchnorm", "tdbn"]]
    frame = eibench.load_results(EVIDENCE / "depth_scaling")
    table = frame.set_index(["method", "model.depth", "seed"])
    for group in groups:
        for first, second in itertools.pairwise(group):
            for column in ("test_accuracy", "validation_accuracy", "firing_rate"):
                assert table.loc[first][column].equals(table.loc[second][column])


@pytest.mark.parametrize("folder", COUNTED, ids=lambda p: p.name)
def test_committed_costs_are_those_of_the_suite(folder, cli):
    """The JSON has a training step beside, which is timed and not kept in the rows."""
    frame = eibench.load_results(folder)
    plan = load_plan(ROOT / "suites" / f"{folder.name.removesuffix(f'-{COST}')}.yaml", [])
    assert set(frame["weights.run"]) == {run.run_id for run in plan.runs}
    assert set(frame.status) == {"ok"}
    rows = json.loads(cli("cost", folder, "--format", "json").out)
    committed = json.loads((folder / "cost.json").read_text())
    assert all(one.pop("training")["rows"] for one in committed)
    assert committed == rows
    assert cli("cost", folder, "--format", "markdown").out == (folder / "table.md").read_text()
