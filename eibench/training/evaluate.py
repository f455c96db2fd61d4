"""Loss, accuracy and firing of a network on one split, and Dale's law in its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from eibench.data.base import Split
from eibench.data.batches import (
    Change,
    Normalization,
    evaluation_batches,
    evaluation_parts,
    over_time,
)
from eibench.nn import LIF, EILayer
from eibench.nn.autograd import autocast_disabled
from eibench.training.ranks import Ranks


@dataclass(frozen=True)
class Evaluation:
    """Loss, accuracy and firing over one pass of a split."""

    loss: float
    accuracy: float
    """Top-1, in percent."""
    firing_rate: float
    """Spikes per neuron and time step, over the whole network."""
    firing_rate_by_layer: list[float]
    silent_share: float
    """Fraction of neurons that never fired on the split."""


@torch.no_grad()
def evaluate(
    model: nn.Module,
    split: Split,
    timesteps: int,
    batch_size: int,
    normalization: Normalization | None = None,
    change: Change | None = None,
    ranks: Ranks | None = None,
) -> Evaluation:
    """Evaluate `model` on `split`, under a `change` of its images; restore its training mode.

    Each of `ranks` computes its part of every batch, without a change, and all return the sum.
    """
    was_training = model.training
    model.eval()
    loss = torch.zeros((), dtype=torch.float64, device=split.labels.device)
    correct = torch.zeros((), dtype=torch.int64, device=split.labels.device)
    if ranks is None:
        batches = evaluation_batches(split, batch_size, normalization, change)
    else:
        batches = evaluation_parts(split, batch_size, normalization, ranks.part())
    precision = input_dtype(model)
    with FiringProbe(model) as probe:
        for images, labels in batches:
            logits = model(over_time(images.to(precision), timesteps)).float().mean(0)
            loss += nn.functional.cross_entropy(logits, labels, reduction="sum")
            correct += (logits.argmax(1) == labels).sum()
    model.train(was_training)
    if ranks is not None:
        ranks.sum_(loss)
        ranks.sum_(correct)
        probe.sum_over(ranks)
    return Evaluation(
        loss=loss.item() / len(split),
        accuracy=100 * correct.item() / len(split),
        firing_rate=probe.mean_rate(),
        firing_rate_by_layer=probe.rates(),
        silent_share=probe.silent_share(),
    )


def input_dtype(model: nn.Module) -> torch.dtype:
    """Return the precision of a network's floating-point parameters: double in some imported ones.

    It is single where parameters differ in precision, or there are none.
    """
    kinds = {p.dtype for p in model.parameters() if p.is_floating_point()}
    return kinds.pop() if len(kinds) == 1 else torch.float32


class FiringProbe:
    """Context that counts the spikes of every LIF layer of a model.

    `rates()`: spikes per neuron and time step, by layer in forward order. `silent_share()`: share
    of all neurons (channel and position) that never fired.
    """

    def __init__(self, model: nn.Module) -> None:
        self.layers = [m for m in model.modules() if isinstance(m, LIF)]
        self.spikes: list[Any] = [0 for _ in self.layers]
        self.steps = [0 for _ in self.layers]

    def __enter__(self) -> Self:
        self.hooks = [
            layer.register_forward_hook(self._counter(i)) for i, layer in enumerate(self.layers)
        ]
        return self

    def __exit__(self, *error: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def _counter(self, i: int) -> Any:
        def count(layer: nn.Module, inputs: tuple[Tensor, ...], spikes: Tensor) -> None:
            self.spikes[i] = self.spikes[i] + _counted(spikes).double()
            self.steps[i] += spikes.shape[0] * spikes.shape[1]

        return count

    def sum_over(self, ranks: Ranks) -> None:
        """Add up the counts of all processes."""
        self.spikes = [ranks.sum_(spikes.contiguous()) for spikes in self.spikes]
        self.steps = [ranks.total(steps) for steps in self.steps]

    def rates(self) -> list[float]:
        """Return the mean firing rate by layer, in forward order."""
        pairs = zip(self.spikes, self.steps, strict=True)
        return [(spikes.mean() / steps).item() for spikes, steps in pairs]

    def mean_rate(self) -> float:
        """Return the mean firing rate over all neurons of the network."""
        pairs = zip(self.spikes, self.steps, strict=True)
        total: float = sum(spikes.sum().item() / steps for spikes, steps in pairs)
        return total / self._neurons()

    def silent_share(self) -> float:
        """Return the share of neurons without a single spike."""
        silent: float = sum((spikes == 0).sum().item() for spikes in self.spikes)
        return silent / self._neurons()

    def _neurons(self) -> int:
        return sum(spikes.numel() for spikes in self.spikes)


def _counted(spikes: Tensor) -> Tensor:
    """Return the number of spikes of each neuron of `spikes` [T, B, ...].

    A product with ones is ten times as fast as a sum over two axes with channels last. It is exact
    up to 2^24 spikes.
    """
    inner = sorted(range(2, spikes.dim()), key=spikes.stride, reverse=True)  # order in memory
    flat = spikes.permute(0, 1, *inner).flatten(0, 1).flatten(1)
    with autocast_disabled(spikes):
        counts = torch.ones(1, len(flat), device=flat.device) @ flat.float()
    back = sorted(range(len(inner)), key=inner.__getitem__)  # batches may differ in that order
    return counts.view([spikes.shape[axis] for axis in inner]).permute(back).flatten()


def negative_weights(model: nn.Module) -> int | None:
    """Count negative parameters of the layers held to Dale's law; None where there are none."""
    layers = [m for m in model.modules() if isinstance(m, EILayer) and m.circuit.dale]
    if not layers:
        return None
    return sum(int((p < 0).sum()) for layer in layers for p in layer.non_negative())
