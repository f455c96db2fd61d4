"""Optimizer, learning-rate schedule and precision of training."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.optim import Optimizer

from eibench.plan.options import TrainOptions


def make_optimizer(groups: list[dict[str, Any]], options: TrainOptions) -> Optimizer:
    """Return SGD with momentum, or AdamW, over parameter `groups`.

    With `weight_decay_on: all` every group decays.
    """
    if options.weight_decay_on == "all":
        groups = [{**group, "weight_decay": options.weight_decay} for group in groups]
    if options.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=options.lr)
    return torch.optim.SGD(groups, lr=options.lr, momentum=options.momentum)


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
