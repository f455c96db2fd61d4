"""Check whether a network can be trained and evaluated on a batch of one image.

A norm over the batch has no variance if it sees one value per channel: one image, a feature map of
one position, and one time step. torch then raises an error. The check runs the network itself on
torch's `meta` device, so no method is named here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch

from eibench.data import ImageData
from eibench.data.batches import over_time
from eibench.errors import UserError, error_line
from eibench.plan.spec import RunSpec
from eibench.training.build import make_method, make_network
from eibench.training.pieces import smallest_piece


def check_batches(spec: RunSpec, data: ImageData) -> None:
    """Raise `UserError` if a batch of the run holds one image and the network cannot process it."""
    size = spec.train.batch_size
    for name, training in (("train", True), ("validation", False), ("test", False)):
        count = len(getattr(data, name))
        if not has_batch_of_one(spec, name, count) or not (why := _too_few(spec, data, training)):
            continue
        smallest = smallest_batch(spec, len(data.train))
        if training and smallest > 1 and spec.train.accumulate > 1:
            raise UserError(
                f"train.accumulate {spec.train.accumulate} makes a piece of one image of a batch of"
                f" {smallest}, which method {spec.method.label} in model {spec.model.label} cannot"
                f" process ({why}); it may be at most {smallest // 2}"
            )
        left = count % size == 1 and size > 1
        what = (
            f"leaves one image of the {count} in {name} for the last batch"
            if left
            else (f"makes a batch of one image of {name}")
        )
        raise UserError(
            f"train.batch_size {size} {what}, which method {spec.method.label} in model "
            f"{spec.model.label} cannot process ({why}); train.batch_size "
            f"{_other_size(size, data)} leaves none"
        )


def has_batch_of_one(spec: RunSpec, split: str, count: int) -> bool:
    """Return whether a batch of the run holds only one of the `count` images of `split`."""
    size = spec.train.batch_size
    last = count % size or size
    if split != "train":
        return last == 1 and spec.probe is None
    first = min(spec.train.init_batch_size or size, count)
    return first == 1 or smallest_piece(smallest_batch(spec, count), spec.train.accumulate) == 1


def smallest_batch(spec: RunSpec, count: int) -> int:
    """Return the number of images in the smallest batch that is trained on, of `count` images."""
    size = spec.train.batch_size
    whole_epoch = spec.probe is None or spec.probe.steps * size >= count
    return min(size, count, (count % size or size) if whole_epoch else size)


def check_shares(spec: RunSpec, data: ImageData, processes: int) -> None:
    """Raise `UserError` if one of several processes would have no image of a batch or a split."""
    for name, split in data.splits.items():
        if len(split) < processes:
            raise UserError(f"{name} has {len(split)} images for {processes} processes")
    batch, pieces = smallest_batch(spec, len(data.train)), spec.train.accumulate
    if smallest_piece(batch, pieces) < processes:
        cut = f" in {pieces} pieces (train.accumulate)" if pieces > 1 else ""
        raise UserError(
            f"train.batch_size {spec.train.batch_size} leaves a batch of {batch} images of train"
            f"{cut} for {processes} processes; each needs one image of each piece"
        )


def sizes_that_leave_one(data: ImageData, among: Callable[[int], bool]) -> list[int]:
    """Return the batch sizes accepted by `among` for which a split of `data` has a batch of one
    image."""
    found = {1}
    for split in data.splits.values():
        rest = len(split) - 1
        small = [n for n in range(1, math.isqrt(rest) + 1) if rest % n == 0]
        found |= {*small, *(rest // n for n in small)}
    return sorted(filter(among, found))


def _other_size(size: int, data: ImageData) -> int:
    """Return the nearest larger batch size without a batch of one image."""
    alone = sizes_that_leave_one(data, lambda n: n > size)
    return next(n for n in itertools.count(size + 1) if n not in alone)


def _too_few(spec: RunSpec, data: ImageData, training: bool) -> str | None:
    """Return the network's error for one image, if it has none for two."""
    one, two = (_objection(spec, data, count, training) for count in (1, 2))
    return one if two is None else None


def _objection(spec: RunSpec, data: ImageData, count: int, training: bool) -> str | None:
    """Return the error text for a batch of `count` images, or None."""
    with torch.device("meta"), torch.no_grad():
        images = torch.empty(count, *data.train.images.shape[1:])
        model = make_network(spec, make_method(spec), data.shape).train(training)
        try:
            model(over_time(images, spec.timesteps))
        except Exception as error:
            return error_line(error)
    return None
