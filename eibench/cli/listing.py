"""`eibench list`: the names that a suite can use."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from eibench.cli.console import say
from eibench.cli.options import AsJson, Plugins, valid_paths
from eibench.errors import UserError
from eibench.plan.options import DATASETS, METHODS, MODELS, Choice
from eibench.plan.plugins import installed_plugins, load_plugins
from eibench.plan.suite import read_suite, suite_files
from eibench.results.metrics import METRICS

list_app = typer.Typer(no_args_is_help=True, help="List what a suite can name.")


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
    _show(_choices(METHODS, plugin), as_json)


@list_app.command()
def models(as_json: AsJson = False, plugin: Plugins = None) -> None:
    """List the model architectures."""
    _show(_choices(MODELS, plugin), as_json)


@list_app.command()
def datasets(as_json: AsJson = False, plugin: Plugins = None) -> None:
    """List the data sets."""
    _show(_choices(DATASETS, plugin), as_json)


@list_app.command()
def metrics(as_json: AsJson = False) -> None:
    """List the metrics that tables and figures can show."""
    _show([{"name": name, "summary": one.summary} for name, one in METRICS.items()], as_json)


@list_app.command()
def plugins(as_json: AsJson = False) -> None:
    """List installed plugins with their packages; none is loaded."""
    entries = [
        {"name": name, "summary": f"{point.dist.name} {point.dist.version}" if point.dist else ""}
        for name, point in installed_plugins().items()
    ]
    _show(entries, as_json)


@list_app.command()
def suites(
    as_json: AsJson = False,
    folder: Annotated[
        Path,
        typer.Option("--in", callback=valid_paths, help="Folder of the suites.", show_default=True),
    ] = Path("suites"),
) -> None:
    """List the suite files with their titles."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the one that holds suites with --in")
    entries = []
    for path in suite_files(folder):
        try:
            entries.append({"name": path.stem, "summary": read_suite(path)[1].title})
        except UserError as error:
            entries.append(
                {"name": path.stem, "summary": f"(invalid: {'; '.join(str(error).splitlines())})"}
            )
    _show(entries, as_json)
