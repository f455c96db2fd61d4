"""`eibench list`: the names that a suite can use."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eibench.cli.console import say
from eibench.cli.help import command_group
from eibench.cli.options import AsJson, Plugins, valid_paths
from eibench.errors import UserError

if TYPE_CHECKING:
    from eibench.plan.options import Choice

FIRST = ("ei", "batchnorm")
"""Methods at the top of their list: the question of the benchmark."""
list_app = command_group("List what a suite can name.")


def _show(entries: list[dict[str, str]], as_json: bool) -> None:
    if as_json:
        say(json.dumps(entries, indent=2))
        return
    width = max((len(entry["name"]) for entry in entries), default=0)
    for entry in entries:
        name = entry["name"] if "preset" not in entry else ""
        preset = f"  preset {entry['preset']}: " if "preset" in entry else ""
        say(f"{name:<{width}}  {preset}{entry['summary']}")


def _choices(
    registry: Mapping[str, type[Choice]], plugins: list[str] | None
) -> list[dict[str, str]]:
    from eibench.plan.plugins import load_plugins

    load_plugins(plugins or [])
    return [entry for name, cls in registry.items() for entry in _entries(name, cls)]


def _entries(name: str, cls: type[Choice]) -> Iterator[dict[str, str]]:
    """Yield the entry of a choice, then those of its presets."""
    yield {"name": name, "summary": cls.summary()}
    for preset, known in cls.presets.items():
        yield {"name": name, "preset": preset, "summary": known.summary}


@list_app.command()
def methods(as_json: AsJson = False, plugin: Plugins = None) -> None:
    """List the methods."""
    from eibench.plan.options import METHODS

    entries = _choices(METHODS, plugin)
    place = {name: i for i, name in enumerate(FIRST)}
    _show(sorted(entries, key=lambda entry: place.get(entry["name"], len(FIRST))), as_json)


@list_app.command()
def models(as_json: AsJson = False, plugin: Plugins = None) -> None:
    """List the model architectures."""
    from eibench.plan.options import MODELS

    _show(_choices(MODELS, plugin), as_json)


@list_app.command()
def datasets(as_json: AsJson = False, plugin: Plugins = None) -> None:
    """List the data sets."""
    from eibench.plan.options import DATASETS

    _show(_choices(DATASETS, plugin), as_json)


@list_app.command()
def metrics(as_json: AsJson = False) -> None:
    """List the metrics that tables and figures can show."""
    from eibench.results.metrics import METRICS

    _show([{"name": name, "summary": one.summary} for name, one in METRICS.items()], as_json)


@list_app.command()
def plugins(as_json: AsJson = False) -> None:
    """List installed plugins with their packages; none is loaded."""
    from eibench.plan.plugins import installed_plugins

    entries = [
        {"name": name, "summary": f"{point.dist.name} {point.dist.version}" if point.dist else ""}
        for name, point in installed_plugins().items()
    ]
    _show(entries, as_json)


@list_app.command()
def suites(
    as_json: AsJson = False,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--in",
            metavar="FOLDER",
            callback=valid_paths,
            help="Only the suites in a folder.",
            show_default="suites/, then those that ship with eibench",
        ),
    ] = None,
) -> None:
    """List the suites with their titles: those in suites/, then those that ship with eibench."""
    from eibench.plan.find import known_suites, suite_files

    if folder is not None and not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the one that holds suites with --in")
    paths = known_suites().values() if folder is None else suite_files(folder)
    _show([{"name": path.stem, "summary": _title(path)} for path in paths], as_json)


def _title(path: Path) -> str:
    """Return the title of a suite, or its problems in one line."""
    from eibench.plan.suite import read_suite

    try:
        return read_suite(path)[1].title
    except UserError as error:
        return f"(invalid: {'; '.join(str(error).splitlines())})"
