"""Under Dale's law inhibitory cells are linear: their slope is 1 where they are silent too."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from eibench.nn import LIF, Chain, Circuit, EIConv2d, EILinear, initialize, project_
from eibench.nn import functional as F
from eibench.nn.kernels.division import stabilize

CIRCUITS = {
    "paper": Circuit(),
    "leak": Circuit(stabilization="leak"),
    "subtractive": Circuit(divisive=False),
    "divisive": Circuit(subtractive=False),
}


def with_silenced_cell(circuit: Circuit, readout: bool) -> EILinear:
    """A linear layer of two cells, the weights of the first at the bound of Dale's law."""
    layer = EILinear(6, 8, readout=readout, circuit=circuit).double()
    layer.initialize(torch.rand(2, 16, 6, dtype=torch.float64), torch.Generator().manual_seed(0))
    with torch.no_grad():
        layer.weight_ie[0] = 0.0
    return layer


@pytest.mark.parametrize(
    ("name", "readout"), [*((name, False) for name in CIRCUITS), ("paper", True)]
)
def test_a_silenced_cell_recovers(name, readout):
    """Inhibition lowers the sum of all currents, so a step down its gradient gives weights back."""
    layer = with_silenced_cell(CIRCUITS[name], readout)
    x = torch.rand(2, 5, 6, dtype=torch.float64)
    layer(x).sum().backward()
    assert (layer.weight_ie.grad[0] < 0).all()
    with torch.no_grad():
        layer.weight_ie -= 1e-3 * layer.weight_ie.grad
    project_(layer)
    assert (layer.weight_ie[0] > 0).all()


def test_without_dale_s_law_a_silent_cell_passes_nothing():
    layer = with_silenced_cell(Circuit(dale=False), readout=False)
    layer(torch.rand(2, 5, 6, dtype=torch.float64)).sum().backward()
    assert (layer.weight_ie.grad[0] == 0).all() and (layer.weight_ie.grad[1] != 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_way_to_stabilise_gives_the_same(dtype):
    """Where nobody asks for a gradient bits are compared in place of numbers."""
    torch.manual_seed(0)
    divisor = (torch.rand(5, 3, 7) * (torch.rand(5, 3, 7) < 0.3)).to(dtype)
    divisor[1] = 0.0
    divisor[2, 0, 0] = torch.finfo(dtype).smallest_normal
    divisor[3, 0, 0] = -0.0
    with_gradient = F.stabilize(divisor.clone().requires_grad_()).detach()
    assert torch.equal(stabilize(divisor), with_gradient)
    assert with_gradient[1].isposinf().all()
    assert (with_gradient[2] == 0).sum() == 0 and with_gradient[2].min() == divisor[2, 0, 0]


def flops(chain: Chain, x: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counted:
        chain(x.requires_grad_()).sum().backward()
    return counted.get_total_flops()


def test_a_silent_layer_costs_less_than_a_lively_one():
    """No product with W_EI, forward or backward; the bias alone has a gradient."""
    chain = Chain(EIConv2d(4, 16, 3, padding=1), LIF())
    x = (torch.rand(2, 8, 4, 12, 12) < 0.3).float()
    initialize(chain, x)
    lively = flops(chain, x)
    chain.zero_grad()
    silent = torch.zeros_like(x)
    assert flops(chain, silent) < lively
    assert (silent.grad == 0).all()
    gradients = {name: p.grad for name, p in chain[0].named_parameters()}
    assert [name for name, grad in gradients.items() if (grad != 0).any()] == ["bias"]
