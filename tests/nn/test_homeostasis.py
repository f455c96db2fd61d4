"""`HomeostaticLIF`: its target, its steps and what it keeps, by hand and against NumPy."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from oracle import lif_forward
from torch import nn

from eibench.nn import LIF, EIConv2d, EILinear, HomeostaticLIF, initialize, project_
from eibench.nn.time import is_repeated


def stepped(neuron: HomeostaticLIF, current: torch.Tensor) -> torch.Tensor:
    """The spikes of one training step, and what homeostasis makes of them."""
    spikes = neuron(current)
    project_(neuron)
    return spikes


def test_a_step_by_hand() -> None:
    # Two channels, four steps, two samples. A current of 2 fires at each step, one of 0 at none:
    # rates 1 and 0, target 0.25, strength 0.1: b moves by -0.075 and 0.025.
    neuron = HomeostaticLIF(2, strength=0.1, target=0.25)
    current = torch.tensor([2.0, 0.0]).expand(4, 2, 2).contiguous()
    stepped(neuron, current)
    assert neuron.shift.tolist() == pytest.approx([-0.075, 0.025])
    stepped(neuron, current)
    assert neuron.shift.tolist() == pytest.approx([-0.15, 0.05])


@pytest.mark.parametrize("space", [(), (3, 5)])
def test_many_steps_against_numpy(space: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    neuron = HomeostaticLIF(3, strength=0.7, target=0.3).double()
    shift = np.zeros(3)
    for _ in range(4):
        current = rng.normal(0.5, 1.0, (5, 4, 3, *space))
        wide = shift.reshape(3, *[1] * len(space))
        expected = lif_forward(current + wide, 2.0, 1.0, "soft")[0]
        got = stepped(neuron, torch.from_numpy(current))
        np.testing.assert_allclose(got.numpy(), expected)
        shift += 0.7 * (0.3 - expected.mean((0, 1, *range(3, 3 + len(space)))))
        np.testing.assert_allclose(neuron.shift.numpy(), shift, atol=1e-6)


def test_rates_come_to_the_target() -> None:
    """Neurons of different drive, all of them within 0.02 of 0.2 in the end."""
    generator = torch.Generator().manual_seed(0)
    neuron = HomeostaticLIF(6, strength=0.3, target=0.2)
    drive = torch.linspace(-1, 2, 6)
    for _ in range(200):
        spikes = stepped(neuron, drive + torch.randn(4, 256, 6, generator=generator))
    torch.testing.assert_close(spikes.mean((0, 1)), torch.full((6,), 0.2), rtol=0, atol=0.02)
    assert (neuron.shift.diff() < 0).all()


def test_only_training_moves_it_and_once() -> None:
    neuron = HomeostaticLIF(2, strength=1.0, target=0.5)
    current = torch.full((3, 2, 2), 2.0)
    neuron.eval()(current)
    project_(neuron)
    with torch.no_grad():
        neuron.train()(current)
    project_(neuron)
    assert neuron.shift.tolist() == [0.0, 0.0]
    neuron(current)
    project_(neuron)
    project_(neuron)
    assert neuron.shift.tolist() == [-0.5, -0.5]


def test_no_gradient_goes_there() -> None:
    """The current's gradient is that of the neuron alone, at the current moved by b."""
    current = torch.randn(3, 2, 4, requires_grad=True)
    neuron = HomeostaticLIF(4, strength=1.0, target=0.5)
    neuron.shift.copy_(torch.tensor([0.1, -0.2, 0.3, 0.0]))
    weights = torch.rand(3, 2, 4)
    (neuron(current) * weights).sum().backward()
    moved = (current.detach() + neuron.shift).requires_grad_()
    (LIF()(moved) * weights).sum().backward()
    assert torch.equal(current.grad, moved.grad)
    assert list(neuron.parameters()) == []


def model_of(target: float | None = None) -> nn.Sequential:
    return nn.Sequential(
        *(EIConv2d(1, 8, 3, 1, 1), HomeostaticLIF(8, 0.5, target)),
        *(EIConv2d(8, 8, 3, 1, 1), HomeostaticLIF(8, 0.5, target)),
        *(nn.Flatten(2), EILinear(8 * 16, 3, readout=True)),
    )


def test_the_target_is_the_first_batchs() -> None:
    """The mean rate of each layer, which initialisation leaves behind it, and nothing moved."""
    x = torch.rand(4, 16, 1, 4, 4)
    model = initialize(model_of(), x)
    rates = []
    for neuron in (model[1], model[3]):
        neuron.register_forward_hook(lambda m, i, spikes: rates.append(spikes.mean()))
    with torch.no_grad():
        model(x)
    torch.testing.assert_close(torch.stack([model[1].target, model[3].target]), torch.stack(rates))
    assert model[1].target > 0
    project_(model)
    assert (model[1].shift == 0).all()
    fixed = initialize(model_of(0.125), x)
    assert (fixed[1].target, fixed[3].target) == (0.125, 0.125)


def test_state_and_copies_go_on_alike() -> None:
    x = torch.rand(4, 16, 1, 4, 4)
    model = initialize(model_of(), x)
    model(x)
    project_(model)
    assert (model[1].shift != 0).any()
    fresh = model_of()
    fresh.load_state_dict(model.state_dict())
    for other in (copy.deepcopy(model), fresh):
        for one in (model, other):
            one(x)
            project_(one)
        for name, value in model.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name
        model.load_state_dict(fresh.state_dict())


def test_equal_steps_stay_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The neuron reads the current of a static image in one memory; what leaves has its own."""
    neuron = HomeostaticLIF(2, strength=1.0, target=0.5)
    current = torch.rand(1, 3, 2, 4, 4).expand(4, 3, 2, 4, 4)
    neuron.shift.fill_(0.3)
    assert torch.equal(neuron.driven_by(current), current + 0.3)
    assert not is_repeated(neuron.driven_by(current))
    read: list[torch.Tensor] = []
    monkeypatch.setattr(LIF, "forward", lambda self, current: read.append(current) or current)
    neuron(current)
    assert is_repeated(read[0])


@pytest.mark.parametrize(
    ("wrong", "message"), [({"strength": -1.0}, "strength"), ({"target": 1.5}, "target")]
)
def test_out_of_range(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HomeostaticLIF(2, **{"strength": 1.0, **wrong})
