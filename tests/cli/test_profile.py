"""`eibench profile`: measurements, output formats and refused input."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from eibench.plan.options import DataShape
from eibench.plan.spec import RunSpec
from eibench.profile.attribution import PARTS
from eibench.profile.measures import fit, peak_mib, ratio, summary
from eibench.profile.subjects import (
    Subject,
    bare_subject,
    make_experiment,
    own_subject,
)

SMALL = ("--model", "plain2", "--set", "model.width=4", "--set", "model.pools=1")
QUICK = (*SMALL, "--image", "1x8x8", "--batch-size", "4", "--steps", "3", "--device", "cpu")


def spec(**values) -> RunSpec:
    model = {"name": "plain", "depth": 2, "width": 4, "pools": 1}
    train = {"batch_size": 4}
    return RunSpec.parse(
        {"method": "ei", "model": model, "data": "digits", "train": train, **values}
    )


def test_json_has_every_number(cli):
    done = cli("profile", *QUICK, "--methods", "ei,batchnorm", "--times", "1,2,3", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    names = ["ei", "batchnorm", "bare convolutions", "bare products of ei"]
    assert [row["name"] for row in found["rows"]] == names
    for row in found["rows"][:2]:
        step = row["step_seconds"]
        assert 0 < step["lower_quartile"] <= step["median"] <= step["upper_quartile"]
        assert row["images_per_second"] == pytest.approx(4 / step["median"])
        assert row["ratio_to_bare"] > 1
        assert sum(row["shares"].values()) == pytest.approx(1)
        assert list(row["shares"]) == list(PARTS)
    ei, batchnorm = (row["shares"] for row in found["rows"][:2])
    assert ei["circuit"] > 0 == ei["norm"]
    assert batchnorm["norm"] > 0 == batchnorm["circuit"]
    assert batchnorm["neuron"] > 0 == ei["neuron"]  # computed with the circuit
    for shares in (ei, batchnorm):
        assert min(shares["conv"], shares["optimizer"]) > 0
    assert found["rows"][1]["ratio"] == 1
    (axis,) = found["axes"]
    assert (axis["axis"], axis["values"]) == ("timesteps", [1, 2, 3])
    line = axis["lines"][0]
    assert line["memory_fit"]["slope"] > 0
    assert len(line["step_seconds"]) == len(line["peak_mib"]) == 3


def test_a_preset(cli):
    done = cli("profile", *QUICK, "--methods", "ei,ei-blanket", "--json")
    names = [row["name"] for row in json.loads(done.out)["rows"]]
    assert names == ["ei", "ei-blanket", "bare convolutions", "bare products of ei"]
    done = cli("profile", *QUICK, "--methods", "ei-")
    assert done.code == 2
    assert "ei" in done.err


def test_a_method_that_cannot_start(cli):
    done = cli("profile", *QUICK, "--methods", "ei", "--set", "neuron.threshold=1000")
    assert (done.code, len(done.errors)) == (2, 1)
    assert done.errors[0].startswith("ei: layer ")


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_tables(cli, form):
    done = cli("profile", *QUICK, "--methods", "no_norm,ei", "--format", form)
    assert done.code == 0
    assert "One training step of plain-depth2-width4-pools1: batch 4, T 4" in done.out
    cost = next(line for line in done.out.splitlines() if re.match(r"\W*no_norm", line))
    assert re.search(r" -( |$)", cost)  # nothing is called batchnorm, so nothing is held against it
    assert ("| " in cost) == (form == "markdown")


def test_figure(cli, project):
    done = cli("profile", *QUICK, "--methods", "ei,tdbn", "--depths", "1,2,3", "--out", "cost.png")
    assert done.code == 0
    assert {"cost.png", "cost.pdf"} <= project.files().keys()


def test_shape_of_a_data_set(cli):
    done = cli("profile", *SMALL, "--data", "digits", "--steps", "3", "--methods", "ei", "--json")
    found = json.loads(done.out)
    assert (found["image"], found["classes"]) == ([1, 8, 8], 10)


def test_peer(cli):
    pytest.importorskip("spikingjelly")
    done = cli("profile", *QUICK, "--methods", "batchnorm", "--peer", "--json")
    assert done.code == 0, done.err
    peer = json.loads(done.out)["rows"][-1]
    assert peer["name"].startswith("SpikingJelly")
    assert peer["shares"]["neuron"] > 0 < peer["shares"]["norm"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "vgg9"], "model.depth: must be 8, 11, 16 or 19"),
        (["--model", "vg8"], "model.name: unknown model 'vg'"),
        (["--methods", "ie"], "method.name: unknown method 'ie'"),
        (["--image", "32x32"], "--image 32x32: must be channels, height and width"),
        (["--data", "digit"], "did you mean 'digits'"),
        (["--data", "imagefolder"], "--data imagefolder: root is missing"),
        (["--depths", "1,2"], "--depths 1,2: a line needs three or more numbers, rising"),
        (["--times", "0,1,2"], "--times 0,1,2: a number is at least 1"),
        (["--batch-sizes", "a,b"], "--batch-sizes a,b: must be whole numbers"),
        (["--set", "train=1"], "train: must be a mapping of keys to values"),
        (["--set", "timesteps.a=1"], "--set timesteps.a=1: timesteps has no keys of its own"),
        (["--image", "3x8x8"], "needs images of at least 32x32"),
        (["--peer", "--methods", "ei"], "--peer: stands beside batchnorm, which --methods leaves"),
    ],
)
def test_bad_input(cli, words, message):
    done = cli("profile", "--device", "cpu", *words)
    assert done.code == 2, done.out
    assert message in done.err
    assert all(line.startswith(("error: ", "building")) for line in done.err.splitlines())


def test_one_more_of_what_is_counted():
    """A line through exact numbers, by hand: y = 3 + 2 x."""
    found = fit([1, 2, 4], [5.0, 7.0, 11.0])
    assert found["slope"] == pytest.approx(2)
    assert found["intercept"] == pytest.approx(3)
    assert found["r_squared"] == pytest.approx(1)
    assert found["residual"] == pytest.approx(0, abs=1e-12)
    assert fit([0, 1, 2], [1.0, 4.0, 1.0])["residual"] == pytest.approx(1.0)  # the line is 2


def test_ratio_is_taken_within_a_round():
    """One slow round of the machine slows both and changes nothing."""
    assert ratio([2.0, 20.0, 4.0], [1.0, 10.0, 2.0]) == 2
    assert summary([1.0, 2.0, 3.0, 4.0, 5.0])["median"] == 3


class Held(nn.Module):
    """Keeps nothing but one parameter of 2^18 numbers: 1 MiB."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2**18))


def test_peak_is_what_is_held_and_what_a_step_adds():
    """1 MiB held; a step makes 2 MiB, then frees them and makes 1 MiB: at most 3 MiB."""
    model = Held()

    def step() -> None:
        first: Tensor = torch.ones(2**19)
        del first
        second = torch.ones(2**18)
        del second

    subject = Subject("one", step, model, [model.weight.data, model.weight.data])
    assert peak_mib(subject, torch.device("cpu")) == pytest.approx(3, abs=0.01)


def products(monkeypatch) -> list[tuple]:
    """Collects what products are made of: shapes of the input and the weights, whether first."""
    made: list[tuple] = []
    from eibench.profile import subjects

    class Noted(subjects._Product):
        def __init__(self, x, weight, first, *reach):
            super().__init__(x, weight, first, *reach)
            made.append((tuple(x.shape), tuple(weight.shape), first))

    monkeypatch.setattr(subjects, "_Product", Noted)
    return made


def test_bare_products_are_those_of_the_network(monkeypatch):
    """Two convolutions of width 4 and the readout, the first from the image, which is repeated."""
    experiment = make_experiment(spec(), DataShape((1, 8, 8), 10), torch.device("cpu"))
    made = products(monkeypatch)
    bare_subject(experiment).step()
    assert made == [
        ((4, 1, 8, 8), (4, 1, 3, 3), True),
        ((16, 4, 8, 8), (4, 4, 3, 3), False),
        ((16, 64), (10, 64), False),
    ]


def test_own_products_have_the_inhibitory_cells(monkeypatch):
    """One inhibitory cell for four, and two in the readout, which does not divide."""
    shape = DataShape((1, 8, 8), 10)
    experiment = make_experiment(spec(), shape, torch.device("cpu"))
    made = products(monkeypatch)
    own = own_subject("ei", experiment)
    own.step()
    assert own.name == "bare products of ei"
    assert made == [
        ((4, 1, 8, 8), (5, 1, 3, 3), True),
        ((256, 1), (4, 1), False),
        ((16, 4, 8, 8), (5, 4, 3, 3), False),
        ((1024, 1), (4, 1), False),
        ((16, 64), (12, 64), False),
    ]
    other = make_experiment(spec(method="batchnorm"), shape, torch.device("cpu"))
    assert own_subject("batchnorm", other) is None


def test_own_products_of_one_synapse(monkeypatch):
    """The network's, and W_EI W_IE of each layer but the readout."""
    subtractive = spec(method={"name": "ei", "divisive": False, "silent_layer": "fixed"})
    experiment = make_experiment(subtractive, DataShape((1, 8, 8), 10), torch.device("cpu"))
    made = products(monkeypatch)
    own_subject("ei-no_divisive", experiment).step()
    assert made == [
        ((4, 1, 8, 8), (4, 1, 3, 3), True),
        ((9, 1), (4, 1), False),
        ((16, 4, 8, 8), (4, 4, 3, 3), False),
        ((36, 1), (4, 1), False),
        ((16, 64), (12, 64), False),
    ]


def test_a_profile_leaves_seeds_alone():
    torch.manual_seed(3)
    make_experiment(spec(), DataShape((1, 8, 8), 10), torch.device("cpu"))
    state = torch.get_rng_state().numpy()
    torch.manual_seed(3)
    np.testing.assert_array_equal(state, torch.get_rng_state().numpy())
