"""`eibench data`: fetch, verify and show data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eibench.cli.console import say
from eibench.cli.help import command_group
from eibench.cli.options import (
    DataDir,
    Plugins,
    read_overrides,
    validate_settings,
    writable_file,
)
from eibench.errors import UserError, did_you_mean
from eibench.limits import LARGEST_SEED, NUMBERS

if TYPE_CHECKING:
    from eibench.plan.options import DataOptions
    from eibench.profile.dataset_summary import DatasetSummary

data_app = command_group("Fetch, verify and look at data sets.")
CLASSES, PICTURES = 10, 8
"""Maximal numbers of rows and columns of a contact sheet."""
SHEETS = Path("results/data")
"""Folder of contact sheets, beside the results of suites."""
TIMESTEPS = int(NUMBERS["timesteps"][0])

Name = Annotated[str, typer.Argument(help="A data set, as `eibench list datasets` has it.")]
DataSettings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="OPTION=VALUE", help="An option of the data set."),
]


@data_app.command()
def fetch(name: Name, data_dir: DataDir = None, plugin: Plugins = None) -> None:
    """Download a data set into its folder unless it is there and complete; then verify it."""
    options = _known(name, plugin)
    from eibench.execution import dataset_cache

    if not dataset_cache.is_fetched(name):
        say(f"{name}: nothing to fetch; {_origin(options)}")
        return
    folder, fetched = dataset_cache.fetch(name)
    say(
        f"{name}: {'fetched and verified' if fetched else 'already present and verified'}: {folder}"
    )


@data_app.command()
def verify(
    name: Name, settings: DataSettings = None, data_dir: DataDir = None, plugin: Plugins = None
) -> None:
    """Check every file of a data set, and name each that is missing or damaged.

    Exit code: 0 all are complete, 1 some are not, 2 the data set is absent.
    """
    options = data_options(name, settings, plugin)
    from eibench.execution import dataset_cache

    problems = dataset_cache.verify(options, TIMESTEPS)
    for problem in problems:
        say(problem)
    if problems:
        count = "1 file is" if len(problems) == 1 else f"{len(problems)} files are"
        say(f"{name}: {count} missing or damaged; `eibench data fetch {name}` fetches it again")
        raise typer.Exit(1)
    say(f"{name}: complete")


@data_app.command()
def show(
    name: Name,
    settings: DataSettings = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG",
            callback=writable_file,
            help="The contact sheet.",
            show_default="results/data/NAME.png",
        ),
    ] = None,
    timesteps: Annotated[
        int, typer.Option(min=1, max=1000, help="Frames into which recordings are binned.")
    ] = TIMESTEPS,
    seed: Annotated[
        int,
        typer.Option(min=0, max=LARGEST_SEED, help="Seed of the runs, for splits drawn by seed."),
    ] = 0,
    data_dir: DataDir = None,
    plugin: Plugins = None,
) -> None:
    """Load a data set; print classes, sizes, statistics and digest, and draw a contact sheet."""
    options = data_options(name, settings, plugin)
    path = out or SHEETS / f"{name}.png"
    if path.suffix.lower() != ".png":
        raise UserError(f"--out {path}: must end in .png")
    from eibench.execution.dataset_cache import location
    from eibench.profile.dataset_summary import summarize_dataset
    from eibench.report.figures.contact_sheet import draw_sheet, save_sheet

    found = summarize_dataset(options, timesteps, CLASSES, PICTURES, seed)
    save_sheet(draw_sheet(_title(options, found), found.samples), path)
    place = location(name)
    files = [] if place is None else [("files", place)]
    for heading, words in [*files, *_lines(found), ("sheet", str(path))]:
        say(f"{heading:<11} {words}")


def _known(name: str, plugins: list[str] | None) -> type[DataOptions]:
    """Return the options class of the data set `name`, which a plugin may add."""
    from eibench.plan.options import DATASETS
    from eibench.plan.plugins import load_plugins

    load_plugins(plugins or [])
    if name not in DATASETS:
        allowed = f"allowed: {', '.join(DATASETS)}{did_you_mean(name, DATASETS)}"
        raise UserError(f"unknown data set {name!r}; {allowed}")
    return DATASETS[name]


def data_options(name: str, settings: list[str] | None, plugins: list[str] | None) -> DataOptions:
    """Return the options of the data set `name` with `settings` applied."""
    cls = _known(name, plugins)
    return validate_settings(cls, name, {one.key: one.value for one in read_overrides(settings)})


def _origin(options: type[DataOptions]) -> str:
    """Return why a data set needs no download."""
    if options.plugin is not None:
        return f"it is loaded by the plugin {options.plugin.name}"
    required = [key for key, field in options.model_fields.items() if field.is_required()]
    if required:
        return f"it is read from what you specify as {', '.join(required)}"
    return "it ships with a dependency of eibench"


def _title(options: DataOptions, found: DatasetSummary) -> str:
    """Return the title of the contact sheet."""
    shown, count = len(found.samples), len(found.classes)
    some = f"all {count} classes" if shown == count else f"{shown} of {count} classes"
    if found.frames is None:
        return f"{options.name}: training images of {some}"
    colours = "; ON red, OFF blue" if found.image[0] == 2 else ""
    return f"{options.name}: recordings of {some} in {found.frames} frames{colours}"


def _lines(found: DatasetSummary) -> list[tuple[str, str]]:
    """Return the headings and texts of a description."""
    size = "x".join(map(str, found.image))
    shown = f"{found.frames} frames of {size}" if found.frames else size
    unit = "" if found.unit is None else f", {found.unit:g} stands for 1"
    return [
        ("image", f"{shown}, {found.dtype} from {found.low:g} to {found.high:g}{unit}"),
        ("classes", f"{len(found.classes)}: {_some(found.classes)}"),
        *(("note", note) for note in found.notes),
        *((part.name, f"{part.count}, {_range(part.least, part.most)} of a class")
          for part in found.parts),
        ("mean", _numbers(found.mean)),
        ("deviation", f"{_numbers(found.deviation)} (training split, by channel)"),
        ("digest", found.digest),
    ]  # fmt: skip


def _some(names: tuple[str, ...]) -> str:
    more = ", ..." if len(names) > CLASSES else ""
    return ", ".join(names[:CLASSES]) + more


def _range(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4f}" for value in values)
