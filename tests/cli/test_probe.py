"""`eibench probe`, and `eibench run` on a suite of `kind: probe`."""

import json
from pathlib import Path

import pytest
import yaml

import eibench
from eibench.plan import METHODS, RunSpec, load_plan, load_probe
from eibench.results.metrics import LAYER_METRICS, PROBE_METRICS
from eibench.training.build import prepare


@pytest.fixture
def probes(project):
    return project.suite(kind="probe")


def refused(done, message):
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert not Path("results").exists()


# ---------------------------------------------------------------------------------- run


def test_a_probe_suite_runs(cli, project, probes):
    done = cli("run", probes)
    assert (done.code, done.err) == (0, "")
    assert "2 of 2 runs ok" in done.out
    assert "decades" in done.out or "gradient 0" in done.out
    for run in load_plan(probes, []).runs:
        folder = Path("results/tiny", run.run_id)
        assert {p.name for p in folder.iterdir()} == {"spec.yaml", "record.json"}
        assert RunSpec.parse(yaml.safe_load((folder / "spec.yaml").read_text())) == run.spec
    assert json.loads(Path("results/tiny/plan.json").read_text())["kind"] == "probe"


def test_a_record_is_complete(cli, project, probes):
    cli("run", probes, "--only", "model.depth=2")
    (record,) = project.records().values()
    assert (record["status"], record["reason"]) == ("ok", None)
    assert record["fields"]["probe.steps"] == 0
    numbers = {**record["result"], **record["cost"]}
    assert set(PROBE_METRICS) | {"loss", "data_digest"} == numbers.keys()
    assert [layer["layer"] for layer in record["layers"]] == [1, 2]
    keys = {"layer", "name", "neurons", *LAYER_METRICS, "non_finite"}
    assert all(layer.keys() == keys for layer in record["layers"])
    assert record["layers"][0]["balance"] > 0
    gradients = [layer["gradient"] for layer in record["layers"]]
    assert record["result"]["gradient_min"] == min(gradients) > 0


def test_every_method_can_be_probed(cli, project):
    done = cli("run", project.suite(kind="probe", grid={"method": list(METHODS)}))
    assert done.code == 0
    records = project.records().values()
    assert {r["fields"]["method"] for r in records} == set(METHODS)
    assert all(layer["gradient"] is not None for r in records for layer in r["layers"])


def test_finished_probes_are_skipped(cli, project, probes, monkeypatch):
    cli("run", probes, "--only", "model.depth=1")
    before = project.records()
    assert cli("run", probes).out.count("already finished") == 1
    assert before.items() <= project.records().items()
    monkeypatch.setattr("eibench.execution.slots.execute", None)
    assert cli("run", probes).code == 0


def test_the_same_probe_gives_the_same_numbers(cli, probes):
    for root in "ab":
        cli("run", probes, "--results", root)
    for path in Path("a").glob("tiny/*/record.json"):
        one, other = (json.loads(Path(root, *path.parts[1:]).read_text()) for root in "ab")
        assert (one["result"], one["layers"]) == (other["result"], other["layers"])


def test_a_dry_run(cli, project, probes):
    before = project.files()
    done = cli("run", probes, "--dry-run")
    assert done.code == 0
    assert done.out.count("_step0_s0_") == 2
    assert project.files() == before


# -------------------------------------------------------------------------------- probe


def test_a_training_suite_is_probed_beside_its_results(cli, project):
    path = project.suite()
    cli("run", path)
    before = project.files()
    done = cli("probe", path, "--steps", "0,1", "--only", "model.depth=1")
    assert (done.code, done.err) == (0, "")
    assert "eibench report results/tiny-probe" in done.out
    assert before.items() <= project.files().items()
    records = project.records("tiny-probe")
    assert {r["fields"]["probe.steps"] for r in records.values()} == {0, 1}
    planned = {run.run_id for run in load_probe(path, [], steps=[0, 1]).runs}
    assert records.keys() <= planned
    assert sorted(set(eibench.load_results("results").suite)) == ["tiny", "tiny-probe"]
    assert set(eibench.load_layers("results").suite) == {"tiny-probe"}


def test_steps_change_the_numbers(cli, project):
    cli("probe", project.suite(grid={}), "--steps", "0,1")
    one, other = (r["result"]["loss"] for r in project.records("tiny-probe").values())
    assert one != other


def test_a_probe_suite_is_probed_under_its_name(cli, project, probes):
    assert cli("probe", probes).code == 0
    assert len(project.records()) == 2


def test_its_help_shares_the_options_of_run(cli):
    for option in ("--steps", "--set", "--only", "--seeds", "--device", "--results", "--fail-fast"):
        assert option in cli("probe", "--help").out.replace("\x1b", "")


# ------------------------------------------------------------------------------ failures


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "x"], "--steps x: must be whole numbers, such as 0,1,2"),
        (["--steps", "-1"], "--steps -1: a number of steps is at least 0"),
        (["--steps", "1,1"], "--steps 1,1: a number of steps is listed twice"),
        (["--steps", "9999999999"], "a number of steps is at most 2147483647"),
        (["--set", "probe.step=1"], "unknown key; allowed here: steps; did you mean 'steps'?"),
    ],
)
def test_bad_options(cli, project, words, message):
    refused(cli("probe", project.suite(), *words), message)


def test_steps_beyond_the_end_of_training(cli, project):
    """One epoch of a sixth of the digits in batches of 256 is one step."""
    done = cli("probe", project.suite(), "--steps", "500")
    refused(done, "error: probe.steps is 500, but 1 epoch of digits in batches of 256 have 1 ")


def test_what_is_not_finite_is_a_diverged_run_with_its_layers(cli, project, probes, monkeypatch):
    def spoil(experiment):
        prepare(experiment)
        experiment.model.conv0.weight_ee.data.fill_(float("nan"))

    monkeypatch.setattr("eibench.probe.run.set_first_weights", spoil)
    assert cli("run", probes, "--only", "model.depth=1").code == 1
    (record,) = project.records().values()
    assert (record["status"], record["result"]) == ("diverged", {})
    assert "gradient is not finite in layers 1" in record["reason"]
    assert "gradient" in record["layers"][0]["non_finite"]
    assert record["layers"][0]["gradient"] is None


@pytest.mark.parametrize(
    ("status", "error"), [("error", RuntimeError("boom")), ("out_of_memory", MemoryError("boom"))]
)
def test_a_failed_probe_is_a_row_with_its_reason(cli, project, probes, monkeypatch, status, error):
    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("eibench.probe.run.measure", fail)
        assert cli("run", probes, "--fail-fast").code == 1
    (record,) = project.records().values()
    assert (record["status"], record["reason"]) == (status, f"{type(error).__name__}: boom")
    assert cli("report", "results/tiny").code == 0
    assert cli("run", probes).code == 0  # tried again


def test_from_suite_to_tables_and_figures(cli, probes):
    cli("run", probes)
    assert cli("report", "results/tiny").out.startswith("A tiny suite: spread of the relative")
    layers = cli("report", "results/tiny", "--rows", "layer", "--columns", "model.depth")
    assert layers.out.startswith("A tiny suite: relative gradient")
    assert cli("plot", "results/tiny").out.split() == [
        f"results/tiny/figures/tiny_{name}.{suffix}"
        for name in ("layers", "gradient_map", "net_synapse")
        for suffix in ("png", "pdf")
    ]
