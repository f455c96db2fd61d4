"""Relays in rivals of the E-I circuit, as a control of the circuit's own: weights by hand."""

import pytest
import torch
from torch import nn

from eibench.plan import options
from eibench.plan.options import METHODS

RIVALS = [
    {"name": "batchnorm"},
    {"name": "batchnorm", "stats": "per_step"},
    {"name": "no_norm"},
    {"name": "no_norm", "init": "fluctuation"},
    {"name": "wta", "init": "xavier"},
]


def kernel(name, relay, **choice):
    """The weights [8, 3, 3, 3] of a convolution, always from the same draw."""
    torch.manual_seed(0)
    chosen = METHODS[name](relay=relay, **choice)
    lif = options.NeuronOptions().model_dump()
    made = METHODS.build(chosen, lif=lif, timesteps=4).conv(3, 8, 3)
    (conv,) = (m for m in made.modules() if isinstance(m, nn.Conv2d))
    return conv.weight.detach().double()


@pytest.mark.parametrize("choice", RIVALS, ids=str)
@pytest.mark.parametrize("strength", [1.0, 3.0])
def test_one_weight_of_each_row_is_raised(choice, strength):
    """By strength times the norm that a row has on average; then all shrink alike."""
    plain, relayed = kernel(relay=0.0, **choice), kernel(relay=strength, **choice)
    wanted = plain.clone()
    for neuron in range(8):
        wanted[neuron, neuron % 3, 1, 1] += strength * (plain.square().sum() / 8).sqrt()
    wanted /= (1 + strength**2) ** 0.5
    torch.testing.assert_close(relayed, wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("choice", RIVALS[:2] + RIVALS[3:], ids=str)
def test_the_mean_square_stays(choice):
    torch.manual_seed(0)
    chosen = {**choice, "relay": 3.0}
    made = METHODS[chosen.pop("name")](**chosen)
    lif = options.NeuronOptions().model_dump()
    method = METHODS.build(made, lif=lif, timesteps=4)
    plain = METHODS.build(made.model_copy(update={"relay": 0.0}), lif=lif, timesteps=4)
    sizes = []
    for one in (plain, method):
        (conv,) = (m for m in one.conv(128, 128, 3).modules() if isinstance(m, nn.Conv2d))
        sizes.append(conv.weight.square().mean().item())
    assert sizes[1] == pytest.approx(sizes[0], rel=0.01)


def test_a_network_of_shapes_alone_has_them_too():
    with torch.device("meta"):
        choice = METHODS["batchnorm"](relay=3.0)
        method = METHODS.build(choice, lif=options.NeuronOptions().model_dump(), timesteps=4)
        method.conv(3, 8, 3)
