"""`train.keep`, `run --keep` and `eibench evaluate`."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import eibench
from eibench.data import ImageData
from eibench.plan import load_plan
from eibench.plan.spec import RunSpec
from eibench.training.evaluate import evaluate

EPOCHS = 3


def suite(folder: Path, **train: object) -> Path:
    model = {"name": "plain", "depth": 1, "width": 4, "pools": 1}
    settings = {"epochs": EPOCHS, "batch_size": 64, "lr": 0.5, **train}
    base = {"method": "ei", "model": model, "data": "digits", "train": settings, "timesteps": 2}
    values = {"name": "kept", "title": "Kept", "base": base, "grid": {"method": ["ei", "bntt"]}}
    path = folder / "kept.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory, few_digits):
    """Results of the suite with the best weights, and with the last ones."""
    from typer.testing import CliRunner

    from eibench.cli import app
    from eibench.plan.options import DATASETS

    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS.code, "digits", lambda: few_digits)
        for keep in ("best", "last"):
            words = ["run", suite(folder), "--keep", keep, "--results", folder / keep]
            done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
            assert done.exit_code == 0, done.output
    return folder


def runs(results: Path) -> dict[str, Path]:
    return {p.parent.name.partition("_")[0]: p.parent for p in results.glob("kept/*/record.json")}


def record(folder: Path) -> dict:
    return json.loads((folder / "record.json").read_text())


def test_kept_weights_are_those_of_the_record(trained, few_digits: ImageData):
    assert runs(trained / "best").keys() == {"ei", "bntt"}
    for keep, key in (("best", "test_accuracy"), ("last", "test_accuracy_last")):
        for folder in runs(trained / keep).values():
            names = {p.name for p in folder.iterdir()}
            assert names == {"epochs.jsonl", "model.safetensors", "record.json", "spec.yaml"}
            network = eibench.load_model(folder)
            measured = evaluate(network, few_digits.test, 2, 64)
            assert measured.accuracy == record(folder)["result"][key]
    both = [runs(trained / keep)["ei"] / "model.safetensors" for keep in ("best", "last")]
    results = record(both[0].parent)["result"]
    equal = both[0].read_bytes() == both[1].read_bytes()
    assert equal == (results["best_epoch"] == results["epochs"])


def test_what_is_kept_is_no_part_of_the_identity(trained, tmp_path):
    best, last = (runs(trained / keep)["ei"] for keep in ("best", "last"))
    assert best.name == last.name
    assert record(best)["fields"] == record(last)["fields"]
    assert "train.keep" not in record(best)["fields"]
    plans = [load_plan(suite(tmp_path, **train), []) for train in ({}, {"keep": "last"})]
    assert [p.runs[0].spec.train.keep for p in plans] == ["none", "last"]
    assert plans[0].runs[0].run_id == plans[1].runs[0].run_id == best.name
    again = RunSpec.parse(plans[1].runs[0].spec.to_dict())  # what a worker process is sent
    assert again.train.keep == "last"
    assert again.determining() == plans[0].runs[0].spec.determining()


def test_nothing_is_kept_by_default(cli, tmp_path):
    done = cli("run", suite(tmp_path), "--only", "method=ei", "--results", tmp_path / "r")
    assert done.code == 0
    (folder,) = runs(tmp_path / "r").values()
    assert not (folder / "model.safetensors").exists()
    done = cli("evaluate", folder, "--results", tmp_path / "r")
    assert done.code == 2
    assert done.err == (
        f"error: {folder}: no model.safetensors here; `eibench run SUITE --keep best` keeps it;"
        " delete the folder of a finished run first\n"
    )


def test_evaluations_are_rows_of_a_report(cli, trained, tmp_path):
    folder = runs(trained / "best")["ei"]
    for steps in (1, 2, 2, 8):
        done = cli("evaluate", folder, "--timesteps", steps, "--results", tmp_path)
        assert (done.code, done.err) == (0, "")
    frame = eibench.load_results(tmp_path / "evaluations")
    assert sorted(frame.timesteps) == [1, 2, 8] and set(frame.status) == {"ok"}
    assert len(set(frame.test_accuracy)) > 1
    same = frame[frame.timesteps == 2].iloc[0]
    assert same.test_accuracy == record(folder)["result"]["test_accuracy"]
    found = record(tmp_path / "evaluations" / same.run_id)
    assert found["fields"]["weights.run"] == folder.name
    done = cli("report", tmp_path / "evaluations", "--columns", "timesteps")
    assert done.code == 0 and "Evaluations of kept weights" in done.out
    assert f"{same.test_accuracy:.1f}" in done.out


def test_every_combination_of_conditions_is_a_row(cli, trained, tmp_path):
    words = ["--under", "contrast=0.2,1", "--under", "gaussian_noise=0,0.3"]
    both = [runs(trained / "best")[name] for name in ("ei", "bntt")]
    done = cli("evaluate", *both, *words, "--results", tmp_path)
    assert (done.code, done.err) == (0, "") and len(done.out.splitlines()) == 8
    frame = eibench.load_results(tmp_path / "evaluations")
    assert len(frame) == 8
    found = {(m, c, g): a for m, c, g, a in zip(frame.method, frame["evaluate.contrast"],
             frame["evaluate.gaussian_noise"], frame.test_accuracy, strict=True)}  # fmt: skip
    assert set(frame["evaluate.contrast"]) == {0.2, 1.0}
    for name, folder in (("ei", both[0]), ("bntt", both[1])):
        assert found[name, 1.0, 0.0] == record(folder)["result"]["test_accuracy"]
    before = sorted((tmp_path / "evaluations").glob("*/record.json"))
    cli("evaluate", *both, *words, "--results", tmp_path)  # the same rows
    cli("evaluate", both[0], "--results", tmp_path)  # neutral values are no values
    assert before == sorted((tmp_path / "evaluations").glob("*/record.json"))
    done = cli("report", tmp_path / "evaluations", "--columns", "contrast,gaussian_noise")
    assert done.code == 0 and "contrast 0.2" in done.out


def test_bad_evaluations_are_messages(cli, trained, tmp_path):
    folder = runs(trained / "best")["bntt"]

    def error(*words: object) -> str:
        done = cli("evaluate", *words, "--results", tmp_path)
        assert done.code == 2 and done.out == ""
        return done.err

    text = error(folder, "--timesteps", 3)
    assert text.startswith("error: method bntt at T = 3: BNTT2d was made for 2 time steps")
    assert "did you mean 'digits'" in error(folder, "--data", "digitz")
    assert "name a data set" in error(folder, "--set", "size=3")
    assert "unknown key" in error(folder, "--data", "digits", "--set", "sizes=3")
    text = error(folder, "--data", "digits_dvs")
    assert "has images of 2x12x12 and 10 classes, the network was built for 1x8x8" in text
    assert "no model.safetensors here" in error(tmp_path / "nothing")
    assert "--under contrast=x: must be a number, not 'x'" in error(folder, "--under", "contrast=x")
    assert "must be from 0 to 10, not -1" in error(folder, "--under", "contrast=-1")
    assert "1.0 is listed twice" in error(folder, "--under", "contrast=1.0,1.0")
    text = error(folder, "--under", "contrst=1")
    assert "unknown condition 'contrst'; allowed: timesteps, contrast, brightness" in text
    assert "did you mean 'contrast'" in text
    assert "timesteps=1.5: must be a whole number" in error(folder, "--timesteps", "1.5")
    assert "is given twice" in error(folder, "--timesteps", "1", "--under", "timesteps=2")
    text = error(folder, "--under", "contrast")
    assert text == "error: --under contrast: must be KEY=VALUE, such as contrast=0.5\n"
    hundred = ",".join(f"0.{i:02}" for i in range(100))
    names = ("contrast", "brightness", "gaussian_noise", "impulse_noise", "occlusion")
    text = error(folder, *(word for name in names for word in ("--under", f"{name}={hundred}")))
    assert text == "error: --under: has 10,000,000,000 combinations; at most 10,000\n"
    assert not list((tmp_path / "evaluations").glob("*/record.json"))
    shutil.copy(trained / "best/kept/plan.json", tmp_path / "evaluations/plan.json")
    assert "holds the runs of a suite called" in error(folder)


def test_a_loss_that_is_no_number_is_a_message(cli, trained, tmp_path):
    shutil.copytree(runs(trained / "best")["bntt"], tmp_path / "run")
    path = tmp_path / "run/model.safetensors"
    with safe_open(path, "pt") as file:
        about = file.metadata()
    huge = {k: torch.full_like(v, 3e38) for k, v in load_file(path).items() if "readout" in k}
    assert huge
    save_file(load_file(path) | huge, path, about)
    done = cli("evaluate", tmp_path / "run", "--results", tmp_path / "r")
    assert done.code == 2
    assert "the weights or the conditions are unusable" in done.err
    assert len(done.errors) == 1


@pytest.mark.parametrize("normalize", [False, True])
def test_a_folder_of_test_images_is_evaluated(cli, tmp_path, normalize):
    """Training images are needed where their mean and deviation normalize the input."""
    from PIL import Image

    from eibench.plan.options import DataShape
    from eibench.training.build import make_method, make_network
    from eibench.training.weights import save_weights

    for name in ("a", "b"):
        (tmp_path / "images/test" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), "white").save(tmp_path / "images/test" / name / "0.png")
    values = {"method": "batchnorm", "model": {"name": "mlp", "width": 8}, "data": "digits"}
    spec = RunSpec.parse({**values, "input": {"normalize": normalize}})
    network = make_network(spec, make_method(spec), DataShape((3, 8, 8), 2))
    save_weights(tmp_path / "run", network.state_dict(), spec, DataShape((3, 8, 8), 2))
    words = ["--data", "imagefolder", "--set", "root=images", "--results", tmp_path]
    done = cli("evaluate", tmp_path / "run", *words)
    if normalize:
        assert done.code == 2 and done.err.startswith("error: data set imagefolder: images/train: ")
        text = "the run normalizes its input by the mean and deviation of training images\n"
        assert done.err.endswith(text)
    else:
        assert (done.code, done.err) == (0, "") and ": 50.00 % of test images" in done.out


def test_memory_that_does_not_suffice_is_a_message(cli, trained, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("eibench.execution.evaluate_network.evaluate", fail)
    done = cli("evaluate", runs(trained / "best")["ei"], "--timesteps", 9, "--results", tmp_path)
    assert done.code == 2
    assert "memory does not suffice for T = 9 and batches of 64 on cpu" in done.err


def test_weights_are_left_out_of_packs_by_name(cli, trained, tmp_path):
    done = cli("results", "pack", trained / "best" / "kept", "--out", tmp_path)
    assert done.code == 0 and "left out: model.safetensors x2" in done.err


def test_an_imported_network_is_evaluated(cli, tmp_path, few_digits):
    """As kept ones are: the run has a spec and weights, and no record."""
    from eibench.plan.options import DataShape
    from eibench.training.build import make_method, make_network
    from eibench.training.weights import save_weights

    values = {"method": "batchnorm", "model": {"name": "mlp", "width": 8}, "data": "digits"}
    spec = RunSpec.parse(values)
    shape = DataShape(few_digits.image, 10)
    network = make_network(spec, make_method(spec), shape)
    save_weights(tmp_path / "run", network.state_dict(), spec, shape)
    assert cli("evaluate", tmp_path / "run", "--results", tmp_path).code == 0
    frame = eibench.load_results(tmp_path / "evaluations")
    assert len(frame) == 1 and frame.method[0] == "batchnorm"


def test_checkpoints_do_not_depend_on_what_is_kept(tmp_path):
    from eibench.training.checkpoint import dependencies

    spec = load_plan(suite(tmp_path), []).runs[0].spec
    other = dataclasses.replace(spec, train=spec.train.model_copy(update={"keep": "best"}))

    class Fake:
        def __init__(self, spec: RunSpec) -> None:
            self.spec = spec
            self.data = type("D", (), {"digest": "d", "train": type("S", (), {})()})()
            self.data.train.labels = torch.zeros(1)

    assert dependencies(Fake(spec)) == dependencies(Fake(other))
