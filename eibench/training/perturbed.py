"""Trained networks under perturbations, with the random streams of a run's seed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Generator, nn

from eibench.nn.hardware import form_words, hardware_form, inhibited_layers
from eibench.nn.perturbations import PERTURBATIONS
from eibench.plan.sweeps import SECTION
from eibench.training.seeds import generator

LESION = "lesion"


@torch.no_grad()
def perturbed(network: nn.Module, strengths: Mapping[str, float], seed: int) -> nn.Module:
    """Return a copy of `network` in its hardware form under perturbations, one after another.

    It is for one pass over the data: spikes are lost or late by chance that goes on from batch to
    batch.

    Raises:
        ValueError: the network has no such form, or nothing for a perturbation to act on.
    """
    out = hardware_form(network)
    for name, strength in strengths.items():
        PERTURBATIONS[name](out, strength, partial(_chance, seed, name))
    return out


def _chance(seed: int, perturbation: str, place: str) -> Generator:
    return generator(seed, SECTION, perturbation, place)


def refusal(network: nn.Module, strengths: Mapping[str, float]) -> str:
    """Return why a perturbation has nothing to act on in `network`; else an empty text."""
    if LESION in strengths and not inhibited_layers(network):
        return "has no inhibitory cells: nothing to lesion"
    return ""


def words_of_form(network: nn.Module, evaluated: nn.Module) -> str:
    """Return the form in which `network` was evaluated."""
    return "as trained" if evaluated is network else form_words(network, evaluated)
