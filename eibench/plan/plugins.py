"""Plugins: Python files of the user, or installed packages, that add methods, models, data sets.

Here they are found and run. What they call, `add_method` and its like, is in `eibench.plugins`; it
fills the registries, and this module sees what is new in them.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from eibench.errors import UserError, did_you_mean
from eibench.plan.options import Choice
from eibench.plan.spec import CHOICES

GROUP = "eibench.plugins"
"""Entry points of this group are plugins: modules, or functions without arguments."""
FILE_MODULE = "eibench_plugin_"
"""How the names of modules made from single files begin."""


@dataclass(frozen=True)
class Loaded:
    """A plugin that has run: its name in the suite, its code, and what it added."""

    name: str
    root: Path
    """The file, or the folder of the package."""
    choices: tuple[tuple[str, type[Choice]], ...]
    """(`method`, `model` or `data`; options) in the order of registration."""
    entry: str
    """What loads it again in another process."""

    def __str__(self) -> str:
        added = ", ".join(f"{kind} {cls.name}" for kind, cls in self.choices)
        return f"{self.name} ({added or 'adds nothing'})"


_loaded: dict[tuple[str, ...], Loaded] = {}
"""By path and content, or by name."""


def load_plugin(entry: str, folder: Path = Path()) -> Loaded:
    """Run the plugin `entry`: a path ending in .py, relative to `folder`, or an installed name.

    Raises:
        UserError: there is no such plugin, or its code fails; with the plugin's file and line.
    """
    return _load_file(folder / entry) if entry.endswith(".py") else _load_installed(entry)


def _load_file(path: Path) -> Loaded:
    try:
        source = path.read_bytes()
    except FileNotFoundError:
        near = sorted(p.name for p in path.parent.glob("*.py")) if path.parent.is_dir() else []
        raise UserError(f"{path}: no such file{did_you_mean(path.name, near)}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    key = (str(path.resolve()), str(hash(source)))
    name = f"{FILE_MODULE}{path.stem}_{abs(hash(key)):x}"

    def execute() -> None:
        module = ModuleType(name)
        module.__file__ = str(path.resolve())
        sys.modules[name] = module  # dataclasses and pydantic look their module up
        try:
            exec(compile(source, str(path), "exec"), vars(module))
        except BaseException:
            del sys.modules[name]
            raise

    return _run(key, str(path), path, str(path.resolve()), execute)


def _load_installed(entry: str) -> Loaded:
    found = installed_plugins()
    if entry not in found:
        listed = ", ".join(found) or "none"
        hint = "a file's name ends in .py; installed plugins"
        raise UserError(f"unknown plugin {entry!r}; {hint}: {listed}{did_you_mean(entry, found)}")
    point = found[entry]

    def execute() -> None:
        thing = point.load()
        if not isinstance(thing, ModuleType):
            thing()

    return _run((entry,), entry, _package_folder(point), entry, execute)


def installed_plugins() -> dict[str, EntryPoint]:
    """The entry points of installed packages by name; nothing is imported."""
    return {point.name: point for point in entry_points(group=GROUP)}


def _package_folder(point: EntryPoint) -> Path:
    """The folder of the package that holds `point`, or its file."""
    try:
        spec = importlib.util.find_spec(point.module.partition(".")[0])
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        return Path(point.module)
    path = Path(spec.origin)
    return path.parent if spec.submodule_search_locations else path


def _run(
    key: tuple[str, ...], name: str, root: Path, entry: str, execute: Callable[[], None]
) -> Loaded:
    """Run a plugin unless it has run; a failure leaves the registries as they were."""
    if key in _loaded:
        return _loaded[key]
    before = {kind: set(registry) for kind, registry in CHOICES.items()}
    try:
        execute()
    except (Exception, SystemExit) as error:
        for kind, registry in CHOICES.items():
            for new in registry.keys() - before[kind]:
                del registry[new]
        raise UserError(in_words(error, name, root)) from None
    choices = [
        (kind, cls)
        for kind, registry in CHOICES.items()
        for new, cls in registry.items()
        if new not in before[kind]
    ]
    _loaded[key] = Loaded(name, root, tuple(choices), entry)
    return _loaded[key]


def plugin_error(error: BaseException) -> str | None:
    """`error` in words, if it came from the code of a plugin; None if it did not."""
    for plugin in _loaded.values():
        if _frames(error, plugin.root):
            return in_words(error, plugin.name, plugin.root)
    return None


def in_words(error: BaseException, name: str, root: Path) -> str:
    """`FILE:LINE: Type: text`, with the last line under `root` that took part in the error."""
    text = " ".join(str(error).split())
    if isinstance(error, SyntaxError):
        return f"{error.filename or name}:{error.lineno or 1}: SyntaxError: {error.msg}"
    frames = _frames(error, root)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else name
    kind = [] if isinstance(error, UserError) else [type(error).__name__]
    return ": ".join([place, *kind, *([text] if text else [])])


def _frames(error: BaseException, root: Path) -> list[traceback.FrameSummary]:
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if Path(frame.filename).is_relative_to(root)]
