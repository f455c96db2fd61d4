"""A suite on recordings, from the file to the table."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from eibench.data.batches import evaluation_batches, over_time
from eibench.plan import RunSpec, load_plan
from eibench.training.build import build, first_batch, load_data, prepare

DATA = {"data": "digits_dvs", "timesteps": 3}
GRID = {"method": ["ei", "batchnorm"]}


def test_a_suite_on_digits_dvs(cli, project):
    """ei and batchnorm learn something in an epoch, and the report shows it."""
    train = {"epochs": 2, "batch_size": 64, "lr": 0.05}
    model = {"depth": 1, "width": 8}
    suite = project.suite(base={**DATA, "train": train, "model": model}, grid=GRID)
    done = cli("run", suite)
    assert (done.code, done.err) == (0, "")
    records = project.records().values()
    assert {r["status"] for r in records} == {"ok"}
    assert {r["fields"]["method"] for r in records} == set(GRID["method"])
    for record in records:
        assert record["result"]["test_accuracy"] > 30  # chance is 10
    assert "digits_dvs" not in cli("report", "results/tiny").err
    again = cli("run", suite)
    assert again.code == 0 and list(project.records().values()) == list(records)


def test_t_is_the_timesteps_of_the_run(cli, project):
    suite = project.suite(base=DATA, grid={"timesteps": [2, 5]})
    assert cli("run", suite).code == 0
    digests = {
        record["fields"]["timesteps"]: record["result"]["data_digest"]
        for record in project.records().values()
    }
    for timesteps, digest in digests.items():
        (run, *_) = [r for r in load_plan(suite, []).runs if r.spec.timesteps == timesteps]
        data = load_data(run.spec.data, timesteps)
        assert data.train.images.shape[1] == timesteps
        assert data.digest == digest
    assert digests.keys() == {2, 5}


@pytest.mark.parametrize("method", ["ei", "batchnorm"])
def test_the_network_sees_the_frames_one_after_another(method):
    """Step t of its input is frame t, as counts that nothing has divided."""
    values = {"method": method, "model": {"name": "plain", "depth": 1, "width": 4, "pools": 0}}
    spec = RunSpec.parse({**values, **DATA, "train": {"batch_size": 16}})
    data = load_data(spec.data, spec.timesteps)
    experiment = build(spec, data)
    seen = []
    experiment.model.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    prepare(experiment)
    experiment.model(over_time(first_batch(experiment, 16)[0], 3))
    assert seen[-1].shape == (3, 16, 2, 12, 12)
    images, _ = first_batch(experiment, 16)
    assert torch.equal(seen[-1], images.transpose(0, 1))
    assert images.max() > 1 and torch.equal(images, images.round())


def test_evaluation_gives_counts():
    data = load_data(RunSpec.parse({"method": "ei", "model": "plain", **DATA}).data, 3)
    images, _ = next(evaluation_batches(data.test, 50))
    assert torch.equal(images, data.test.images[:50].float())


def test_events_from_runs_and_its_spec_reads_back(cli, project):
    data = {"name": "events_from", "source": "digits", "amplitude": 2.0, "margin": 1}
    suite = project.suite(base={**DATA, "data": data}, grid={})
    done = cli("run", suite)
    assert (done.code, done.err) == (0, "")
    (record,) = project.records().values()
    assert record["fields"]["data.source"] == "digits"
    (run,) = load_plan(suite, []).runs
    stored = yaml.safe_load(Path("results/tiny", run.run_id, "spec.yaml").read_text())
    known = {key: value for key, value in stored.items() if key in run.spec.to_dict()}
    assert RunSpec.parse(known) == run.spec
    out = cli("report", "results/tiny", "--rows", "data.source").out
    assert "digits" in out


def test_set_of_the_source(cli, project):
    data = {"name": "events_from", "source": {"name": "imagefolder", "root": "nowhere"}}
    suite = project.suite(base={**DATA, "data": data}, grid={})
    done = cli("run", suite)
    assert done.code == 2
    assert done.errors[0].startswith("data set events_from: nowhere/train: no such folder")
    assert cli("run", suite, "--set", "data.source=digits", "--dry-run").code == 0


def test_an_absent_set_is_one_message(cli, project, tmp_path):
    done = cli("run", project.suite(base={**DATA, "data": "nmnist"}, grid={}))
    assert done.code == 2
    (message,) = done.errors
    assert message.startswith(f"data set nmnist: {tmp_path / 'datasets/nmnist'}: no such folder; ")


def test_a_probe_of_recordings(cli, project):
    suite = project.suite(base=DATA, grid=GRID, kind="probe")
    done = cli("run", suite)
    assert (done.code, done.err) == (0, "")


def test_too_many_frames_is_one_message(cli, project):
    done = cli("run", project.suite(base={**DATA, "timesteps": 100}, grid={}))
    assert done.code == 2
    assert done.errors == [
        "data set digits_dvs: 60 steps of the image are too few for 100 frames; raise `steps`"
    ]


def test_listed(cli):
    names = {entry["name"] for entry in json.loads(cli("list", "datasets", "--json").out)}
    assert {"digits_dvs", "events_from", "cifar10_dvs", "dvs_gesture", "nmnist", "shd"} <= names
