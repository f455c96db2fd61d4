"""Networks under perturbations, trained ones and those in training, by streams of a run's seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from eibench.nn.hardware import (
    form_words,
    hardware_form,
    inhibited_layers,
    neurons,
    synaptic_weights,
)
from eibench.nn.perturbations import OF_SPIKES, PERTURBATIONS
from eibench.plan.sweeps import SECTION
from eibench.training.seeds import generator

LESION = "lesion"
TRAINING = "perturb"
"""Begins the names of random streams in training."""


@torch.no_grad()
def perturbed(network: nn.Module, strengths: Mapping[str, float], seed: int) -> nn.Module:
    """Return a copy of `network` in its hardware form under perturbations, one after another.

    It is for one pass over the data: spikes are lost or late by chance that goes on from batch to
    batch.

    Raises:
        ValueError: the network has no such form.
    """
    out = hardware_form(network)
    for name, strength in strengths.items():
        PERTURBATIONS[name](out, strength, partial(generator, seed, SECTION, name))
    return out


@contextmanager
def perturbed_step(
    network: nn.Module, strengths: Mapping[str, float], seed: int, number: int, rank: int = 0
) -> Iterator[None]:
    """Perturb `network` as it is in training, for forward and backward of the step `number`.

    Processes that share a batch have equal weights and thresholds; each loses other spikes.

    The gradient is taken at the perturbed weights and changes those without perturbation, which are
    back at the end: quantisation is straight-through.
    """
    if not strengths:
        yield
        return
    kept = [(weight.tensor, weight.tensor.clone()) for weight in synaptic_weights(network)]
    thresholds = [(layer, layer.threshold) for _, layer in neurons(network)]
    handles: list[RemovableHandle] = []
    try:
        with torch.no_grad():
            for name, strength in strengths.items():
                own = [rank] if rank and name in OF_SPIKES else []
                chance = partial(generator, seed, TRAINING, number, name, *own)
                handles += PERTURBATIONS[name](network, strength, chance)
        yield
    finally:
        for handle in handles:
            handle.remove()
        for tensor, values in kept:
            tensor.copy_(values)
        for layer, threshold in thresholds:
            layer.threshold = threshold


def words_of_form(network: nn.Module, evaluated: nn.Module, strengths: Mapping[str, float]) -> str:
    """Return the form in which `network` was evaluated under perturbations."""
    form = "as trained" if evaluated is network else form_words(network, evaluated)
    idle = LESION in strengths and not inhibited_layers(network)
    return f"{form}, no inhibitory cells" if idle else form
