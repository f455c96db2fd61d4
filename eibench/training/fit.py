"""Training loop: a generator that yields a record after each epoch.

It writes no files; the caller stores records and checkpoints. The test split is read once, by
`final_result`, after training.
"""

from __future__ import annotations

import copy
import functools
import math
import operator
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from eibench.data.base import ImageData
from eibench.data.batches import over_time
from eibench.nn.shared_batch import shared_batch
from eibench.plan.spec import RunSpec
from eibench.training.build import Experiment, epoch_batches
from eibench.training.denormals import denormals_flushed
from eibench.training.evaluate import Evaluation, evaluate, negative_weights
from eibench.training.optim import autocast, learning_rate
from eibench.training.perturbed import perturbed_step
from eibench.training.pieces import slices
from eibench.training.steps import StepListener, StepReporter, ignore_steps


class Diverged(Exception):
    """Error of a loss that is not finite."""


@dataclass
class Progress:
    """Epoch records of a run so far, and the best weights by validation."""

    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    def note(self, record: dict[str, Any], model: nn.Module) -> None:
        """Append an epoch's record; keep the weights if validation accuracy, then loss,
        improved."""
        self.history.append(record)
        best = self.history[self.best_epoch - 1] if self.best_epoch else None
        if best is None or _merit(record) > _merit(best):
            self.best_epoch = record["epoch"]
            self.best_weights = copy.deepcopy(model.state_dict())


def _merit(record: dict[str, Any]) -> tuple[float, float]:
    return record["validation_accuracy"], -record["validation_loss"]


def fit(
    experiment: Experiment, progress: Progress, on_step: StepListener = ignore_steps
) -> Iterator[dict[str, Any]]:
    """Train from the state of `progress` to the last epoch; yield each epoch's record.

    `on_step` hears of steps within long epochs.

    Raises:
        Diverged: a loss is not finite.
    """
    for epoch in range(len(progress.history) + 1, experiment.spec.train.epochs + 1):
        start = time.perf_counter()
        loss, accuracy, lr = train_epoch(experiment, epoch, on_step)
        trained = time.perf_counter()
        validation = _evaluate(experiment, "validation")
        if not math.isfinite(loss) or not math.isfinite(validation.loss):
            raise Diverged(
                f"loss is {loss} in training and {validation.loss} in validation, epoch {epoch}"
            )
        record = {
            "epoch": epoch,
            "train_loss": loss,
            "train_accuracy": accuracy,
            "validation_loss": validation.loss,
            "validation_accuracy": validation.accuracy,
            "lr": lr,
            "firing_rate_by_layer": validation.firing_rate_by_layer,
            "cost": {
                "train_seconds": trained - start,
                "evaluation_seconds": time.perf_counter() - trained,
            },
        }
        progress.note(record, experiment.model)
        yield record


def train_epoch(
    experiment: Experiment, epoch: int, on_step: StepListener = ignore_steps
) -> tuple[float, float, float]:
    """Run one pass over the training split; return mean loss, accuracy in percent, last learning
    rate.

    Sums stay on the device until the end, so that no step synchronizes with it but for a report.
    """
    data, ranks = experiment.data.train, experiment.ranks
    experiment.model.train()
    loss = torch.zeros((), dtype=torch.float64, device=data.labels.device)
    correct = torch.zeros((), dtype=torch.int64, device=data.labels.device)
    steps = steps_per_epoch(experiment.spec, experiment.data)
    reporter = StepReporter(on_step, epoch, steps, ranks.size if ranks else 1)
    with shared_batch(ranks), denormals_flushed():
        for batch, lr, number in scheduled(experiment, epoch):
            batch_loss, batch_correct = train_step(experiment, batch, lr, number)
            loss += batch_loss * len(batch[1])
            correct += batch_correct
            reporter.count(len(batch[1]), loss)
    if ranks is not None:
        ranks.sum_(loss)
        ranks.sum_(correct)
        ranks.copy_first(experiment.model)  # statistics that a plugin takes in another way
    return loss.item() / len(data), 100 * correct.item() / len(data), lr


def steps_per_epoch(spec: RunSpec, data: ImageData) -> int:
    """Return the number of optimizer steps in one pass over the training split."""
    return math.ceil(len(data.train) / spec.train.batch_size)


def total_steps(spec: RunSpec, data: ImageData) -> int:
    """Return the number of optimizer steps of a whole run."""
    return spec.train.epochs * steps_per_epoch(spec, data)


def scheduled(
    experiment: Experiment, epoch: int
) -> Iterator[tuple[tuple[Tensor, Tensor], float, int]]:
    """Yield the batches of an epoch (from 1), with their learning rate and number in the run."""
    spec = experiment.spec
    steps, ranks = steps_per_epoch(spec, experiment.data), experiment.ranks
    part = ranks.part(spec.train.accumulate) if ranks else None
    for i, batch in enumerate(epoch_batches(experiment, spec.train.batch_size, epoch - 1, part)):
        number = (epoch - 1) * steps + i
        yield batch, learning_rate(number, steps, spec.train), number


def train_step(
    experiment: Experiment, batch: tuple[Tensor, Tensor], lr: float, number: int = 0
) -> tuple[Tensor, Tensor]:
    """Take one optimizer step on the cross-entropy of time-averaged logits; return loss and
    hits.

    Of a batch that several processes share both are those of the own part. Perturbations depend on
    the `number` of the step.
    """
    spec, model, optimizer = experiment.spec, experiment.model, experiment.optimizer
    for group in optimizer.param_groups:
        group["lr"] = lr
    rank = experiment.ranks.rank if experiment.ranks else 0
    with perturbed_step(model, spec.perturb.strengths(), spec.seed, number, rank):
        loss, hits = _compute_gradients(experiment, batch)
    if spec.train.clip_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), spec.train.clip_norm)
    optimizer.step()
    experiment.method.project(model)
    return loss, hits


def _compute_gradients(
    experiment: Experiment, batch: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of the mean loss over all pieces of a batch, and all parts of it.

    Return loss and hits of this part.
    """
    spec, model, ranks = experiment.spec, experiment.model, experiment.ranks
    images, labels = batch
    rank, size = (ranks.rank, ranks.size) if ranks else (0, 1)
    total = ranks.total(len(labels)) if ranks else len(labels)
    cuts = slices(total, spec.train.accumulate, rank, size)
    lengths = [stop - start for start, stop in cuts]
    losses: list[Tensor] = []
    hits: list[Tensor] = []
    for piece in zip(images.split(lengths), labels.split(lengths), strict=True):
        with autocast(spec.train.precision, labels.device):
            loss, logits = loss_on(model, piece, spec.timesteps)
        if not losses:
            experiment.optimizer.zero_grad()
        (loss * (len(piece[1]) / total)).backward()
        losses.append(loss.detach() * (len(piece[1]) / len(labels)))
        hits.append((logits.argmax(1) == piece[1]).sum())
    if ranks is not None:
        ranks.sum_gradients(model.parameters())
    return functools.reduce(operator.add, losses), functools.reduce(operator.add, hits)


def loss_on(
    model: nn.Module, batch: tuple[Tensor, Tensor], timesteps: int
) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy of the time-averaged logits of a batch, and the logits."""
    images, labels = batch
    logits = model(over_time(images, timesteps)).float().mean(0)
    return nn.functional.cross_entropy(logits, labels), logits


def final_result(experiment: Experiment, progress: Progress) -> dict[str, Any]:
    """Evaluate the test split with the last and the best weights; return the result of a run."""
    model = experiment.model
    last = _evaluate(experiment, "test")
    violations = negative_weights(model)
    chosen = last
    if progress.best_epoch < len(progress.history):
        model.load_state_dict(progress.best_weights)
        chosen = _evaluate(experiment, "test")
    if not math.isfinite(last.loss) or not math.isfinite(chosen.loss):
        raise Diverged(f"loss on the test split is {last.loss} at the end, {chosen.loss} chosen")
    best = progress.history[progress.best_epoch - 1]
    return {
        "test_accuracy": chosen.accuracy,
        "test_loss": chosen.loss,
        "test_accuracy_last": last.accuracy,
        "validation_accuracy": best["validation_accuracy"],
        "validation_loss": best["validation_loss"],
        "validation_firing_rate_by_layer": best["firing_rate_by_layer"],
        "best_epoch": progress.best_epoch,
        "epochs": len(progress.history),
        "train_loss_last": progress.history[-1]["train_loss"],
        "firing_rate": chosen.firing_rate,
        "firing_rate_by_layer": chosen.firing_rate_by_layer,
        "silent_share": chosen.silent_share,
        "negative_weights": violations,
        "parameters": sum(p.numel() for p in model.parameters()),
        "test_images": len(experiment.data.test),
        "classes": len(experiment.data.classes),
        "data_digest": experiment.data.digest,
    }


def _evaluate(experiment: Experiment, split: str) -> Evaluation:
    spec = experiment.spec
    part, size = getattr(experiment.data, split), spec.train.batch_size
    with autocast(spec.train.precision, part.labels.device):
        return evaluate(
            experiment.model,
            part,
            spec.timesteps,
            size,
            experiment.normalization,
            ranks=experiment.ranks,
        )
