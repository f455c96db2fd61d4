"""NIR: graphs run by a reader of our own give eibench's logits; what NIR cannot say is refused."""

from __future__ import annotations

from pathlib import Path

import nir_reader
import numpy as np
import pytest
import torch
from networks import MODELS, PLAIN, SHAPE, images, loaded

from eibench.errors import UserError
from eibench.interop.deployed import LoadedRun
from eibench.interop.nir_graph import export_nir
from eibench.plan.options import METHODS
from eibench.training.weights import save_weights

nir = pytest.importorskip("nir")
HARD = {"neuron": {"reset": "hard"}}
CALIBRATED = {"calibration": "neuron", "calibration_mean": 0.3, "calibration_deviation": 0.6}
SUBTRACTS = {"name": "ei", "divisive": False, **CALIBRATED}
WRITTEN = {"batchnorm", "tdbn", "no_norm", "weight_standardization"}


def check(run: LoadedRun, folder: Path) -> None:
    export_nir(run, folder / "model.nir")
    graph = nir.read(folder / "model.nir")
    x, steps = images(2), run.spec.timesteps
    network = run.network.double()
    expected = network(x.double().expand(steps, *x.shape)).detach().numpy()
    assert len(np.unique(expected)) > 10
    for i, image in enumerate(x.double().numpy()):
        found = nir_reader.run(graph, np.stack([image] * steps))
        assert np.abs(found - expected[:, i]).max() < 1e-4


@pytest.mark.parametrize(
    "method",
    [
        *sorted(WRITTEN),
        {"name": "batchnorm", "stats": "per_step"},
        SUBTRACTS,
        {**SUBTRACTS, "plasticity": 0.1},
        {"name": "ei", "subtractive": False, "divisive": False},
        {"name": "ei", "preset": "blanket"},
    ],
    ids=str,
)
def test_methods_that_fold(method, tmp_path):
    check(loaded(method, **HARD), tmp_path)


@pytest.mark.parametrize("model", MODELS)
def test_every_model(model, tmp_path):
    check(loaded("batchnorm", MODELS[model], **HARD), tmp_path)


def test_currents_added_and_other_constants(tmp_path):
    model = {"name": "resnet", "width": 4, "shortcut": "currents"}
    check(
        loaded("batchnorm", model, neuron={"reset": "hard", "tau": 1.5, "threshold": 0.7}), tmp_path
    )


@pytest.mark.parametrize("method", [m for m in METHODS if m not in WRITTEN])
def test_all_others_are_refused_with_a_reason(method, tmp_path):
    with pytest.raises(UserError, match=r"layer \w+: cannot be written as NIR: .* "):
        export_nir(loaded(method, **HARD), tmp_path / "model.nir")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("method", "values", "reason"),
    [
        ("ei", HARD, "layer conv0: cannot be written as NIR: its inhibition divides"),
        ("batchnorm", {}, "layer neuron1: .*its reset is soft"),
        ({**SUBTRACTS, "inhibitory_cell": "lif"}, HARD, "its inhibitory cells spike"),
        ({**SUBTRACTS, "dale": False}, HARD, "its inhibitory cells are rectified"),
        ("bntt", HARD, "layer conv0_1: .*BNTT2d is no affine map"),
        ("mpbn", HARD, "layer neuron1: .*MPBNLIF does more than NIR's LIF"),
        ("wta", HARD, "KWinners is no affine map"),
    ],
)
def test_reasons(method, values, reason, tmp_path):
    with pytest.raises(UserError, match=reason):
        export_nir(loaded(method, PLAIN, **values), tmp_path / "model.nir")


def test_products_are_refused(tmp_path):
    model = {"name": "resnet", "width": 4, "connect": "iand"}
    with pytest.raises(UserError, match="`iand` is a product"):
        export_nir(loaded("no_norm", model, **HARD), tmp_path / "model.nir")


def test_the_command(cli, tmp_path):
    run = loaded("no_norm", **HARD)
    save_weights(tmp_path / "run", run.network.state_dict(), run.spec, SHAPE)
    done = cli("export", tmp_path / "run", "--to", "nir", "--out", tmp_path / "a" / "b.nir")
    assert (done.code, done.err) == (0, "") and (tmp_path / "a" / "b.nir").exists()
    assert nir.read(tmp_path / "a" / "b.nir").metadata["run_id"] == run.spec.run_id
    done = cli("export", tmp_path / "run", "--to", "nir", "--timesteps", 2)
    assert done.code == 2 and "a NIR graph is one step" in done.err


def test_a_neuron_at_its_threshold_fires(tmp_path):
    run = loaded("no_norm", {"name": "mlp", "depth": 1, "width": 1}, **HARD)
    with torch.no_grad():
        for parameter in run.network.parameters():
            parameter.zero_()
        run.network.dense1.module.bias.fill_(1.0)  # the current is the threshold
        run.network.readout.weight.fill_(1.0)
    check_spikes = run.network(torch.zeros(4, 1, *SHAPE.image))
    export_nir(run, tmp_path / "model.nir")
    found = nir_reader.run(
        nir.read(tmp_path / "model.nir"), np.zeros((4, *SHAPE.image), np.float32)
    )
    assert (found == 1).all() and (check_spikes == 1).all()
