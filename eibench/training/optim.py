"""Optimizers, learning-rate schedule and precision of training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer

from eibench.plan.options import TrainOptions
from eibench.training.exponentiated import ExponentiatedGradient
from eibench.training.muon import Muon

Groups = list[dict[str, Any]]


class JointOptimizer:
    """Several optimizers of different parameters, used as one."""

    def __init__(self, *parts: Optimizer) -> None:
        self.parts = parts

    @property
    def param_groups(self) -> Groups:
        """The groups of all parts."""
        return [group for part in self.parts for group in part.param_groups]

    @property
    def state(self) -> dict[Tensor, dict[str, Any]]:
        """The state of all parts, by parameter."""
        return {key: state for part in self.parts for key, state in part.state.items()}

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for part in self.parts:
            part.zero_grad()

    def step(self) -> None:
        """Take one step of each part."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each part, in order."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of each part."""
        for part, saved in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(saved)


AnyOptimizer = Optimizer | JointOptimizer


def _sgd(groups: Groups, options: TrainOptions) -> Optimizer:
    return SGD(groups, lr=options.lr, momentum=options.momentum)


def _adamw(groups: Groups, options: TrainOptions) -> Optimizer:
    return AdamW(groups, lr=options.lr)


def _muon(groups: Groups, options: TrainOptions) -> Optimizer:
    return Muon(groups, options.lr, options.momentum)


def _eg(groups: Groups, options: TrainOptions) -> Optimizer:
    return ExponentiatedGradient(groups, options.lr, options.momentum)


Maker = Callable[[Groups, TrainOptions], Optimizer]
OPTIMIZERS: dict[str, tuple[Maker, Maker]] = {
    "sgd": (_sgd, _sgd),
    "adamw": (_adamw, _adamw),
    "muon": (_muon, _adamw),
    "eg": (_eg, _sgd),
}
"""The optimizer of matrices and kernels, and that of vectors, by the name of both."""


def make_optimizer(groups: Groups, options: TrainOptions) -> AnyOptimizer:
    """Return the optimizer that `options` names, over parameter `groups`.

    Parameters of one dimension are vectors, and all of a group whose `vectors` is true. With
    `weight_decay_on: all` every group decays.
    """
    if options.weight_decay_on == "all":
        groups = [{**group, "weight_decay": options.weight_decay} for group in groups]
    matrices, vectors = OPTIMIZERS[options.optimizer]
    if matrices is vectors:
        return matrices(groups, options)
    parts = (matrices, _only(groups, vectors=False)), (vectors, _only(groups, vectors=True))
    return JointOptimizer(*(make(own, options) for make, own in parts if own))


def _only(groups: Groups, vectors: bool) -> Groups:
    """Return `groups` without the matrices, or without the vectors; empty ones are left out."""

    def fits(parameter: Tensor, group: dict[str, Any]) -> bool:
        return vectors == (parameter.dim() <= 1 or group.get("vectors", False))

    own = [{**group, "params": [p for p in group["params"] if fits(p, group)]} for group in groups]
    return [group for group in own if group["params"]]


def learning_rate(step: int, steps_per_epoch: int, options: TrainOptions) -> float:
    """Return the learning rate of optimizer step `step` (from 0).

    Linear warm-up over the first epochs, then constant, or a cosine that reaches zero one step
    after the last (Loshchilov and Hutter 2017, without restarts).
    """
    warmup = options.warmup_epochs * steps_per_epoch
    if step < warmup:
        return options.lr * (step + 1) / warmup
    if options.schedule == "constant":
        return options.lr
    share = (step - warmup) / (options.epochs * steps_per_epoch - warmup)
    return options.lr * (1 + math.cos(math.pi * share)) / 2


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return the context of forward passes: bfloat16 products for `bf16`, else float32.

    Weights, gradients, membrane potentials, divisors and statistics stay in float32.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
