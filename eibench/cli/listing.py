"""`eibench list`: what a suite can name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from eibench.errors import UserError
from eibench.plan.options import DATASETS, METHODS, MODELS, Choice
from eibench.plan.suite import SUFFIXES, read_suite

list_app = typer.Typer(no_args_is_help=True, help="List what a suite can name.")
AsJson = Annotated[bool, typer.Option("--json", help="Print a JSON list of name and summary.")]


def _show(entries: list[dict[str, str]], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(entries, indent=2))
        return
    width = max((len(entry["name"]) for entry in entries), default=0)
    for entry in entries:
        typer.echo(f"{entry['name']:<{width}}  {entry['summary']}")


def _choices(registry: Mapping[str, type[Choice]]) -> list[dict[str, str]]:
    return [{"name": name, "summary": cls.summary()} for name, cls in registry.items()]


@list_app.command()
def methods(as_json: AsJson = False) -> None:
    """Methods that are compared."""
    _show(_choices(METHODS), as_json)


@list_app.command()
def models(as_json: AsJson = False) -> None:
    """Architectures."""
    _show(_choices(MODELS), as_json)


@list_app.command()
def datasets(as_json: AsJson = False) -> None:
    """Data sets."""
    _show(_choices(DATASETS), as_json)


@list_app.command()
def suites(
    as_json: AsJson = False,
    folder: Annotated[
        Path, typer.Option("--in", help="Folder of the suites.", show_default=True)
    ] = Path("suites"),
) -> None:
    """Suite files, with their titles."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the one that holds suites with --in")
    entries = []
    for path in sorted(p for p in folder.iterdir() if p.suffix in SUFFIXES):
        try:
            entries.append({"name": path.stem, "summary": read_suite(path)[1].title})
        except UserError as error:
            entries.append(
                {"name": path.stem, "summary": f"(invalid: {'; '.join(str(error).splitlines())})"}
            )
    _show(entries, as_json)
