"""The data sets of a plan in memory, and whether its networks suit them."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
from collections.abc import Iterable, Iterator

import torch

from eibench.data import ImageData
from eibench.errors import UserError
from eibench.plan.plugins import plugin_error
from eibench.plan.spec import RunSpec
from eibench.plan.suite import PlannedRun
from eibench.training.batch_of_one import check_batches
from eibench.training.build import load_data, make_method, make_model
from eibench.training.fit import total_steps

log = logging.getLogger(__name__)


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
        if key not in seen:
            seen.add(key)
            with failing_in_words(spec):
                data = datasets.get(spec)
                with torch.device("meta"):
                    make_model(spec, make_method(spec), data)
        data = datasets.get(spec)
        _check_steps(spec, data)
        with failing_in_words(spec):
            check_batches(spec, data)


@contextlib.contextmanager
def failing_in_words(spec: RunSpec) -> Iterator[None]:
    """Within it, what a plugin's code raises, and a size without end, become `UserError`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if words := plugin_error(error):
            raise UserError(f"{words}; `eibench check` tries a plugin by itself") from None
        if isinstance(error, RuntimeError):  # a size that no machine can count
            raise UserError(f"model {spec.model.label} cannot be built: {error}") from None
        raise


def _check_steps(spec: RunSpec, data: ImageData) -> None:
    """Refuse a probe after more steps than the training has."""
    if spec.probe is not None and spec.probe.steps > total_steps(spec, data):
        epochs = spec.train.epochs
        raise UserError(
            f"probe.steps is {spec.probe.steps}, but {epochs} epoch{'s' * (epochs > 1)} of"
            f" {spec.data.name} in batches of {spec.train.batch_size} have"
            f" {total_steps(spec, data)} optimizer steps"
        )
