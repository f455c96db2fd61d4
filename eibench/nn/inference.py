"""Networks as inference has them: folded, with all that weights alone determine computed ahead; or
spelled out, every equation an operation of its own.

A norm that uses stored statistics is a scale and a shift for each channel, and so part of the
convolution before it. Gains and the subtraction of linear inhibitory cells are part of an E-I
layer's synapse, of which only the division is left:

    I = [g_E (W_EE - W_EI W_IE) * x] / S(W_EI (g_I . (W_IE * x))) + b_E
"""

from __future__ import annotations

import copy
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from eibench.nn import functional as F
from eibench.nn.ei_layer import EILayer
from eibench.nn.explicit import explicit_inhibition
from eibench.nn.functional.ei import per_channel
from eibench.nn.norms import BatchNorm2d, BatchNormPerStep2d, TDBatchNorm2d
from eibench.nn.time import TimeDistributed, in_fast_order, merge_time, split_time
from eibench.nn.weight_norm import WSConv2d

M = TypeVar("M", bound=nn.Module)
Synapse = nn.Conv2d | nn.Linear
FOLDED = (BatchNorm2d, BatchNormPerStep2d, TDBatchNorm2d, nn.BatchNorm2d)
"""Norms that are the same affine map at every step of an evaluation."""


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
def fold(model: M) -> M:
    """Return a copy of `model` for evaluation, folded: equal outputs, to rounding.

    What does not fold stays: norms with statistics of the activity or of each step, inhibitory
    cells that are not linear. The result is not for training.
    """
    return cast("M", _folded(copy.deepcopy(model).eval(), {}))


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
    """Return `module` with its parts folded, in place where it is no layer itself."""
    if module not in done:
        done[module] = _folded_layer(module)
        if done[module] is module:
            for name, child in list(module._modules.items()):
                if child is not None:
                    module._modules[name] = _folded(child, done)
            if isinstance(module, nn.Sequential):
                _fold_norms(module)
    return done[module]


def _folded_layer(module: nn.Module) -> nn.Module:
    """Return a layer's folded form; the layer itself where it has none."""
    if isinstance(module, WSConv2d):
        return _synapse(module, module.standardized(), module.bias)
    if not isinstance(module, EILayer):
        return module
    inhibits = module.subtracts or module.divides
    if inhibits and not (module.circuit.linear_cells or module.one_synapse):
        return _leave_kernels(module)
    net = module.net_synapse()
    if module.readout:
        return TimeDistributed(_synapse(module, net, None))
    net = net * module.gain_e.view(-1, *[1] * (net.dim() - 1))
    if not module.divides:
        return TimeDistributed(_synapse(module, net, module.tonic(net)))
    synapse = _synapse(module, torch.cat([net, module.weight_ie]), None)
    lateral = module.weight_ei * module.gain_i
    return DividedSynapse(synapse, lateral, module.bias.clone(), module.circuit.stabilize)


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


def _fold_norms(parts: nn.Sequential) -> None:
    """Fold each norm in `parts` into the convolution right before it."""
    before: str | None = None
    for name, part in list(parts._modules.items()):
        if before is not None and type(part) in FOLDED:
            assert isinstance(part, nn.BatchNorm2d)
            if folded := _with_norm(parts._modules[before], part):
                parts._modules[before] = folded
                del parts._modules[name]
                continue
        before = name


def _with_norm(part: nn.Module | None, norm: nn.BatchNorm2d) -> nn.Module | None:
    """Return the convolution `part` with `norm` behind it; None where it is no convolution."""
    conv = part.module if type(part) is TimeDistributed else part
    if type(conv) is not nn.Conv2d or norm.running_var is None:
        return None
    if (conv.groups, conv.dilation, conv.padding_mode) != (1, (1, 1), "zeros"):
        return None
    assert norm.running_mean is not None
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight * getattr(norm, "scale", 1.0)
    shift = norm.running_mean if conv.bias is None else norm.running_mean - conv.bias
    bias = -shift * scale if norm.bias is None else norm.bias - shift * scale
    folded = _synapse(conv, conv.weight * scale.view(-1, 1, 1, 1), bias)
    return TimeDistributed(folded) if type(part) is TimeDistributed else folded
