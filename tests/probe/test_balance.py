"""Probes of the balance: drift, signal share and class signal, by hand and against NumPy on a whole
network; and checkpoints of options of the circuit."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import f_oneway
from torch.nn.functional import cross_entropy

from eibench.data.base import ImageData, Split
from eibench.plan import METHODS, RunSpec
from eibench.probe.balance import class_signal, drift, imbalances, signal_share
from eibench.probe.propagation import advance, imbalances_of, measure
from eibench.results.metrics import LAYER_METRICS
from eibench.training import checkpoint
from eibench.training.build import build, prepare
from eibench.training.fit import Progress, fit
from eibench.training.seeds import generator

T = 3


def tiny_data():
    """24 images [1, 4, 4] of two classes."""
    images = torch.rand(24, 1, 4, 4, generator=torch.Generator().manual_seed(5))
    split = Split(images, torch.arange(24) % 2)
    return ImageData(("even", "odd"), split, split, split)


def prepared(method, prepare_it=True, epochs=3):
    model = {"name": "plain", "depth": 2, "width": 8, "pools": 1}
    values = {"method": method, "model": model, "data": "digits", "timesteps": T}
    spec = RunSpec.parse({**values, "train": {"batch_size": 8, "epochs": epochs}})
    experiment = build(spec, tiny_data())
    if prepare_it:
        prepare(experiment)
    return experiment


# ------------------------------------------------------------------------------ by hand


def test_signal_share_by_hand():
    # One step, two samples, two neurons: (0, 10) and (2, 10). Between samples: 1 and 0, on average
    # 0.5. All of (0, 2, 10, 10): mean 5.5, variance (30.25 + 12.25 + 2 * 20.25) / 4 = 20.75.
    current = torch.tensor([[[0.0, 10.0], [2.0, 10.0]]])
    assert signal_share(current) == pytest.approx(0.5 / 20.75)


def test_what_all_samples_share_is_no_signal():
    """Offsets of neurons, patterns over positions, courses over time: the same in each sample."""
    rng = torch.Generator().manual_seed(0)
    shared = torch.randn(4, 1, 3, 5, 5, generator=rng).expand(4, 6, 3, 5, 5)
    assert signal_share(shared) == pytest.approx(0.0, abs=1e-12)
    alone = torch.randn(1, 6, 1, 1, 1, generator=rng).expand(4, 6, 3, 5, 5)
    assert signal_share(alone) == pytest.approx(1.0)
    assert signal_share(torch.ones(2, 3, 4)) is None


@given(st.integers(1, 4), st.integers(2, 5), st.integers(1, 5), st.integers(0, 1000))
def test_signal_share_lies_between_0_and_1(steps, batch, channels, seed):
    current = np.random.default_rng(seed).normal(size=(steps, batch, channels, 2, 2))
    expected = current.var(axis=1).mean() / current.var()
    found = signal_share(torch.from_numpy(current))
    assert 0 <= found <= 1 + 1e-12
    assert found == pytest.approx(expected)


def test_class_signal_by_hand():
    # Two steps; rates of one neuron: 0.5 and 1 in class 7, 0 and 0 in class 3, 0.5 in class 4.
    # Means 0.75, 0, 0.5, of all 0.4.
    # Between: (2 * 0.1225 + 2 * 0.16 + 0.01) / 2. Within: 0.125 / 2.
    spikes = torch.tensor([[1.0, 1, 0, 0, 1], [0, 1, 0, 0, 0]])[:, :, None]
    labels = torch.tensor([7, 7, 3, 3, 4])
    assert class_signal(spikes, labels) == pytest.approx((0.245 + 0.32 + 0.01) / 0.125)


def test_class_signal_against_scipy():
    """For one neuron it is the F statistic; silent or copied neurons change nothing."""
    rng = torch.Generator().manual_seed(0)
    spikes = (torch.rand(4, 30, 1, generator=rng) < 0.3).double()
    labels = torch.arange(30) % 3
    groups = [spikes.mean(0)[labels == label, 0].numpy() for label in range(3)]
    expected = f_oneway(*groups).statistic
    assert class_signal(spikes, labels) == pytest.approx(expected)
    both = torch.cat([spikes, spikes, torch.zeros_like(spikes)], dim=2)
    assert class_signal(both, labels) == pytest.approx(expected)


def test_class_signal_is_one_by_chance_and_absent_without_variance():
    rng = torch.Generator().manual_seed(0)
    spikes = (torch.rand(4, 40, 16, 5, 5, generator=rng) < 0.3).float()
    assert class_signal(spikes, torch.arange(40) % 4) == pytest.approx(1.0, abs=0.1)
    assert class_signal(spikes, torch.zeros(40)) is None
    assert class_signal(spikes, torch.arange(40)) is None
    assert class_signal(torch.zeros_like(spikes), torch.arange(40) % 4) is None


def test_imbalance_and_drift_by_hand():
    # I_EE of two neurons over two samples: (1, 3) and (5, 7): mean 4, deviation sqrt(5).
    # I_sub 1 and 6 on average: differences 1 and 0.
    i_ee = torch.tensor([[[1.0, 5.0], [3.0, 7.0]]])
    i_sub = torch.tensor([[[1.0, 5.0], [1.0, 7.0]]])
    found = imbalances(i_ee, i_sub)
    assert found.tolist() == pytest.approx([1 / 5**0.5, 0.0])
    assert drift(found, found) == 0.0
    assert drift(torch.tensor([1.0, -1.0]), torch.tensor([4.0, 3.0])) == pytest.approx(12.5**0.5)
    assert imbalances(torch.ones(1, 2, 2), i_sub) is None
    assert drift(None, found) is None


# --------------------------------------------------------------------------- in a network


def test_a_network_against_numpy():
    """The numbers of each layer from the network's own currents and gradients, in float64."""
    experiment = prepared("ei")
    order = torch.randperm(24, generator=generator(0, "order", 0))[:8]
    images, labels = tiny_data().train.images[order], tiny_data().train.labels[order]
    start = [v.numpy() for v in imbalances_of(experiment)]
    advance(experiment, 2)
    before = [torch.from_numpy(v) for v in start]
    _, layers = measure(experiment, before)
    model = copy.deepcopy(experiment.model).train()
    seen = []
    for part in (model.conv0, model.conv2):
        part.register_forward_hook(lambda m, i, out: seen.append((i[0], out)))
    cross_entropy(model(images.expand(T, *images.shape)).mean(0), labels).backward()
    convs = (model.conv0, model.conv2)
    for layer, conv, (x, current), old in zip(layers, convs, seen, start, strict=True):
        out = current.detach().double().numpy()
        share = out.var(axis=1).mean() / out.var()
        assert layer["signal_share"] == pytest.approx(share, rel=1e-6)
        i_ee, i_sub = (v.double().numpy() for v in conv.currents(x))
        means = (i_ee - i_sub).mean(axis=(0, 1, 3, 4)) / i_ee.std()
        moved = np.sqrt(((means - old) ** 2).mean())
        assert layer["balance_drift"] == pytest.approx(moved, rel=1e-5)
        assert layer["balance_drift"] > 0


def test_at_initialisation_nothing_has_drifted():
    layers = measure(prepared("ei"))[1]
    assert [layer["balance_drift"] for layer in layers] == [0.0, 0.0]


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("ei", "dann")])
def test_methods_without_a_circuit_have_no_such_numbers(method):
    for layer in measure(prepared(method))[1]:
        assert [layer[name] for name in ("balance", "balance_drift")] == [None] * 2
        assert 0 < layer["signal_share"] <= 1
        assert {*LAYER_METRICS} <= layer.keys()


def test_the_current_is_the_one_that_the_neuron_sees():
    """A shift of one neuron against another is part of the spread."""
    experiment = prepared("ei")
    shares = [measure(experiment)[1][0]["signal_share"]]
    with torch.no_grad():
        experiment.model.conv0.bias[0] += 10.0
    shares.append(measure(experiment)[1][0]["signal_share"])
    assert shares[1] < shares[0] / 2


# --------------------------------------------------------------------------- in training

OPTIONS = {
    "blanket": {"preset": "blanket"},
    "calibration": {"calibration": "neuron"},
    "leak and relays": {"stabilization": "leak", "relay": 3.0},
}


def run(experiment, progress=None):
    progress = progress or Progress()
    for _ in fit(experiment, progress):
        pass
    return progress


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_resuming_changes_nothing(options, tmp_path):
    """Two epochs, a checkpoint, a fresh network that was never prepared, two more: to the bit."""
    method = {"name": "ei", **options}
    whole = prepared(method, epochs=4)
    unbroken = run(whole)
    part, progress = prepared(method, epochs=4), Progress()
    for record in fit(part, progress):
        if record["epoch"] == 2:
            break
    checkpoint.save(tmp_path / "c.pt", part, progress)
    again = prepared(method, prepare_it=False, epochs=4)
    resumed = run(again, checkpoint.restore(tmp_path / "c.pt", again))
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[key]), key
    for one, other in zip(unbroken.history, resumed.history, strict=True):
        assert {**one, "cost": 0} == {**other, "cost": 0}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_an_option_changes_what_is_learned(options):
    plain, other = prepared("ei"), prepared({"name": "ei", **options})
    losses = [[record["train_loss"] for record in run(e).history] for e in (plain, other)]
    assert losses[0] != losses[1]
    assert np.isfinite(losses).all()
