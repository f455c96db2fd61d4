"""Options of how a data set is divided into splits, and how many of its images are used."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import ValidationInfo, field_validator

from eibench.plan.options.base import Count
from eibench.plan.options.choices import DATASETS, DataOptions

EVERY_SPLIT = ("train", "validation", "test")
BY_SEED = "by_seed"


class DividedOptions(DataOptions):
    """Options of a data set whose splits are not all official ones."""

    withheld = frozenset({"splits"})
    divided: ClassVar[tuple[str, ...]] = EVERY_SPLIT[:2]
    """Splits that no source prescribes, training first: `EVERY_SPLIT`, or all but an official
    test split."""
    splits: Literal["fixed", "by_seed"] = "fixed"
    """One division for all runs, or one drawn from each run's seed, of the same sizes and
    stratified by class."""

    def redrawn(self) -> tuple[str, ...]:
        return self.divided if self.splits == BY_SEED else ()


def divided_splits(name: str) -> tuple[str, ...]:
    """Return the splits of a data set that no source prescribes; none of one that is unknown."""
    return getattr(DATASETS.get(name), "divided", ())


def split_sizes(known: tuple[int, int] | None, share: float) -> tuple[int, int, int] | None:
    """Return the sizes of the splits when `share` of the training part becomes validation."""
    if known is None:
        return None
    held_out = math.ceil(known[0] * share)  # as scikit-learn rounds
    return known[0] - held_out, held_out, known[1]


class SubsetOptions(DividedOptions):
    """Options of an image set of which fewer images can be used."""

    train_images: Count | None = None
    """Images of the training part, validation included, stratified by class; null: all."""
    test_images: Count | None = None
    """Images of the test part, stratified by class; null: all."""

    @property
    def is_subset(self) -> bool:
        return self.train_images is not None or self.test_images is not None

    @field_validator("train_images", "test_images")
    @classmethod
    def _possible(cls, value: int | None, info: ValidationInfo) -> int | None:
        """Refuse a number that no choice of the known images and classes has."""
        if value is None or cls.known_counts is None or cls.known_shape is None:
            return value
        least, most = cls.known_shape.classes, cls.known_counts[info.field_name == "test_images"]
        if not least <= value <= most:
            raise ValueError(f"must be from {least} (one per class) to {most} (all), not {value}")
        return value
