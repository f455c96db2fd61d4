"""Choices of a run by name: a method, a model and a data set, each with options of its own.

The options class of a choice stands beside the code that carries it out (`eibench.methods`,
`eibench.models`), or in `plan.options.data` where that code needs torch to be imported. Both are
registered by one decorator, `Registry.register`. A registry imports eibench's own choices when it
is first asked for one, as it would a plugin, so that nothing here depends on them.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from eibench.plan.options.base import Choice
from eibench.plan.options.run import NeuronOptions

C = TypeVar("C", bound=Choice)
T = TypeVar("T")
WHOLE = "options"
"""The argument of code that takes its options as one object."""


class DataShape(NamedTuple):
    """An image's channels, height and width, and the number of classes."""

    image: tuple[int, int, int]
    classes: int


class DataOptions(Choice):
    """Options of a data set."""

    events: ClassVar[bool] = False
    """True for recordings over time, which are binned into a run's T frames."""

    known_shape: ClassVar[DataShape | None] = None
    """The shape, where it depends neither on options nor on files."""

    known_counts: ClassVar[tuple[int, int] | None] = None
    """Images of the published training and test part, where they do not depend on files."""

    def shape(self) -> DataShape | None:
        """Return what a network must know of the data; None where only the files can tell."""
        return self.known_shape

    def redrawn(self) -> tuple[str, ...]:
        """Return the splits that are drawn anew for each seed of a run; none of them if empty."""
        return ()

    @property
    def is_subset(self) -> bool:
        """True if options leave out images, so that published numbers are not comparable."""
        return False

    def counts(self) -> tuple[int, int, int] | None:
        """Return the images in training, validation and test; None where only the files can
        tell."""
        return None


class ModelOptions(Choice):
    """Options of an architecture."""

    sums_currents: ClassVar[bool] = False
    """True if currents of several branches are added before a neuron."""


class MethodOptions(Choice):
    """Options of a method: what stands between a synapse and its neuron."""

    refuses_negative_input: ClassVar[str] = ""
    """Why images with values below zero cannot be used; empty where they can."""

    def same_as(self, model: ModelOptions, neuron: NeuronOptions, timesteps: int) -> MethodOptions:
        """Return the simplest method that computes the same in this network; else itself."""
        return self


class Registry(Mapping[str, type[C]], Generic[C]):
    """Options classes by name, and the code that carries each out.

    Args:
        options: the module or package whose import registers eibench's own options.
        code: the same for their code, where it is another.
    """

    def __init__(self, options: str, code: str = "") -> None:
        self._packages = {"options": options, "code": code or options}
        self._options: dict[str, type[C]] = {}
        self._code: dict[str, Callable[..., Any]] = {}

    @property
    def code(self) -> dict[str, Callable[..., Any]]:
        """The code of every choice by name."""
        self._import("code")
        return self._code

    def add(self, options: type[C]) -> type[C]:
        """Register a class of options whose code is registered elsewhere (a decorator)."""
        self._options[options.name] = options
        return options

    def register(self, options: type[C]) -> Callable[[T], T]:
        """Return a decorator that registers `options` and the function or class it stands at."""

        def decorator(code: T) -> T:
            self.add(options)
            self._code[options.name] = code  # type: ignore[assignment]
            return code

        return decorator

    def remove(self, name: str) -> None:
        """Undo a registration."""
        del self._options[name]
        self._code.pop(name, None)

    def build(self, options: C, *given: Any, **named: Any) -> Any:
        """Return what the code of `options` makes of them and of further arguments."""
        code = self.code[options.name]
        if takes_whole(type(options), code):
            return code(*given, **named, **{WHOLE: options})
        return code(*given, **named, **options.model_dump(exclude=set(options.withheld)))

    def __getitem__(self, name: str) -> type[C]:
        self._import("options")
        return self._options[name]

    def __iter__(self) -> Iterator[str]:
        self._import("options")
        return iter(self._options)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _import(self, part: str) -> None:
        """Import eibench's own `options` or `code`, once: a package with all of its modules."""
        if part not in self._packages:
            return
        name = self._packages[part]
        package = import_module(name)
        for module in pkgutil.iter_modules(getattr(package, "__path__", ())):
            import_module(f"{name}.{module.name}")
        if part == "options":  # in the order of files, whichever was imported first
            by_file = sorted(self._options.items(), key=lambda item: item[1].__module__)
            self._options = dict(by_file)
        self._packages.pop(part, None)


def takes_whole(options: type[Choice], code: Callable[..., Any]) -> bool:
    """Return whether `code` takes its options as one object; else it takes each by its name."""
    return WHOLE in inspect.signature(code).parameters and WHOLE not in options.model_fields


METHODS: Registry[MethodOptions] = Registry("eibench.methods")
MODELS: Registry[ModelOptions] = Registry("eibench.models")
DATASETS: Registry[DataOptions] = Registry("eibench.plan.options.data", "eibench.data")
CHOICES: dict[str, Registry[Any]] = {"method": METHODS, "model": MODELS, "data": DATASETS}
