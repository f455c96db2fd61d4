"""Data sets of runs: fetched, verified, loaded once; and the check that networks suit them."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from eibench.data import SOURCES, DataError, DataSource, ImageData
from eibench.data.base import in_order
from eibench.data.sources import VARIABLE, acquire, data_folder, dataset_folder
from eibench.data.stand_in import stand_in
from eibench.data.stream import images_per_chunk
from eibench.errors import AbsentData, UserError, describe_error, error_text, reraise_interrupt
from eibench.execution.data_paths import resolve_paths
from eibench.plan.options import DATASETS, DataOptions
from eibench.plan.options.data import EventsFromOptions
from eibench.plan.plugins import plugin_error
from eibench.plan.spec import RunSpec
from eibench.plan.suite import PlannedRun
from eibench.training.batch_of_one import check_batches
from eibench.training.build import draw_splits, load_data, make_method, make_model
from eibench.training.fit import total_steps
from eibench.training.start import check_start

__all__ = [
    "VARIABLE",
    "DatasetCache",
    "EvaluationCache",
    "StandInCache",
    "as_user_error",
    "check_buildable",
    "fetch",
    "is_fetched",
    "load_checked",
    "location",
    "present",
    "verify",
]
log = logging.getLogger(__name__)


class DatasetCache:
    """The data sets of a plan, each loaded once and kept on `device`.

    Of splits that are drawn by seed, those of one seed are kept beside the loaded data set. Paths
    that lead nowhere from here are those of `folder`, the suite's.
    """

    def __init__(self, device: torch.device, folder: Path | None = None) -> None:
        self.device, self.folder = device, folder
        self.loaded: dict[str, ImageData] = {}
        self.drawn: dict[str, tuple[int, ImageData]] = {}
        """Seed and data set in the splits of that seed."""

    def get(self, spec: RunSpec) -> ImageData:
        """Return the data set of `spec`; raise `UserError` when it cannot be loaded."""
        key = _key(spec, self.needed(spec))
        if key not in self.loaded:
            data = self._load(spec)
            self.loaded[key] = data if spec.data.redrawn() else data.to(self.device)
        if not spec.data.redrawn():
            return self.loaded[key]
        if key not in self.drawn or self.drawn[key][0] != spec.seed:
            self.drawn.pop(key, None)  # first, so that memory never holds two seeds
            data = draw_splits(self.loaded[key], spec.data, spec.seed)
            self.drawn[key] = spec.seed, data.to(self.device)
        return self.drawn[key][1]

    def needed(self, spec: RunSpec) -> tuple[str, ...] | None:
        """Return the splits that must be there; None for all."""
        return None

    def _load(self, spec: RunSpec) -> ImageData:
        """Load the data set of `spec`, and log its notes."""
        options = resolve_paths(spec.data, self.folder)
        data = load_data(options, spec.timesteps, self.needed(spec))
        if multiprocessing.parent_process() is None:  # else the parent has said so
            for note in data.notes:
                log.warning(f"data set {spec.data.label}: {note}")
        return data


class EvaluationCache(DatasetCache):
    """A cache for evaluation, where only the test split must be there, and training images if they
    normalize the input."""

    def needed(self, spec: RunSpec) -> tuple[str, ...] | None:
        """Return the splits that must be there; None for all, if they are to be redrawn."""
        if spec.data.redrawn():
            return None
        return ("train", "test") if spec.input.normalize else ("test",)

    def _load(self, spec: RunSpec) -> ImageData:
        """Load the data set of `spec`; a message of absent images says what they are for."""
        try:
            return super()._load(spec)
        except AbsentData as error:
            if not spec.input.normalize:
                raise
            reason = "the run normalizes its input by the mean and deviation of training images"
            raise AbsentData(f"{error}; {reason}") from None


class StandInCache(DatasetCache):
    """A cache for estimates: random images stand in for a data set that was not fetched."""

    def __init__(self, device: torch.device, folder: Path | None = None) -> None:
        super().__init__(device, folder)
        self.absent: set[str] = set()
        """Names of the data sets that random images stand in for."""

    def get(self, spec: RunSpec) -> ImageData:
        """Return the data set of `spec`, or random images of its shape and number."""
        if not _is_absent(spec.data):
            return super().get(spec)
        if (key := _key(spec)) not in self.loaded:
            if (data := stand_in(spec.data, spec.timesteps)) is None:
                return super().get(spec)
            self.absent.add(spec.data.name)
            self.loaded[key] = data.to(self.device)
        return self.loaded[key]


def _key(spec: RunSpec, needed: tuple[str, ...] | None = None) -> str:
    return repr((spec.data, spec.timesteps if spec.data.events else None, needed))


def _is_absent(options: DataOptions) -> bool:
    """Return whether a data set, or the one that its events are made from, is to be fetched."""
    source = options.source if isinstance(options, EventsFromOptions) else options
    return is_fetched(source.name) and _sources()[source.name].find(source.name) is None


def check_buildable(
    runs: Iterable[PlannedRun],
    datasets: DatasetCache,
    tell: Callable[[str], None] = lambda text: None,
) -> None:
    """Load every data set and build every network once, so that a misfit shows before any run.

    `tell` hears what is being done.

    Raises:
        UserError: data absent or damaged, a network that does not suit them, a plugin that fails,
            a batch that is too small for it, or a probe beyond the end of training.
    """
    seen: set[str] = set()
    for run in runs:
        spec = dataclasses.replace(run.spec, seed=0)  # splits of all seeds have the same sizes
        parts = (spec.data, spec.model, spec.method, spec.neuron, spec.timesteps, spec.init_from)
        key = repr(parts)
        with contextlib.suppress(PluginExit), as_user_error(spec):  # the run says so itself
            if key not in seen:
                seen.add(key)
                tell(f"loading data set {spec.data.name}")
                data = datasets.get(spec)
                tell(f"building {spec.model.label}, {spec.method.label}")
                with torch.device("meta"):
                    network = make_model(spec, make_method(spec), data)
                if spec.init_from is not None:
                    check_start(network, spec.init_from)
            data = datasets.get(spec)
            _check_steps(spec, data)
            check_batches(spec, data)


class PluginExit(UserError):
    """A plugin's code that would end the program (`sys.exit` and the like)."""


@contextlib.contextmanager
def as_user_error(spec: RunSpec) -> Iterator[None]:
    """Turn a plugin's exceptions and impossible sizes into `UserError`, exits into `PluginExit`."""
    try:
        yield
    except UserError:
        raise
    except BaseException as error:
        reraise_interrupt(error)
        words = plugin_error(error)
        if not isinstance(error, Exception):
            raise PluginExit(words or describe_error(error)) from None
        if words:
            raise UserError(f"{words}; `eibench check` tests a plugin alone") from None
        if isinstance(error, RuntimeError):  # a size that no machine can count
            text = error_text(error)
            raise UserError(f"model {spec.model.label} cannot be built: {text}") from None
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


# --- Outside of runs -----------------------------------------------------------------------------


def present() -> tuple[Path, dict[str, str]]:
    """Return the folder of fetched data sets, and the location by name of those that are on this
    machine, whole or not."""
    found = {name: location(name) for name in _sources()}
    return data_folder(), {name: text for name, text in found.items() if text is not None}


def location(name: str) -> str | None:
    """Return the folder of a data set, followed by the package that it is from; None for those
    that are absent or need no fetching."""
    source = _sources().get(name)
    if source is None or (folder := source.find(name)) is None:
        return None
    package = source.package if source.is_packaged(folder) else None
    return f"{folder} (package {package.name})" if package else str(folder)


def is_fetched(name: str) -> bool:
    """Return whether `eibench data fetch` has something to get for the data set `name`."""
    return name in _sources()


def _sources() -> Mapping[str, DataSource]:
    """Return how to fetch each data set; asking for their code imports every file with one."""
    assert DATASETS.code
    return SOURCES


def fetch(name: str) -> tuple[Path, bool]:
    """Fetch a data set unless it is there; return its folder and whether anything was fetched.

    Raises:
        UserError: it cannot be fetched.
    """
    try:
        fetched = acquire(name, _sources()[name])
        return dataset_folder(name), fetched
    except DataError as error:
        raise UserError(f"data set {name}: {error}") from None


def verify(options: DataOptions, timesteps: int) -> list[str]:
    """Return problems of a data set's files; one that is not fetched is loaded, which reads them.

    Raises:
        UserError: it is not there, or is not fetched and cannot be loaded.
    """
    source = _sources().get(options.name)
    try:
        if source is None:
            _read_all(load_checked(options, timesteps))
            return []
        return source.problems(dataset_folder(options.name))
    except DataError as error:
        raise UserError(f"data set {options.name}: {error}") from None


def _read_all(data: ImageData) -> None:
    """Read the images that loading has left in their files."""
    for split in data.splits.values():
        if not isinstance(split.images, Tensor):
            for _ in in_order(split.images, images_per_chunk(split.images)):
                pass


def load_checked(options: DataOptions, timesteps: int, seed: int = 0) -> ImageData:
    """Return the data set in the splits that runs of `seed` have; raise `UserError` for errors of
    its files or of a plugin."""
    try:
        return draw_splits(load_data(options, timesteps), options, seed)
    except UserError:
        raise
    except BaseException as error:
        reraise_interrupt(error)
        if words := plugin_error(error):
            raise UserError(f"{words}; `eibench check` tests a plugin alone") from None
        raise
