"""Two processes that train together: the test's own and one more, connected by gloo."""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from eibench.data import ImageData
from eibench.data.base import Split
from eibench.plan import RunSpec
from eibench.training import checkpoint
from eibench.training.build import build, load_data, prepare
from eibench.training.evaluate import evaluate
from eibench.training.fit import Progress, fit
from eibench.training.ranks import Ranks

PATIENCE = timedelta(minutes=10)
COUNTS = {"train": 397, "validation": 52, "test": 52}
"""Images: 20 steps of 20, the last of 17."""


def connect(path: str, rank: int) -> Ranks:
    store = dist.FileStore(path, 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=PATIENCE)
    return Ranks(dist.group.WORLD)


def serve(path: str) -> None:
    torch.set_num_threads(1)
    ranks = connect(path, 1)
    while (asked := ranks.hear()) is not None:
        answer(ranks, *asked)
    dist.destroy_process_group()


def answer(ranks: Ranks, name: str, words: tuple[Any, ...]) -> list[Any]:
    """The results of task `name` in both processes; an error is its text."""
    try:
        result = TASKS[name](ranks, *words)
    except Exception as error:
        result = f"{type(error).__name__}: {error}"
    found = [None, None]
    dist.all_gather_object(found, result)
    return found


class Pair:
    def __init__(self, path: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        self.other = context.Process(target=serve, args=(str(path),), daemon=True)
        self.other.start()
        self.ranks = connect(str(path), 0)

    def __call__(self, name: str, *words: Any) -> list[Any]:
        self.ranks.hear((name, words))
        return answer(self.ranks, name, words)

    def close(self) -> None:
        self.ranks.hear(None)
        dist.destroy_process_group()
        self.other.join(10)


# ------------------------------------------------------------------------------------- tasks


def spec_of(method: Any, **train: Any) -> RunSpec:
    options = {"epochs": 2, "batch_size": 20, "lr": 0.02, **train}
    model = {"name": "plain", "depth": 2, "width": 4, "pools": 1}
    values = {"method": method, "model": model, "data": "digits", "train": options, "seed": 3}
    crop = {"crop": 1}
    return RunSpec.parse({**values, "timesteps": 2, "input": crop})


@functools.cache
def digits() -> ImageData:
    data = load_data(spec_of("ei").data, 2)
    splits = {
        name: Split(split.images[:n].double(), split.labels[:n])
        for (name, split), n in zip(data.splits.items(), COUNTS.values(), strict=True)
    }
    return dataclasses.replace(data, **splits)


def experiment_of(spec: RunSpec, ranks: Ranks | None) -> Any:
    """In float64, but for the loss, which training computes in float32."""
    experiment = build(spec, digits(), ranks)
    experiment.model.double()
    return experiment


def begin(spec: RunSpec, ranks: Ranks | None, path: str | None = None) -> tuple[Any, Progress]:
    experiment, progress = experiment_of(spec, ranks), Progress()
    if ranks is None or ranks.rank == 0:
        if path:
            progress = checkpoint.restore(Path(path), experiment)
        else:
            prepare(experiment)
    checkpoint.share(experiment, progress)
    return experiment, progress


def train(
    ranks: Ranks | None, spec: RunSpec, epochs: int = 1, path: str | None = None
) -> tuple[dict[str, Any], list[Any]]:
    """State of the network after some epochs, and the records without costs."""
    experiment, progress = begin(spec, ranks, path)
    for record in fit(experiment, progress):
        record.pop("cost")
        if record["epoch"] == epochs:
            break
    return experiment.model.state_dict(), progress.history


def save(ranks: Ranks | None, spec: RunSpec, path: str) -> None:
    """One epoch and its checkpoint."""
    experiment, progress = begin(spec, ranks)
    next(fit(experiment, progress))
    if ranks is None or ranks.rank == 0:
        checkpoint.save(Path(path), experiment, progress)


def score(ranks: Ranks | None, spec: RunSpec, batch_size: int) -> Any:
    experiment, _ = begin(spec, ranks)
    split = experiment.data.test
    settings = (spec.timesteps, batch_size, experiment.normalization)
    return vars(evaluate(experiment.model, split, *settings, ranks=ranks))


def fail(ranks: Ranks, where: list[int]) -> int:
    """A sum, before which some processes fail."""
    with ranks.together():
        if ranks.rank in where:
            raise ValueError(f"mine is {ranks.rank}")
        ranks.sum_(torch.ones(1))
        ranks.sum_(torch.ones(1))
    return ranks.total(ranks.rank)


TASKS = {"train": train, "save": save, "score": score, "fail": fail}
