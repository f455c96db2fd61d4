"""ONNX and `torch.export`: logits of every method and model equal those of torch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import MODELS, SHAPE, images, loaded

from eibench.errors import UserError
from eibench.interop.deployed import LoadedRun
from eibench.interop.programs import export_onnx, export_program
from eibench.plan.options import METHODS
from eibench.training.weights import save_weights

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def run_onnx(path: Path, x: torch.Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": x.numpy()})[0]


def check(run: LoadedRun, folder: Path) -> None:
    """Both files give torch's logits for a batch of another size than the example's."""
    x = images(3)
    with torch.no_grad():
        expected = run.network(x.expand(run.spec.timesteps, *x.shape)).mean(0)
    assert expected.abs().max() > 0
    export_program(run, folder / "model.pt2")
    found = torch.export.load(folder / "model.pt2").module()(x)
    assert torch.allclose(found, expected, atol=1e-5)
    export_onnx(run, folder / "model.onnx")
    assert np.abs(run_onnx(folder / "model.onnx", x) - expected.numpy()).max() < 1e-5


FAST = "batchnorm"


@pytest.mark.parametrize(
    "method", [m if m == FAST else pytest.param(m, marks=pytest.mark.slow) for m in METHODS]
)
def test_every_method(method, tmp_path):
    check(loaded(method, timesteps=4 if method == FAST else 2), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"preset": "blanket"},
        {"inhibitory_cell": "lif"},
        {"preset": "blanket", "plasticity": 0.1},
    ],
)
def test_circuits(options, tmp_path):
    check(loaded({"name": "ei", **options}, timesteps=2), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mlp", "vgg", "resnet"])
def test_every_model(model, tmp_path):
    check(loaded(FAST, MODELS[model], timesteps=2), tmp_path)


@pytest.mark.slow
def test_hard_reset_and_other_steps(tmp_path):
    check(loaded("no_norm", neuron={"reset": "hard", "tau": 1.5}, timesteps=3), tmp_path)


def test_a_place_where_no_file_can_be_is_said_at_once(cli, tmp_path):
    for place, kind in ((tmp_path, "a folder"), ("/dev/null", "not a regular file")):
        done = cli("export", "nowhere", "--to", "torch", "--out", place)
        assert done.code == 2 and f"{place}: cannot be written: it is {kind}" in done.err


def test_options_of_other_targets_are_refused(cli):
    done = cli("export", "run", "--to", "torch", "--project", "a")
    assert (done.code, done.err) == (
        2,
        "error: --project: only of wandb and trackio, not of torch\n",
    )
    done = cli("export", "run", "--to", "wandb", "--timesteps", 2)
    assert done.code == 2 and "--timesteps: only of networks" in done.err


def test_the_file_says_what_it_is(cli, tmp_path):
    run = loaded("batchnorm")
    save_weights(tmp_path / "run", run.network.state_dict(), run.spec, SHAPE)
    done = cli("export", tmp_path / "run", "--to", "onnx", "--timesteps", 2)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{tmp_path}/run/model.onnx: batchnorm plain-depth2-width8-pools1, T = 2\n"
    model = onnx.load(tmp_path / "run" / "model.onnx")
    onnx.checker.check_model(model)
    assert model.opset_import[0].version == 18
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert about["run_id"] == run.run_id and about["timesteps"] == "2"
    assert json.loads(about["normalized_input"]) is False
    (given,), (out,) = model.graph.input, model.graph.output
    sizes = [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim]
    assert (given.name, out.name) == ("images", "logits") and sizes[1:] == [1, 8, 8]
    x = images()
    expected = run.network(x.expand(2, *x.shape)).mean(0).detach().numpy()
    assert np.abs(run_onnx(tmp_path / "run" / "model.onnx", x) - expected).max() < 1e-5


def test_refusals(cli, tmp_path, monkeypatch):
    run = loaded("bntt")
    save_weights(tmp_path / "run", run.network.state_dict(), run.spec, SHAPE)
    done = cli("export", tmp_path / "run", "--to", "torch", "--timesteps", 3)
    assert done.code == 2 and "method bntt" in done.err
    assert "cannot be exported to torch.export: BNTT2d was made for 4 time steps" in done.err
    assert not (tmp_path / "run" / "model.pt2").exists()
    done = cli("export", tmp_path / "run", "--to", "onnx", "--timesteps", 3)
    assert done.code == 2 and "cannot be exported to ONNX: BNTT2d was made for 4 time" in done.err
    assert "no model.safetensors here" in cli("export", tmp_path, "--to", "onnx").err
    assert cli("export", tmp_path, "--to", "onx").code == 2

    class Odd(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum().item() > 0 else -x

    odd = LoadedRun(run.run_id, run.spec, SHAPE, Odd())
    with pytest.raises(UserError, match=r"cannot be exported to torch\.export"):
        export_program(odd, tmp_path / "odd.pt2")
    with pytest.raises(UserError, match="cannot be exported to ONNX"):
        export_onnx(odd, tmp_path / "odd.onnx")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs onnx and onnxscript.*eibench\[onnx\]"):
        export_onnx(run, tmp_path / "no.onnx")
