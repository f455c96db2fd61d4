"""Plugins: Python files of the user, or installed packages, that add methods, models, data sets.

This module finds and runs them. The functions that they call, such as `add_method`, are in
`eibench.plugins` and fill the registries; this module records what is new in these.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from eibench.errors import (
    UserError,
    did_you_mean,
    error_text,
    printable,
    remark_listeners,
    reraise_interrupt,
)
from eibench.files import MEBIBYTE, names_beside, read_bytes
from eibench.plan.options import CHOICES, Choice
from eibench.plan.validate import show

GROUP = "eibench.plugins"
"""Group of entry points of plugins: modules, or functions without arguments."""
LARGEST_SOURCE = 4 * MEBIBYTE
FILE_MODULE = "eibench_plugin_"
"""Prefix of the names of modules made from single files."""


@dataclass(frozen=True)
class Loaded:
    """Plugin that has run: its name in the suite, its code, and what it added."""

    name: str
    root: Path
    """The file, or the folder of the package."""
    choices: tuple[tuple[str, type[Choice]], ...]
    """(`method`, `model` or `data`; options) in the order of registration."""
    entry: str
    """Entry that loads it again in another process."""

    def __str__(self) -> str:
        added = ", ".join(f"{kind} {cls.name}" for kind, cls in self.choices)
        return f"{self.name} ({added or 'adds nothing'})"


@dataclass(frozen=True)
class FoundPlugin:
    """Plugin that was found, but not run."""

    key: tuple[str, ...]
    """Path and content, or name."""
    name: str
    """Name in messages."""
    root: Path
    """The file, or the folder of the package."""
    entry: str
    """Entry that finds it again in another process."""
    execute: Callable[[], None]


_loaded: dict[tuple[str, ...], Loaded] = {}
"""Plugins that have run, by key."""


def load_plugins(entries: Iterable[str], folder: Path = Path()) -> tuple[Loaded, ...]:
    """Find all of the plugins, announce whose code is about to run, and run it; see `find_plugin`.

    Raises:
        UserError: there is no such plugin, or its code fails; with the plugin's file and line.
    """
    found = [find_plugin(entry, folder) for entry in entries]
    announce_plugins(found)
    return tuple(map(run_plugin, found))


def load_plugin(entry: str, folder: Path = Path()) -> Loaded:
    """Load one plugin; see `load_plugins`."""
    return load_plugins([entry], folder)[0]


def find_plugin(entry: str, folder: Path = Path()) -> FoundPlugin:
    """Find the plugin `entry`: a path ending in .py, relative to `folder`, or an installed name.

    Raises:
        UserError: there is no such plugin.
    """
    return _find_file(folder / entry) if entry.endswith(".py") else _find_installed(entry)


def announce_plugins(plugins: Iterable[FoundPlugin]) -> None:
    """Tell the listeners, in one line, which files' code is about to run for the first time."""
    new = [str(plugin.root.resolve()) for plugin in plugins if plugin.key not in _loaded]
    for listener in remark_listeners if new else []:
        listener(printable(f"running the code of {', '.join(new)}"))


def _find_file(path: Path) -> FoundPlugin:
    try:
        source = read_bytes(path, LARGEST_SOURCE)
    except FileNotFoundError:
        hint = did_you_mean(path.name, names_beside(path, "*.py"))
        raise UserError(f"{path}: no such file{hint}") from None
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

    return FoundPlugin(key, str(path), path, str(path.resolve()), execute)


def _find_installed(entry: str) -> FoundPlugin:
    found = installed_plugins()
    if entry not in found:
        listed = ", ".join(found) or "none"
        hint = "a file's name ends in .py; installed plugins"
        near = did_you_mean(entry, found)
        raise UserError(f"unknown plugin {show(entry)}; {hint}: {listed}{near}")
    point = found[entry]

    def execute() -> None:
        thing = point.load()
        if not isinstance(thing, ModuleType):
            thing()

    return FoundPlugin((entry,), entry, _package_folder(point), entry, execute)


def installed_plugins() -> dict[str, EntryPoint]:
    """Return the entry points of installed packages by name; nothing is imported."""
    return {point.name: point for point in entry_points(group=GROUP)}


def _package_folder(point: EntryPoint) -> Path:
    """Return the folder of the package that contains `point`, or its file."""
    try:
        spec = importlib.util.find_spec(point.module.partition(".")[0])
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        return Path(point.module)
    path = Path(spec.origin)
    return path.parent if spec.submodule_search_locations else path


def run_plugin(found: FoundPlugin) -> Loaded:
    """Run a plugin unless it has run; a failure leaves the registries unchanged.

    Raises:
        UserError: its code fails, or exits; with the plugin's file and line.
    """
    if found.key in _loaded:
        return _loaded[found.key]
    before = {kind: set(registry) for kind, registry in CHOICES.items()}
    try:
        found.execute()
    except BaseException as error:  # whatever a stranger's code raises
        reraise_interrupt(error)
        for kind, registry in CHOICES.items():
            for new in registry.keys() - before[kind]:
                registry.remove(new)
        raise UserError(in_words(error, found.name, found.root)) from None
    choices = [
        (kind, cls)
        for kind, registry in CHOICES.items()
        for new, cls in registry.items()
        if new not in before[kind]
    ]
    _loaded[found.key] = Loaded(found.name, found.root, tuple(choices), found.entry)
    return _loaded[found.key]


def plugin_error(error: BaseException) -> str | None:
    """Return the message of `error` if it came from the code of a plugin, else None."""
    for plugin in _loaded.values():
        if _frames(error, plugin.root):
            return in_words(error, plugin.name, plugin.root)
    return None


def in_words(error: BaseException, name: str, root: Path) -> str:
    """Return `FILE:LINE: Type: text`, with the last line under `root` that took part in the
    error."""
    text = " ".join(error_text(error).split())
    if isinstance(error, SyntaxError):
        return f"{error.filename or name}:{error.lineno or 1}: SyntaxError: {error.msg}"
    frames = _frames(error, root)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else name
    kind = [] if isinstance(error, UserError) else [type(error).__name__]
    return ": ".join([place, *kind, *([text] if text else [])])


def _frames(error: BaseException, root: Path) -> list[traceback.FrameSummary]:
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if Path(frame.filename).is_relative_to(root)]
