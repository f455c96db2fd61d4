"""The data sets of a plan in memory, and whether its networks suit them."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from eibench.data import ImageData
from eibench.errors import UserError, described, pass_on, text_of
from eibench.plan.plugins import plugin_error
from eibench.plan.spec import RunSpec
from eibench.plan.suite import PlannedRun
from eibench.training.batch_of_one import check_batches
from eibench.training.build import load_data, make_method, make_model
from eibench.training.fit import total_steps

log = logging.getLogger(__name__)
PATHS = ("root", "path", "file", "folder")
"""Options of a data set that name a place on this machine."""


class Datasets:
    """Data sets of a plan, each loaded once and kept on `device`."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.loaded: dict[str, ImageData] = {}

    def get(self, spec: RunSpec) -> ImageData:
        """The data set of `spec`; raises `UserError` when it cannot be loaded."""
        key = repr((spec.data, spec.timesteps if spec.data.events else None))
        if key not in self.loaded:
            data = load_data(spec.data, spec.timesteps)
            if multiprocessing.parent_process() is None:  # else the parent has said so
                for note in data.notes:
                    log.warning(f"data set {spec.data.label}: {note}")
            splits = (split.to(self.device) for split in data.splits.values())
            self.loaded[key] = ImageData(data.classes, *splits, notes=data.notes)
        return self.loaded[key]


def check_buildable(runs: Iterable[PlannedRun], datasets: Datasets) -> None:
    """Load every data set and build every network once, so that a misfit shows before any run.

    Raises:
        UserError: data absent or damaged, a network that does not suit them, a plugin that fails,
            a batch that is too small for it, or a probe beyond the end of training.
    """
    seen: set[str] = set()
    for run in runs:
        spec = run.spec
        key = repr((spec.data, spec.model, spec.method, spec.neuron, spec.timesteps))
        with contextlib.suppress(PluginExit), as_user_error(spec):  # the run says so itself
            if key not in seen:
                seen.add(key)
                data = datasets.get(spec)
                with torch.device("meta"):
                    make_model(spec, make_method(spec), data)
            data = datasets.get(spec)
            _check_steps(spec, data)
            check_batches(spec, data)


class PluginExit(UserError):
    """A plugin's code that would end the program (`sys.exit` and the like)."""


@contextlib.contextmanager
def as_user_error(spec: RunSpec) -> Iterator[None]:
    """Within it, what a plugin's code raises, and a size without end, become `UserError`; an exit
    becomes `PluginExit`."""
    try:
        yield
    except UserError:
        raise
    except BaseException as error:
        pass_on(error)
        words = plugin_error(error)
        if not isinstance(error, Exception):
            raise PluginExit(words or described(error)) from None
        if words:
            raise UserError(f"{words}; `eibench check` tests a plugin alone") from None
        if isinstance(error, RuntimeError):  # a size that no machine can count
            text = text_of(error)
            raise UserError(f"model {spec.model.label} cannot be built: {text}") from None
        raise


def local_data(specs: Iterable[RunSpec]) -> Iterator[Path]:
    """The folders and files of the user's own that data options name."""
    for spec in specs:
        yield from _paths(spec.data.model_dump())


def _paths(options: Mapping[str, Any]) -> Iterator[Path]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _paths(value)
        elif name in PATHS and isinstance(value, str):
            yield Path(os.path.expanduser(value))


def _check_steps(spec: RunSpec, data: ImageData) -> None:
    """Refuse a probe after more steps than the training has."""
    if spec.probe is not None and spec.probe.steps > total_steps(spec, data):
        epochs = spec.train.epochs
        raise UserError(
            f"probe.steps is {spec.probe.steps}, but {epochs} epoch{'s' * (epochs > 1)} of"
            f" {spec.data.name} in batches of {spec.train.batch_size} have"
            f" {total_steps(spec, data)} optimizer steps"
        )
