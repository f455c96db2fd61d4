"""`eibench tables`: the tables and figures that suites ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eibench.cli.console import say
from eibench.cli.options import valid_paths
from eibench.errors import UserError

if TYPE_CHECKING:
    from eibench.plan.sweeps import Sweep


def tables(
    suites: Annotated[
        list[str] | None,
        typer.Argument(help="Suite files, or names of suites.", show_default="all with results"),
    ] = None,
    results: Annotated[Path, typer.Option(callback=valid_paths, help="Folder of results.")] = Path(
        "results"
    ),
    live: Annotated[
        bool, typer.Option("--live", help="Use live runs, not the packed evidence.")
    ] = False,
    again: Annotated[bool, typer.Option("--all", help="Make also what is up to date.")] = False,
) -> None:
    """Make the tables and figures that each suite's `report` section asks for.

    Of a suite's sweeps (`evaluate`) they are a table and a figure each. They go beside the
    evidence, in results/evidence/NAME, or with --live beside the live runs. Made again is only what
    has new results, another section, or another version of eibench.
    """
    from eibench.report.make import SuiteReport

    reports = 0
    for path, folder, sweep in _with_results(suites, results, live):
        reports += 1
        for made in SuiteReport(path, folder, sweep).make(again):
            say(str(made))
    if not reports:
        raise UserError(f"{results}: no results of {'these' if suites else 'any'} suites here")


def _with_results(
    suites: list[str] | None, results: Path, live: bool
) -> Iterator[tuple[Path, Path, Sweep | None]]:
    """Yield file and results folder of each suite and of its sweeps; without names, of those that
    have results."""
    from eibench.plan.find import find_suite, known_suites
    from eibench.plan.suite import read_suite
    from eibench.plan.sweeps import Sweep
    from eibench.results.paths import SEARCH, evidence_of, has_plan

    def place(name: str) -> Path:
        return results / name if live else evidence_of(results / name)

    for path in map(find_suite, suites) if suites else known_suites().values():
        suite = read_suite(path)[1]
        folder = place(suite.name)
        if has_plan(folder) or has_plan(folder / SEARCH):
            yield path, folder, None
        elif suites:
            kind = "live runs" if live else "packed results"
            raise UserError(f"{path}: no {kind} in {folder}")
        for name, axes in suite.evaluate.items():
            sweep = Sweep(name, axes)
            if has_plan(folder := place(sweep.folder(suite.name))):
                yield path, folder, sweep
