"""Networks as inference has them: folded, with all that weights alone determine computed ahead; or
spelled out, every equation an operation of its own.

A norm that uses stored statistics is a scale and a shift for each channel, and so part of the
convolution before it. Gains and the subtraction of linear inhibitory cells are part of an E-I
layer's synapse, of which only the division is left:

    I = [g_E (W_EE - W_EI W_IE) * x] / S(W_EI (g_I . (W_IE * x))) + b_E
"""

from __future__ import annotations

from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from eibench.nn import functional as F
from eibench.nn.ei_layer import EILayer
from eibench.nn.explicit import explicit_inhibition
from eibench.nn.fold import affine_synapse, fold_batchnorm
from eibench.nn.functional.ei import per_channel
from eibench.nn.time import TimeDistributed, in_fast_order, merge_time, split_time
from eibench.nn.weight_norm import WSConv2d

M = TypeVar("M", bound=nn.Module)
Synapse = nn.Conv2d | nn.Linear


class DividedSynapse(nn.Module):
    """A folded E-I layer that divides: activity [T, B, ...] to current [T, B, n_E, ...].

    Args:
        synapse: g_E (W_EE - W_EI W_IE) above W_IE.
        lateral: W_EI g_I, of shape [n_E, n_I].
        bias: b_E.
        rule: how zeros of the divisor are replaced.
    """

    def __init__(
        self, synapse: Synapse, lateral: Tensor, bias: Tensor, rule: F.Stabilization
    ) -> None:
        super().__init__()
        self.synapse, self.rule = synapse, rule
        self.lateral, self.bias = nn.Parameter(lateral), nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        drive = self.synapse(in_fast_order(merge_time(x), self.synapse))
        net, cells = drive.split([len(self.lateral), self.lateral.shape[1]], dim=1)
        divisor = F.stabilize(F.mix_channels(cells, self.lateral), self.rule)
        return split_time(net / divisor + per_channel(self.bias, net), x)


@torch.no_grad()
def fold_network(model: M) -> M:
    """Return a copy of `model` for evaluation, folded: equal outputs, to rounding.

    What does not fold stays: norms with statistics of the activity or of each step, inhibitory
    cells that are not linear. The result is not for training.
    """
    return cast("M", _folded(fold_batchnorm(model), {}))


@torch.no_grad()
def spell_out(model: M) -> M:
    """Return a copy of `model` for evaluation whose E-I layers compute equation by equation.

    Blanket inhibition becomes cells where Dale's law holds.

    Raises:
        ValueError: an E-I layer is not initialised.
    """
    out = explicit_inhibition(model, where_possible=True).eval()
    for layer in out.modules():
        if isinstance(layer, EILayer):
            _leave_kernels(layer)
    return out


def _leave_kernels(layer: EILayer) -> EILayer:
    """Let `layer` compute the equations of its circuit one after another; return it."""
    layer.straight = layer.fires = False
    layer.one_synapse = layer.one_synapse and layer.nets
    return layer


def _folded(module: nn.Module, done: dict[nn.Module, nn.Module]) -> nn.Module:
    """Return `module` with its layers folded, in place where it is none itself."""
    if module not in done:
        done[module] = _folded_layer(module)
        if done[module] is module:
            for name, child in module._modules.items():
                if child is not None:
                    module._modules[name] = _folded(child, done)
    return done[module]


def _folded_layer(module: nn.Module) -> nn.Module:
    """Return a layer's folded form; the layer itself where it has none."""
    if isinstance(module, WSConv2d):
        return plain_synapse(module)
    if not isinstance(module, EILayer):
        return module
    if module.divides and module.circuit.linear_cells:
        return _divided(module)
    try:
        return TimeDistributed(plain_synapse(module))
    except ValueError:  # no affine map
        return _leave_kernels(module)


def _divided(layer: EILayer) -> DividedSynapse:
    """Return the folded form of a layer that divides."""
    net = layer.net_synapse() * layer.gain_e.view(-1, *[1] * (layer.weight_ee.dim() - 1))
    synapse = _synapse(layer, torch.cat([net, layer.weight_ie]), None)
    lateral = layer.weight_ei * layer.gain_i
    return DividedSynapse(synapse, lateral, layer.bias.clone(), layer.circuit.stabilize)


def plain_synapse(layer: nn.Module) -> Synapse:
    """Return the plain convolution or dense layer that `layer` is; raises as `affine_synapse`."""
    return _synapse(layer, *affine_synapse(layer))


def _synapse(like: nn.Module, weight: Tensor, bias: Tensor | None) -> Synapse:
    """Return a convolution or matrix of `weight`, with the reach of the layer `like`."""
    outputs, inputs, *kernel = weight.shape
    made: Synapse
    if kernel:
        reach = {name: getattr(like, name) for name in ("stride", "padding")}
        shape = (inputs, outputs, tuple(kernel))
        made = nn.utils.skip_init(nn.Conv2d, *shape, bias=bias is not None, **reach)
    else:
        made = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias is not None)
    made.weight = nn.Parameter(weight.clone())
    if bias is not None:
        made.bias = nn.Parameter(bias.clone())
    return made.eval()
