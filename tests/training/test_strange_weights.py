"""Files of weights from strangers and from other versions: one message, and never a crash."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import eibench
from eibench.errors import UserError
from eibench.plan.options import DataShape
from eibench.plan.spec import RunSpec
from eibench.training.build import make_method, make_network
from eibench.training.weights import save_weights

NAME = "model.safetensors"
LONGEST = 2500
"""Characters of a message."""
MODEL = {"name": "plain", "depth": 1, "width": 4, "pools": 1}
SPEC = {"method": "ei", "model": MODEL, "data": "digits"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder with weights."""
    spec = RunSpec.parse(SPEC)
    method, shape = make_method(spec), DataShape((1, 8, 8), 10)
    network = make_network(spec, method, shape)
    method.prepare(network, torch.rand(4, 8, 1, 8, 8), torch.manual_seed(1))
    save_weights(tmp_path, network.state_dict(), spec, shape)
    return tmp_path


def message(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        eibench.load_model(folder)
    text = str(caught.value)
    assert len(text) < LONGEST and "\n" not in text
    return text


def with_header(content: bytes, header: bytes) -> bytes:
    size = int.from_bytes(content[:8], "little")
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


@pytest.mark.parametrize(
    "change",
    [
        lambda c: b"",
        lambda c: c[:4],
        lambda c: (2**63).to_bytes(8, "little") + c[8:],
        lambda c: (2**30).to_bytes(8, "little") + c[8:],
        lambda c: c[:-1],
        lambda c: c + b"x",
        lambda c: with_header(c, b"[" * 100_000),
        lambda c: with_header(c, b'{"a":' * 100_000),
        lambda c: with_header(c, b"[]"),
        lambda c: with_header(c, b"\xff{}"),
        lambda c: with_header(c, b'{"a": {"dtype": "F32", "shape": [99], "data_offsets": [0, 4]}}'),
        lambda c: with_header(
            c, b'{"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 0]}}'
        ),
        lambda c: with_header(c, b'{"a": {"dtype": "X9", "shape": [], "data_offsets": [0, 4]}}'),
        lambda c: with_header(c, b'{"__metadata__": {"eibench": 3}}'),
    ],
)
def test_damaged_files(folder, change: Callable[[bytes], bytes]):
    path = folder / NAME
    path.write_bytes(change(path.read_bytes()))
    assert "is not a safetensors file" in message(folder) or "fit" in message(folder)


def rewritten(folder: Path, change: Callable[[dict, dict], None]) -> str:
    path = folder / NAME
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    about = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["eibench"])
    tensors = load_file(path)
    change(tensors, about)
    save_file(tensors, path, {"eibench": json.dumps(about)})
    return message(folder)


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.complex64, torch.uint8])
def test_other_kinds_of_numbers(folder, kind):
    def change(tensors: dict, about: dict) -> None:
        tensors["conv0.weight_ee"] = tensors["conv0.weight_ee"].to(kind)

    assert "conv0.weight_ee: is no plain tensor of floating-point numbers" in rewritten(
        folder, change
    )


def test_values_that_are_not_finite_and_many_tensors(folder):
    def spoil(tensors: dict, about: dict) -> None:
        tensors["conv0.gain_e"][0] = torch.nan

    assert "not all values are finite: conv0.gain_e" in rewritten(folder, spoil)

    def add(tensors: dict, about: dict) -> None:
        tensors.update({f"t{i}": torch.zeros(0) for i in range(5000)})

    assert "is unknown and 4990 more" in rewritten(folder, add)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("image", [1, 2**20, 2**20], "cannot be built|too large|fit"),
        ("image", [2**20, 2**20, 2**20], "cannot be built|too large|fit"),
        ("classes", 2**20, "fit"),
        ("run_id", "x" * 10**6, "is of run 'xxx"),
        ("run_id", {"a": 1}, "is of run a mapping"),
        ("version", [1] * 10**5, "has version"),
        ("version", True, "has version true"),
    ],
)
def test_impossible_headers(folder, key, value, text):
    assert re.search(text, rewritten(folder, lambda tensors, about: about.update({key: value})))


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (("model", "width"), 65_536, "is of run"),
        (("model", "gone"), 1, "spec.yaml: model.gone: unknown key"),
        (("train", "lr"), "fast", "spec.yaml: train.lr: must be a number"),
        (("later",), {"a": 1}, "spec.yaml: later: unknown key"),
    ],
)
def test_specs_of_other_versions(folder, path, value, text):
    spec = yaml.safe_load((folder / "spec.yaml").read_text())
    place = spec
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    assert text in message(folder)


def test_an_older_spec_lacks_options_that_came_later(folder):
    """Their defaults are what they were before."""
    spec = yaml.safe_load((folder / "spec.yaml").read_text())
    del spec["train"]["keep"], spec["train"]["weight_decay_on"], spec["input"]
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    assert eibench.load_model(folder)


def test_what_is_no_file(folder, tmp_path):
    for name in (NAME, "spec.yaml"):
        path = folder / name
        content = path.read_bytes()
        path.unlink()
        path.mkdir()
        assert name in message(folder)
        path.rmdir()
        os.mkfifo(path)
        assert "is not a regular file" in message(folder)
        path.unlink()
        path.symlink_to("/dev/zero")
        assert "is a link" in message(folder)
        path.unlink()
        path.write_bytes(content)
    assert eibench.load_model(folder)


def test_a_network_beyond_all_memory(tmp_path):
    """Sizes that a header may state, of which a layer would have more weights than can be."""
    spec = RunSpec.parse({**SPEC, "method": "batchnorm", "model": {"name": "mlp"}})
    state = make_network(spec, make_method(spec), DataShape((1, 8, 8), 10)).state_dict()
    save_weights(tmp_path, state, spec, DataShape((2**20, 2**20, 2**20), 10))
    assert "no network can be built for it" in message(tmp_path)
