"""DeepEISNN's checkpoints: logits against plain equations, and files that cannot be used."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from deepeisnn_fake import CLASSES, IMAGE, NETWORKS, VGG, Fake, T, release
from torch import Tensor

import eibench
from eibench.errors import UserError
from eibench.interop.deepeisnn import load_checkpoint
from eibench.nn import LIF, EIConv2d, EILinear


def images(count: int = 2) -> Tensor:
    """Images in [0, 1] with a dark half, where inhibition divides by zero."""
    drawn = torch.rand(count, *IMAGE, dtype=torch.float64, generator=torch.manual_seed(3))
    drawn[:, :, :, 16:] = 0
    drawn[-1, 0] = 0
    return drawn


def write(fake: Fake, path: Path) -> Path:
    torch.save(fake.checkpoint(), path)
    return path


@torch.no_grad()
def logits(network: torch.nn.Module, x: Tensor) -> Tensor:
    return network(x.expand(T, *x.shape)).mean(0)


def assert_equal(network: torch.nn.Module, fake: Fake) -> None:
    x = images()
    expected = fake.logits(x)
    assert min(fake.rates) > 0.01 and max(fake.rates) < 0.98, fake.rates
    assert not network.training
    torch.testing.assert_close(logits(network, x), expected, rtol=0, atol=1e-9)
    assert expected.std() > 1e-3 and (expected[0] - expected[1]).abs().max() > 1e-3


@pytest.mark.parametrize(("kind", "depth"), NETWORKS)
def test_logits_are_those_of_the_equations(kind, depth, tmp_path):
    """Tensors stand in random order: their names alone say where they belong."""
    fake = Fake(kind, depth, seed=depth)
    assert_equal(load_checkpoint(write(fake, tmp_path / "ckpt-best.pth")), fake)
    assert_equal(load_checkpoint(str(release(fake, tmp_path / "CIFAR10"))), fake)


def test_neuron_and_layers_are_those_of_the_configuration(tmp_path):
    fake = Fake("EI-SNN", 8, tau=3.0, threshold=0.7)
    network = load_checkpoint(write(fake, tmp_path / "a.pth"))
    assert_equal(network, fake)
    kinds = [type(m) for m in network.modules() if isinstance(m, EIConv2d | EILinear | LIF)]
    assert kinds == [EIConv2d, LIF] * 5 + [EILinear]
    assert all(m.is_initialized() for m in network.modules() if isinstance(m, EIConv2d | EILinear))


def test_names_of_gains_in_other_versions_of_the_code(tmp_path):
    fake = Fake("EI-SNN", 8)
    old = {"gain_i": "alpha", "gain_e": "gain"}
    for key in list(fake.state):
        head, _, name = key.rpartition(".")
        fake.state[f"{head}.{old.get(name, name)}"] = fake.state.pop(key)
    assert_equal(load_checkpoint(write(fake, tmp_path / "a.pth")), fake)


@pytest.mark.parametrize("depth", [8, 18])
def test_names_from_several_gpus(depth, tmp_path):
    fake = Fake("EI-SNN", depth, seed=depth)
    fake.state = {f"module.{key}": tensor for key, tensor in fake.state.items()}
    assert_equal(load_checkpoint(write(fake, tmp_path / "a.pth")), fake)


def test_negative_weights_are_clamped_as_in_their_forward_pass(tmp_path):
    fake = Fake("EI-SNN", 8)
    for name in ("layers.2.conv_ee.weight", "layers.3.weight_ei", "layers.9.conv_ie.weight"):
        fake.state[name].view(-1)[:3] = 0
    expected = fake.logits(images())
    for name in ("layers.2.conv_ee.weight", "layers.3.weight_ei", "layers.9.conv_ie.weight"):
        fake.state[name] = torch.where(fake.state[name] == 0, -0.1, fake.state[name])
    found = logits(load_checkpoint(write(fake, tmp_path / "a.pth")), images())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_unused_gains_of_the_readout_may_be_absent(tmp_path):
    fake = Fake("EI-SNN", 8)
    last = max(int(key.split(".")[1]) for key in fake.state)
    for name in ("gain_i", "gain_e", "bias"):
        del fake.state[f"layers.{last}.{name}"]
    assert_equal(load_checkpoint(write(fake, tmp_path / "a.pth")), fake)


def test_single_precision_stays(tmp_path):
    fake = Fake("BN-SNN", 8)
    fake.state = {k: v.float() if v.is_floating_point() else v for k, v in fake.state.items()}
    network = load_checkpoint(write(fake, tmp_path / "a.pth"))
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    with torch.no_grad():
        assert network(torch.rand(T, 2, *IMAGE)).shape == (T, 2, CLASSES)


def test_configuration_from_a_file_or_as_values(tmp_path):
    fake = Fake("EI-SNN", 11)
    saved = fake.checkpoint()
    del saved["config"]
    torch.save(saved, tmp_path / "a.pth")
    with pytest.raises(UserError, match="holds no config"):
        load_checkpoint(tmp_path / "a.pth")
    (tmp_path / "c.yaml").write_text("# data\n" + yaml.safe_dump(fake.config))
    assert_equal(load_checkpoint(tmp_path / "a.pth", tmp_path / "c.yaml"), fake)
    assert_equal(load_checkpoint(tmp_path / "a.pth", fake.config), fake)
    folder = release(fake, tmp_path / "released")
    (folder / "config.json").unlink()
    assert_equal(load_checkpoint(folder, tmp_path / "c.yaml"), fake)


FORMS: dict[str, dict[str, object]] = {
    "zip": {},
    "before zip": {"_use_new_zipfile_serialization": False},
    "protocol 3": {"pickle_protocol": 3},
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_torch_save(form, tmp_path, recwarn):
    """From protocol 3 on, bytes (as in NumPy's state) have an instruction that torch refuses."""
    fake = Fake("EI-SNN", 8)
    content = fake.checkpoint()
    if form == "protocol 3":
        del content["np_rng_state"]
    torch.save(content, tmp_path / "a.pth", **FORMS[form])
    recwarn.clear()
    assert_equal(load_checkpoint(tmp_path / "a.pth"), fake)
    assert not recwarn.list


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_values_of_numpy_under_the_names_of_numpy_1_and_2(module, tmp_path):
    fake = Fake("EI-SNN", 8)
    scores = [np.float32(0.5), np.float64(12.5), np.int64(3), np.bool_(True), np.arange(3.0)]
    path, renamed = tmp_path / "here.pth", tmp_path / "renamed.pth"
    torch.save({**fake.checkpoint(), "scores": scores}, path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(renamed, "w") as target:
        for member in source.infolist():
            content = source.read(member)
            if member.filename.endswith("data.pkl"):
                now = np.zeros(0).__reduce__()[0].__module__.encode()
                assert now in content
                content = content.replace(now, module.encode())
            target.writestr(member, content)
    assert_equal(load_checkpoint(renamed), fake)


# --- The command -----------------------------------------------------------------------------


def test_command_makes_a_run_that_loads(cli, tmp_path):
    fake = Fake("EI-SNN", 18)
    run = tmp_path / "run"
    done = cli("import", "deepeisnn", write(fake, tmp_path / "a.pth"), "--out", run)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{run}: ei resnet-width8, cifar10, T = 3\n"
    assert sorted(p.name for p in run.iterdir()) == ["model.safetensors", "spec.yaml"]
    assert_equal(eibench.load_model(run), fake)
    done = cli("import", "deepeisnn", tmp_path / "a.pth", "--out", run)
    assert (done.code, done.err) == (2, f"error: {run}: exists already; name a new folder\n")


def test_paper_widths_have_no_layout(cli, tmp_path, monkeypatch):
    monkeypatch.setitem(VGG, 8, [64, "P", 128, "P", 256, "P", 512, "P", 512, "P"])
    fake = Fake("BN-SNN", 8)
    fake.state = {k: v.float() if v.is_floating_point() else v for k, v in fake.state.items()}
    path = write(fake, tmp_path / "a.pth")
    done = cli("import", "deepeisnn", path, "--out", tmp_path / "run")
    assert done.out == f"{tmp_path / 'run'}: batchnorm vgg, cifar10, T = 3\n"


# --- Files that cannot be used ---------------------------------------------------------------


def nested(levels: int) -> list:
    """A list that is small in memory and has 2 ** levels items as text."""
    return [inner := nested(levels - 1), inner] if levels else [1]


Change = Callable[[Fake, dict], object]
WRONG: dict[str, tuple[Change, str]] = {
    "missing": (
        lambda f, c: [f.state.pop("layers.3.bias"), f.state.pop("layers.9.conv_ie.weight")],
        "not those of VGG-8 of type EI-SNN: missing keys: layers.3.bias, layers.9.conv_ie.weight",
    ),
    "unknown": (
        lambda f, c: f.state.update({"layers.4.v": torch.ones(1), "a\x1b": torch.ones(1)}),
        r"unknown keys: a\\x1b, layers.4.v",
    ),
    "circuit": (
        lambda f, c: [f.state.pop(k) for k in list(f.state) if k.startswith("layers.3.")],
        "missing keys: layers.3.bias, layers.3.gain_e, layers.3.gain_i, layers.3.weight_ei",
    ),
    "layers": (
        lambda f, c: [f.state.pop(k) for k in list(f.state) if k.startswith("layers.2.")],
        "VGG-8 of type EI-SNN has 6 layers with weights, the file 5: layers.9, layers.16",
    ),
    "prefix": (
        lambda f, c: [f.state.update({f"net.{k}": f.state.pop(k)}) for k in sorted(f.state)],
        r"the file 0: none; its first keys: (net\.[\w.]+, ){4}net\.[\w.]+ and \d+ more$",
    ),
    "no tensors": (lambda f, c: f.state.clear(), "the file 0: none; its first keys: none"),
    "depth": (lambda f, c: c.update(num_layers=11), "VGG-11 .* has 9 layers with weights"),
    "shape": (
        lambda f, c: f.state.update({"layers.3.bias": torch.ones(9, 1, 1)}),
        r"layers.3.bias: has shape \[9, 1, 1\], the network needs \[8\]",
    ),
    "ratio": (lambda f, c: c.update(ei_ratio=2), r"layers.2.conv_ie.weight: has shape \[2, 3"),
    "nan": (
        lambda f, c: f.state["layers.3.bias"].fill_(torch.nan),
        "not all values are finite: layers.3.bias",
    ),
    "kind": (
        lambda f, c: f.state.update({"layers.3.bias": torch.ones(8, dtype=torch.int64)}),
        "layers.3.bias: is no plain tensor of floating-point numbers",
    ),
    "sparse": (
        lambda f, c: f.state.update({"layers.3.bias": torch.ones(8).to_sparse()}),
        "layers.3.bias: is no plain tensor",
    ),
    "wide": (
        lambda f, c: f.state.update({"layers.2.conv_ee.weight": torch.ones(1).expand(70_000)}),
        "model.layout: must list widths",
    ),
    "large": (
        lambda f, c: f.state.update(
            {k: torch.zeros(1).expand(65_536, 65_536, 3, 3) for k in f.state if "conv_ee" in k}
        ),
        "has shape",
    ),
    "type": (lambda f, c: c.update(type="EI-ANN"), "type: must be 'EI-SNN' or 'BN-SNN', not"),
    "no T": (lambda f, c: c.pop("T"), "T: is missing"),
    "no ratio": (lambda f, c: c.pop("ei_ratio"), "ei_ratio is missing; EI-SNN needs it"),
    "vgg": (lambda f, c: c.update(num_layers=18), r"num_layers \(18\) of VGG must be one of 8, 11"),
    "dense": (lambda f, c: c.update(light_classifier=False), "light_classifier must be true"),
    "data": (lambda f, c: c.update(dataset="SVHN"), "dataset: must be 'MNIST', 'CIFAR10'"),
    "neuron": (
        lambda f, c: c.update(neuron={"tua": 2.0}),
        "neuron.tua: unknown key; allowed here: .* did you mean 'tau'",
    ),
    "decay": (lambda f, c: c.update(neuron={"decay_input": True}), "neuron.decay_input: must be"),
    "nested": (lambda f, c: c.update(type=nested(60), neuron={"tau": nested(60)}), "not 'a list'"),
    "no mapping": (lambda f, c: c.clear(), "type: is missing"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_one_message(name, cli, tmp_path):
    change, message = WRONG[name]
    fake = Fake("EI-SNN", 8)
    config = fake.config
    change(fake, config)
    torch.save({**fake.checkpoint(), "config": config}, tmp_path / "a.pth")
    done = cli("import", "deepeisnn", tmp_path / "a.pth", "--out", tmp_path / "run")
    assert done.code == 2 and not (tmp_path / "run").exists()
    with pytest.raises(UserError, match=message):
        load_checkpoint(tmp_path / "a.pth")
