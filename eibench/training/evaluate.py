"""Loss, accuracy and firing of a network on one split."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from eibench.data.base import Split
from eibench.data.batches import Normalization, evaluation_batches, over_time
from eibench.training.probes import FiringProbe


@dataclass(frozen=True)
class Evaluation:
    """What one pass over a split showed."""

    loss: float
    accuracy: float
    """Top-1, in percent."""
    firing_rate: float
    """Spikes per neuron and time step, over the whole network."""
    firing_rate_by_layer: list[float]
    silent_share: float
    """Share of neurons that never fired on the split."""


@torch.no_grad()
def evaluate(
    model: nn.Module,
    split: Split,
    timesteps: int,
    batch_size: int,
    normalization: Normalization | None = None,
) -> Evaluation:
    """`model` in evaluation mode on `split`, not augmented; its training mode is restored."""
    was_training = model.training
    model.eval()
    loss = torch.zeros((), dtype=torch.float64, device=split.labels.device)
    correct = torch.zeros((), dtype=torch.int64, device=split.labels.device)
    with FiringProbe(model) as probe:
        for images, labels in evaluation_batches(split, batch_size, normalization):
            logits = model(over_time(images, timesteps)).float().mean(0)
            loss += nn.functional.cross_entropy(logits, labels, reduction="sum")
            correct += (logits.argmax(1) == labels).sum()
    model.train(was_training)
    return Evaluation(
        loss=loss.item() / len(split),
        accuracy=100 * correct.item() / len(split),
        firing_rate=probe.mean_rate(),
        firing_rate_by_layer=probe.rates(),
        silent_share=probe.silent_share(),
    )
