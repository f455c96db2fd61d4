"""Layers as one affine map: batch norm folded into its synapse, and the net synapse of a circuit.

In evaluation batch norm is affine in each channel, with running mean m and variance v:

    gamma (W * x + b - m) / sqrt(v + eps) + beta = W' * x + b'
    s = gamma / sqrt(v + eps)        W' = s W        b' = s (b - m) + beta

An E-I circuit that only subtracts is one too: W' = g_E (W_EE - W_EI W_IE), b' = b_E.
"""

from __future__ import annotations

import copy
from collections import Counter
from itertools import pairwise

import torch
from torch import Tensor, nn

from eibench.nn.chain import Chain
from eibench.nn.ei_layer import EILayer
from eibench.nn.norms import BatchNorm2d, BatchNormPerStep2d, TDBatchNorm2d
from eibench.nn.time import Current, TimeDistributed, is_hooked
from eibench.nn.weight_norm import WSConv2d

FOLDABLE = (nn.BatchNorm2d, BatchNorm2d, BatchNormPerStep2d, TDBatchNorm2d)
"""Norms of one affine map for all steps; their subclasses may have more."""


@torch.no_grad()
def fold_batchnorm(model: nn.Module) -> nn.Module:
    """Return a copy of `model` in evaluation mode, with batch norms folded into their convolutions.

    Currents and logits are equal to rounding. A norm is folded where it directly follows an
    `nn.Conv2d`, by itself or in `TimeDistributed`, in an `nn.Sequential` (a `Current`, a `Chain`),
    has running statistics, and is the same at every step. Other norms are left as they are, as
    are those with hooks, of a convolution that is used twice or has hooks, and in a subclass of
    `nn.Sequential` with a `forward` of its own.
    """
    out = copy.deepcopy(model).eval()
    uses = Counter(module for _, module in out.named_modules(remove_duplicate=False))
    for module in [m for m in out.modules() if _applies_in_turn(m)]:
        names = list(module._modules)
        for name, following in pairwise(names):
            part, norm = module._modules.get(name), module._modules[following]
            conv = _convolution(part)
            if part is None or conv is None or not isinstance(norm, nn.BatchNorm2d):
                continue
            if uses[conv] > 1 or any(map(is_hooked, (part, conv, norm))):  # needed as it is
                continue
            if type(norm) in FOLDABLE and norm.running_var is not None:
                _fold_into(conv, norm)
                del module._modules[following]
    return out


def _applies_in_turn(module: nn.Module) -> bool:
    """Return whether `module` is a sequence whose parts are applied one after another."""
    known = (nn.Sequential.forward, Current.forward, Chain.forward)
    return (
        isinstance(module, nn.Sequential)
        and type(module).forward in known
        and "forward" not in vars(module)
    )


def _convolution(part: nn.Module | None) -> nn.Conv2d | None:
    """Return the convolution that `part` is, or applies at each step."""
    inner = part.module if isinstance(part, TimeDistributed) else part
    return inner if type(inner) is nn.Conv2d else None


def _fold_into(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Give `conv` the weights that it has together with `norm`."""
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None
    assert var is not None
    scale = torch.rsqrt(var.double() + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    if isinstance(norm, TDBatchNorm2d):
        scale = scale * norm.scale
    bias = -mean.double() if conv.bias is None else conv.bias.double() - mean.double()
    shift = 0.0 if norm.bias is None else norm.bias.double()
    kind = conv.weight.dtype
    conv.weight = nn.Parameter((conv.weight.double() * scale[:, None, None, None]).to(kind))
    conv.bias = nn.Parameter((bias * scale + shift).to(kind))


@torch.no_grad()
def affine_synapse(layer: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Return weight and bias of the affine map that `layer` is in evaluation.

    It may be a convolution, a dense layer, a convolution with standardized weights, or an E-I layer
    whose circuit only subtracts.

    Raises:
        ValueError: it is no affine map; the text says why.
    """
    if type(layer) in (nn.Conv2d, nn.Linear):
        return layer.weight, layer.bias  # type: ignore[return-value]
    if isinstance(layer, WSConv2d):
        return layer.standardized(), layer.bias
    if not isinstance(layer, EILayer):
        raise ValueError(f"{type(layer).__name__} is no affine map of its input")
    if layer.divides:
        raise ValueError("its inhibition divides: a quotient of activities is no affine map")
    if layer.subtracts and layer.circuit.inhibitory_cell == "lif":
        raise ValueError("its inhibitory cells spike")
    if layer.subtracts and not layer.circuit.linear_cells:
        raise ValueError("its inhibitory cells are rectified, as they are without Dale's law")
    weight = layer.net_synapse()
    if layer.readout:
        return weight, None
    weight = weight * layer.gain_e.view(-1, *[1] * (weight.dim() - 1))
    return weight, layer.tonic(weight)
