"""`eibench results`: pack live runs as evidence, and unpack them again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eibench.cli.console import say
from eibench.cli.help import command_group
from eibench.cli.options import valid_paths
from eibench.errors import UserError

results_app = command_group("Pack and unpack results.")
KIB = 1024


@results_app.command()
def pack(
    suites: Annotated[
        list[Path] | None,
        typer.Argument(
            callback=valid_paths,
            help="Suites with live runs, or folders of them.",
            show_default="results",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            callback=valid_paths,
            help="Where to, a folder for each suite.",
            show_default="evidence/ beside the suites",
        ),
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Keep packed runs that the live results lack.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Drop packed runs that the live results lack.")
    ] = False,
) -> None:
    """Pack the live runs of each suite into one file, which reports read as they read runs.

    Checkpoints, locks, figures and tables are left out. Equal runs give equal bytes.
    """
    from eibench.results import packing
    from eibench.results.paths import RESULTS

    if merge and replace:
        raise UserError("--merge --replace: one of the two, not both")
    existing: packing.Treatment = "merge" if merge else "replace" if replace else "refuse"
    for path in suites or [RESULTS]:
        for folder in packing.live_suites(path):
            done = packing.pack(folder, out or _beside(folder), existing)
            size = done.path.stat().st_size / KIB
            kept = f", {done.kept} of them from before" * bool(done.kept)
            say(f"{done.path}: {done.runs} runs{kept}, {size:.0f} KiB")
            if done.left_out:
                names = [f"{n} x{k}" if k > 1 else n for n, k in sorted(done.left_out.items())]
                say(f"left out: {', '.join(names)}", err=True)


def _beside(folder: Path) -> Path:
    """Return the folder of evidence beside a suite's live runs."""
    from eibench.results.paths import evidence_of

    return evidence_of(folder if folder.name not in ("", "..") else folder.resolve()).parent


@results_app.command()
def unpack(
    suites: Annotated[
        list[Path] | None,
        typer.Argument(
            callback=valid_paths, help="Packed suites, or folders of them.", show_default="results"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", callback=valid_paths, help="Results folder.", show_default="results"
        ),
    ] = None,
) -> None:
    """Unpack results into folders of live runs: `eibench run` goes on from there."""
    from eibench.results import packing
    from eibench.results.paths import RESULTS

    for path in suites or [RESULTS]:
        for folder in packing.packed_suites(path):
            say(str(packing.unpack(folder, out or RESULTS)))
