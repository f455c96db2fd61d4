"""Imperfect hardware: perturbations of a network's synapses, inhibitory cells, neurons and spikes.

Each acts on a network in its hardware form (`hardware_form`), in place, with a number for strength:

    folded            1: an E-I layer that only subtracts becomes one signed synapse
    fan_in            of every row the share with the largest |w| is kept, at least one; others 0
    random_fan_in     the same, kept at random
    weight_bits       w -> round(w / q) q, q = max |w| over a tensor / levels
    channel_bits      the same with the maximum over each row
    weight_noise      w -> w (1 + sigma n), n standard normal
    additive_noise    w -> w + sigma rms(w) n, the root mean square over the tensor
    stuck_at_zero     a share of weights becomes 0
    stuck_at_largest  a share of weights gets the tensor's largest |w|, with their own sign
    lesion            each inhibitory cell is missing with probability p
    rebalanced        1: W_EI of each neuron is scaled until its net sum of weights is as trained
    threshold_noise   theta -> theta (1 + sigma n) for each neuron, at least a hundredth of theta
    spike_drop        each spike is lost with probability p
    spike_jitter      each spike arrives a step later with probability p; one past the end is lost

A row is the synapses of a neuron in one tensor. With b bits there are 2^(b-1) - 1 levels on each
side of zero. A tensor under Dale's law needs no bit for signs and has 2^b - 1. Noise is clipped at
zero there, so that signs stay. Biases, gains and parameters of norms that could not be folded are
kept as they are. Chance is drawn on the CPU for each tensor or layer by itself, so that larger
shares include smaller ones, and noise grows in proportion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.utils.hooks import RemovableHandle

from eibench.nn.hardware import (
    SynapticWeight,
    fold_inhibition_,
    inhibited_layers,
    neurons,
    rebalance_,
    synaptic_weights,
)
from eibench.nn.neurons import LIF

Chance = Callable[[str], Generator]
"""From the name of a tensor or layer to its random stream."""
Perturbation = Callable[[nn.Module, float, Chance], Iterable[RemovableHandle]]
"""Changes a network in place by a strength; returns the hooks that it added."""
LEAST_THRESHOLD = 0.01
"""Least factor on a threshold."""

# --- Synapses ------------------------------------------------------------------------------------


def quantized(weight: Tensor, bits: float, one_sign: bool, by_row: bool) -> Tensor:
    """Return `weight` [n, ...] on the nearest of the levels that `bits` can tell apart."""
    levels = 2 ** int(bits) - 1 if one_sign else 2 ** (int(bits) - 1) - 1
    exact = weight.double()
    rows = exact.flatten(1).abs().amax(1) if by_row else exact.abs().amax().expand(len(weight))
    step = (rows / levels).view(-1, *[1] * (weight.dim() - 1))
    return torch.where(step > 0, (exact / step).round() * step, 0.0).to(weight.dtype)


def _keep(weight: Tensor, share: float, score: Tensor) -> Tensor:
    """Return `weight` [n, ...] with a share of each row, that of the largest `score`."""
    count = max(1, round(share * weight[0].numel()))
    best = score.flatten(1).topk(count).indices
    kept = torch.zeros_like(weight.flatten(1)).scatter_(1, best, 1.0)
    return weight * kept.view_as(weight)


def _normal(weight: Tensor, chance: Generator) -> Tensor:
    return torch.randn(weight.shape, generator=chance).to(weight)


def _uniform(like: Tensor, chance: Generator) -> Tensor:
    return torch.rand(like.shape, generator=chance).to(like.device)


def _fan_in(w: SynapticWeight, share: float, chance: Generator) -> Tensor:
    return _keep(w.tensor, share, w.tensor.abs())


def _random_fan_in(w: SynapticWeight, share: float, chance: Generator) -> Tensor:
    return _keep(w.tensor, share, _uniform(w.tensor, chance))


def _weight_bits(w: SynapticWeight, bits: float, chance: Generator) -> Tensor:
    return quantized(w.tensor, bits, w.one_sign, by_row=False)


def _channel_bits(w: SynapticWeight, bits: float, chance: Generator) -> Tensor:
    return quantized(w.tensor, bits, w.one_sign, by_row=True)


def _weight_noise(w: SynapticWeight, deviation: float, chance: Generator) -> Tensor:
    return w.tensor * (1 + deviation * _normal(w.tensor, chance))


def _additive_noise(w: SynapticWeight, deviation: float, chance: Generator) -> Tensor:
    size = w.tensor.square().mean().sqrt()
    return w.tensor + deviation * size * _normal(w.tensor, chance)


def _stuck_at_zero(w: SynapticWeight, share: float, chance: Generator) -> Tensor:
    return torch.where(_uniform(w.tensor, chance) < share, 0.0, w.tensor)


def _stuck_at_largest(w: SynapticWeight, share: float, chance: Generator) -> Tensor:
    largest = torch.where(w.tensor < 0, -1.0, 1.0) * w.tensor.abs().amax()
    return torch.where(_uniform(w.tensor, chance) < share, largest.to(w.tensor), w.tensor)


def _of_weights(
    change: Callable[[SynapticWeight, float, Generator], Tensor],
) -> Perturbation:
    """Return the perturbation that applies `change` to every weight tensor."""

    def perturb(model: nn.Module, strength: float, chance: Chance) -> tuple[()]:
        for weight in list(synaptic_weights(model)):
            changed = change(weight, strength, chance(weight.name))
            weight.tensor.copy_(changed.clamp_min(0) if weight.one_sign else changed)
        return ()

    return perturb


# --- Inhibitory cells, neurons and spikes --------------------------------------------------------


def _folded(model: nn.Module, strength: float, chance: Chance) -> tuple[()]:
    if strength:
        fold_inhibition_(model)
    return ()


def _lesion(model: nn.Module, share: float, chance: Chance) -> tuple[()]:
    """Take inhibitory cells away; the blanket cell, which stands for many, is weakened by `share`.

    A network without such cells is as it was.
    """
    for name, layer in inhibited_layers(model):
        count = layer.weight_ei.shape[1]
        alive = (torch.rand(count, generator=chance(name)) >= share).float()
        if layer.blanket_cells:
            alive[-layer.blanket_cells :] = 1 - share
        layer.scale_cells_(alive.to(layer.weight_ei))
    return ()


def _rebalanced(model: nn.Module, strength: float, chance: Chance) -> tuple[()]:
    if strength:
        rebalance_(model)
    return ()


class _UnequalThresholds:
    """Hook before a layer of neurons: each has its own threshold, the same for all images."""

    def __init__(self, deviation: float, chance: Generator) -> None:
        self.deviation, self.chance = deviation, chance
        self.factor: Tensor | None = None

    def __call__(self, neuron: LIF, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        current = args[0]
        if self.factor is None:
            noise = torch.randn(current.shape[2:], generator=self.chance).to(current)
            self.factor = (1 + self.deviation * noise).clamp_min(LEAST_THRESHOLD)
            self.threshold = neuron.threshold * self.factor
        if type(neuron) is LIF:  # a membrane scaled by 1 / f meets theta where it met f theta
            return (current / self.factor,)
        neuron.threshold = self.threshold  # type: ignore[assignment]
        return None


def _threshold_noise(model: nn.Module, deviation: float, chance: Chance) -> list[RemovableHandle]:
    handles = []
    for name, layer in neurons(model):
        hook: Any = _UnequalThresholds(deviation, chance(name))
        handles.append(layer.register_forward_pre_hook(hook))
    return handles


def _of_spikes(
    change: Callable[[Tensor, Tensor], Tensor],
) -> Perturbation:
    """Return the perturbation that applies `change` to spikes, given which of them are hit."""

    def perturb(model: nn.Module, share: float, chance: Chance) -> list[RemovableHandle]:
        handles = []
        for name, layer in neurons(model):
            stream = chance(name)

            def hook(
                neuron: nn.Module, args: object, spikes: Tensor, stream: Generator = stream
            ) -> Tensor:
                return change(spikes, _uniform(spikes, stream) < share)

            handles.append(layer.register_forward_hook(hook))
        return handles

    return perturb


def _dropped(spikes: Tensor, hit: Tensor) -> Tensor:
    return spikes.masked_fill(hit, 0.0)


def _late(spikes: Tensor, hit: Tensor) -> Tensor:
    """Return spikes [T, ...], those that are `hit` added to the next step's."""
    out = spikes.masked_fill(hit, 0.0)
    out[1:] += (spikes - out)[:-1]
    return out


OF_SPIKES = ("spike_drop", "spike_jitter")
"""Perturbations whose chance differs from sample to sample."""
PERTURBATIONS: Mapping[str, Perturbation] = {
    "folded": _folded,
    "fan_in": _of_weights(_fan_in),
    "random_fan_in": _of_weights(_random_fan_in),
    "weight_bits": _of_weights(_weight_bits),
    "channel_bits": _of_weights(_channel_bits),
    "weight_noise": _of_weights(_weight_noise),
    "additive_noise": _of_weights(_additive_noise),
    "stuck_at_zero": _of_weights(_stuck_at_zero),
    "stuck_at_largest": _of_weights(_stuck_at_largest),
    "lesion": _lesion,
    "rebalanced": _rebalanced,
    "threshold_noise": _threshold_noise,
    "spike_drop": _of_spikes(_dropped),
    "spike_jitter": _of_spikes(_late),
}
"""By the name of the condition."""
