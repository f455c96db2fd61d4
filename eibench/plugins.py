"""Functions by which a plugin adds a method, a model or a data set, with its options class.

A plugin is a Python file listed under `plugins` in a suite, or an installed package with an entry
point in the group `eibench.plugins` (a module, or a function without arguments). The identity of a
run includes a hash of its plugins' source, so that an edited plugin runs again.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import nn

from eibench import data
from eibench.errors import UserError
from eibench.files import read_bytes
from eibench.methods import Method
from eibench.plan.options import CHOICES, Choice, DataOptions, MethodOptions, ModelOptions, Plugin
from eibench.plan.options.choices import WHOLE, takes_whole
from eibench.plan.options.divided import EVERY_SPLIT, DividedOptions
from eibench.plan.plugins import FILE_MODULE

KINDS = {"method": MethodOptions, "model": ModelOptions, "data": DataOptions}
DIVISIONS = (EVERY_SPLIT[:2], EVERY_SPLIT)
"""Splits that may be drawn by seed."""
GIVEN = {"method": ["lif", "timesteps"], "model": ["method", "image", "classes"], "data": []}
"""Arguments that do not come from the options; a data set of events also receives `timesteps`."""


def add_method(options: type[MethodOptions], method: type[Method]) -> None:
    """Make `method` known to suites under the name of its `options`.

    Raises:
        UserError: the name is taken, or options and constructor do not fit together.
    """
    if not (inspect.isclass(method) and issubclass(method, Method)):
        raise UserError(f"{_name(method)} must be a subclass of eibench.methods.Method")
    if inspect.isabstract(method):
        raise UserError(f"{_name(method)} lacks {', '.join(sorted(method.__abstractmethods__))}")
    _add("method", options, method)


def add_model(options: type[ModelOptions], model: Callable[..., nn.Module]) -> None:
    """Make the function `model(method, image, classes, ...)` known to suites.

    Further arguments are `options`, as one object, or its fields by name.

    Raises:
        UserError: the name is taken, or options and arguments do not fit together.
    """
    _add("model", options, model)


def add_dataset(options: type[DataOptions], load: Callable[..., data.ImageData]) -> None:
    """Make the data set that the function `load(...)` gives known to suites.

    Its arguments are `options`, as one object, or its fields by name.

    Raises:
        UserError: the name is taken, or options and arguments do not fit together.
    """
    _add("data", options, load)


def _add(kind: str, options: Any, build: Any) -> None:
    """Check, record the origin, and register; adding the same thing twice has no effect."""
    _check_options(kind, options)
    _check_arguments(kind, options, build)
    plugin = _source(options, build)
    known = CHOICES[kind].get(options.name)
    if known is None:
        options.plugin = plugin
        CHOICES[kind].register(options)(build)
    elif known.plugin != plugin:
        owner = f"from {known.plugin}" if known.plugin else "in eibench itself"
        edited = known.plugin is not None and known.plugin.name == plugin.name
        hint = "it was edited; restart Python" if edited else "choose another name"
        raise UserError(f"{kind} {options.name!r} exists already, {owner}; {hint}")


def _check_options(kind: str, options: Any) -> None:
    base = KINDS[kind]
    if not (inspect.isclass(options) and issubclass(options, base)):
        raise UserError(
            f"{_name(options)} must be a subclass of eibench.plan.options.{base.__name__}"
        )
    name = getattr(options, "name", None)
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise UserError(
            f'{_name(options)} needs a line such as `name = "my_{kind}"`: letters, digits and `_`, '
            "without a type"
        )
    if not options.summary():
        raise UserError(f"{_name(options)} needs a docstring: `eibench list` shows its first line")
    if issubclass(options, DividedOptions) and options.divided not in DIVISIONS:
        allowed = " or ".join(map(str, DIVISIONS))
        raise UserError(f"{_name(options)}: `divided` is {options.divided}; it must be {allowed}")
    for field in options.model_fields:
        if hasattr(base, field):
            raise UserError(
                f"{_name(options)}: `{field}` is taken, call this option something else"
            )


def _check_arguments(kind: str, options: type[Choice], build: Any) -> None:
    """Check that the arguments of `build` are those that eibench passes plus the options'
    fields."""
    try:
        arguments = list(inspect.signature(build).parameters)
    except (TypeError, ValueError):
        raise UserError(f"{_name(build)} must be a function") from None
    given = [*GIVEN[kind], *(["timesteps"] if getattr(options, "events", False) else [])]
    if kind == "model" and arguments[: len(given)] != given:
        raise UserError(f"{_name(build)}: the first arguments must be {', '.join(given)}")
    for missing in [name for name in given if name not in arguments]:
        raise UserError(f"{_name(build)} must take `{missing}`")
    passed = [name for name in options.model_fields if name not in options.withheld]
    fields = [WHOLE] if takes_whole(options, build) else passed
    hint = "; does it have @dataclass(frozen=True, kw_only=True)?" if kind == "method" else ""
    for field in [name for name in fields if name not in arguments]:
        raise UserError(
            f"{_name(options)} has the option `{field}`, which {_name(build)} does not take{hint}"
        )
    for argument in [name for name in arguments if name not in (*given, *fields)]:
        raise UserError(
            f"{_name(build)} takes `{argument}`, which is not an option of {_name(options)}"
        )


def _name(thing: Any) -> str:
    return str(getattr(thing, "__name__", thing))


def _source(options: Any, build: Any) -> Plugin:
    """Return the origin of the code and its hash, over one file or all files of a package."""
    modules = list(dict.fromkeys(_modules(options, build)))
    if not modules:
        raise UserError(f"{_name(options)} is eibench's own; write a subclass with another name")
    files = list(dict.fromkeys(path for name in modules for path in _files(name)))
    digest = hashlib.sha256(b"".join(read_bytes(path) for path in files)).hexdigest()[:16]
    package = _distribution(modules[0])
    return Plugin(package or files[0].name, digest, installed=package is not None)


def _modules(*things: Any) -> Iterator[str]:
    """Yield the names of the modules that define `things`, except eibench's own."""
    own = __name__.partition(".")[0]
    for thing in things:
        name = str(getattr(thing, "__module__", ""))
        if name.partition(".")[0] != own:
            yield name


def _files(module: str) -> list[Path]:
    """Return the module's file, or all files of its package."""
    package = sys.modules[module.partition(".")[0]]
    if hasattr(package, "__path__"):
        return sorted(path for folder in package.__path__ for path in Path(folder).rglob("*.py"))
    if getattr(package, "__file__", None) is None:
        raise UserError("a plugin must be defined in a file, whose hash identifies its runs")
    return [Path(str(package.__file__))]


def _distribution(module: str) -> str | None:
    """Return the installed package and version that `module` belongs to; None for a user's file."""
    top = module.partition(".")[0]
    if top.startswith(FILE_MODULE):
        return None
    names = metadata.packages_distributions().get(top)
    return f"{names[0]} {metadata.version(names[0])}" if names else None
