"""Kept weights: round trips of every method, and files of other versions."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn

import eibench
from eibench.errors import UserError
from eibench.nn import initialize
from eibench.plan.options import METHODS, DataShape
from eibench.plan.spec import RunSpec
from eibench.training.build import make_method, make_network
from eibench.training.weights import load_run, save_weights

SHAPE = DataShape((1, 8, 8), 10)
X = torch.rand(4, 3, *SHAPE.image, generator=torch.manual_seed(1))
MODELS = {
    "plain": {"name": "plain", "depth": 2, "width": 8},
    "mlp": {"name": "mlp", "depth": 2, "width": 64},
    "vgg": {"name": "vgg", "layout": "8 P 8 P"},
    "resnet": {"name": "resnet", "width": 4},
}


def spec_of(method: object = "ei", model: str = "plain") -> RunSpec:
    return RunSpec.parse({"method": method, "model": MODELS[model], "data": "digits"})


def trained(spec: RunSpec) -> nn.Module:
    """The network after its preparation and a step of training, with running statistics."""
    method = make_method(spec)
    network = make_network(spec, method, SHAPE).train()
    method.prepare(network, X, torch.manual_seed(2))
    network(X).mean(0).square().sum().backward()
    torch.optim.SGD(network.parameters(), lr=1e-3).step()
    method.project(network)
    return network


def kept(folder: Path, spec: RunSpec) -> nn.Module:
    network = trained(spec)
    save_weights(folder, network.state_dict(), spec, SHAPE)
    return network


def same(a: nn.Module, b: nn.Module) -> bool:
    with torch.no_grad():
        return torch.equal(a.eval()(X), b(X))


@pytest.mark.parametrize("method", list(METHODS))
def test_round_trip_of_every_method(method, tmp_path):
    spec = spec_of(method)
    network = kept(tmp_path, spec)
    loaded = eibench.load_model(tmp_path)
    assert not loaded.training and same(network, loaded)
    assert {p.requires_grad for p in loaded.parameters()} == {True}


@pytest.mark.parametrize("model", MODELS)
def test_round_trip_of_every_model(model, tmp_path):
    network = kept(tmp_path, spec_of("ei", model))
    found, shape, loaded = load_run(tmp_path)
    assert found == spec_of("ei", model) and shape == SHAPE
    assert same(network, loaded)


@pytest.mark.parametrize(
    "options",
    [
        {"divisive": False, "plasticity": 0.1, "calibration": "neuron"},
        {"inhibitory_cell": "lif"},
        {"preset": "blanket"},
    ],
)
def test_state_of_circuits(options, tmp_path):
    """Mean inputs of plastic inhibition and thresholds of spiking cells are part of the file."""
    network = kept(tmp_path, spec_of({"name": "ei", **options}))
    loaded = eibench.load_model(tmp_path)
    assert same(network, loaded)
    before = copy.deepcopy(loaded.state_dict())
    assert before.keys() == network.state_dict().keys()
    initialize(loaded, X, torch.manual_seed(5))  # still possible, and it changes the network
    assert not same(network, loaded)


def about(path: Path) -> dict:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    return json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["eibench"])


def rewrite(folder: Path, **changed: object) -> None:
    path = folder / "model.safetensors"
    save_file(load_file(path), path, {"eibench": json.dumps({**about(path), **changed})})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"version": 2}, "has version 2 of the format, this eibench reads 1"),
        ({"version": 0}, "has version 0"),
        ({"format": "pt"}, "is not a file of eibench's weights"),
        ({"image": [1, 8]}, r"damaged \(image or classes"),
        ({"image": [1, 8, 1e9]}, r"damaged \(image or classes"),
        ({"classes": True}, r"damaged \(image or classes"),
        ({"classes": 11}, r"readout.weight_ee: has shape \[10, .*\], the network needs \[11"),
        ({"image": [1, 2, 2]}, "needs images"),
        ({"run_id": "other"}, "is of run 'other', spec.yaml beside it of ei_"),
    ],
)
def test_other_versions_and_damage(changed, message, tmp_path):
    kept(tmp_path, spec_of("ei", "vgg"))
    rewrite(tmp_path, **changed)
    with pytest.raises(UserError, match=message):
        eibench.load_model(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "damaged"),
        ("a: [", "spec.yaml:1"),
        ("a: &a [1]\nb: *a", "anchors and aliases"),
        ("method: ie\nmodel: vgg\ndata: digits\n", "unknown method 'ie'"),
        (None, "spec.yaml"),
    ],
)
def test_bad_specs(text, message, tmp_path):
    kept(tmp_path, spec_of())
    path = tmp_path / "spec.yaml"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(UserError, match=message):
        eibench.load_model(tmp_path)


@pytest.mark.parametrize("flag", [0.0, 2.0])
def test_weights_that_were_never_drawn_are_refused(tmp_path, flag):
    kept(tmp_path, spec_of())
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    (name, *_) = [key for key in tensors if key.endswith("initialized")]
    tensors[name] = torch.tensor(flag)
    save_file(tensors, path, {"eibench": json.dumps(about(path))})
    with pytest.raises(UserError, match=f"{name.rpartition('.')[0]}: is not initialised"):
        eibench.load_model(tmp_path)


def test_a_network_of_another_version_lists_its_tensors(tmp_path):
    kept(tmp_path, spec_of())
    path = tmp_path / "model.safetensors"
    header = {"eibench": json.dumps(about(path))}
    tensors = load_file(path)
    tensors["conv9.new"] = tensors.pop("conv0.gain_e")
    save_file(tensors, path, header)
    with pytest.raises(UserError, match=r"conv0.gain_e: is missing, conv9.new: is unknown"):
        eibench.load_model(tmp_path)


@pytest.mark.parametrize("header", [None, {"format": "pt"}, {"eibench": "{"}, {"eibench": "[1]"}])
def test_safetensors_of_others(header, tmp_path):
    kept(tmp_path, spec_of())
    path = tmp_path / "model.safetensors"
    save_file(load_file(path), path, header)
    with pytest.raises(UserError, match=r"not a file of eibench's weights|damaged \(its header"):
        eibench.load_model(tmp_path)


def test_equal_weights_give_equal_bytes_and_links_are_not_followed(tmp_path):
    network, spec = kept(tmp_path / "a", spec_of()), spec_of()
    save_weights(tmp_path / "b", network.state_dict(), spec, SHAPE)
    first, second = (tmp_path / name / "model.safetensors" for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    second.unlink()
    second.symlink_to(first)
    with pytest.raises(UserError, match="is a link"):
        eibench.load_model(tmp_path / "b")
    with pytest.raises(UserError, match="is a link"):
        save_weights(tmp_path / "b", network.state_dict(), spec, SHAPE)


def test_no_weights_and_other_specs(tmp_path):
    with pytest.raises(UserError, match=r"no model.safetensors here"):
        eibench.load_model(tmp_path)
    kept(tmp_path, spec_of())
    spec = yaml.safe_load((tmp_path / "spec.yaml").read_text())
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump({**spec, "seed": 3}))
    with pytest.raises(UserError, match=r"spec.yaml beside it of ei_plain-depth2-width8_digits_s3"):
        eibench.load_model(tmp_path)
