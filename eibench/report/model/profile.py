"""The document of a profile that `eibench profile` measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from eibench.report.model.document import NO_CELL, Column, Document, Table, code, fixed, text_cells

SHARES = "Where the time goes (%)"
AXES = {"depth": "layer", "timesteps": "time step", "batch_size": "image of a batch"}
"""Name of one more unit of each axis."""
Profile = Mapping[str, Any]


def profile_document(profile: Profile) -> Document:
    """Return the tables of a profile: cost, shares of time, and cost by each axis."""
    shares = ["", *_parts(profile)]
    tables = [_table(COST_HEADS, _cost(profile)), _table(shares, _shares(profile), SHARES)]
    for axis in profile["axes"]:
        title = f"Cost by {axis['axis']} ({_values(axis)}; {axis['model']})"
        tables.append(_table(_line_heads(axis["axis"]), _lines(axis), title))
    tables[-1] = replace(tables[-1], notes=tuple(_notes(profile)))
    return Document(heading(profile), tuple(tables), values=profile)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> Table:
    stub, *others = heads
    columns = (Column(stub, stub=True), *map(Column, others))
    return Table(columns, tuple(map(text_cells, rows)), title=title, caption=title)


def heading(profile: Profile) -> str:
    """Return what was measured, as a heading."""
    image = "x".join(map(str, profile["image"]))
    return (
        f"One training step of {profile['model']}: batch {profile['batch_size']},"
        f" T {profile['timesteps']}, images {image}, {profile['precision']},"
        f" {profile['device']}"
    )


COST_HEADS = [
    "",
    "step (ms)",
    "quartiles",
    "images/s",
    "x batchnorm",
    "x bare",
    "peak (MiB)",
    "x batchnorm",
]


def _cost(profile: Profile) -> list[list[str]]:
    rows = profile["rows"]
    base = profile["reference"]
    reference = next((row["peak_mib"] for row in rows if row["name"] == base), None)
    return [
        [
            row["name"],
            _ms(row["step_seconds"]["median"]),
            fixed(
                f"{_ms(row['step_seconds']['lower_quartile'])} to"
                f" {_ms(row['step_seconds']['upper_quartile'])}"
            ),
            _show(row["images_per_second"], "{:.1f}"),
            _show(row["ratio"], "{:.2f}"),
            _show(row["ratio_to_bare"], "{:.2f}"),
            _show(row["peak_mib"], "{:.0f}"),
            _show(row["peak_mib"], "{:.2f}", reference),
        ]
        for row in rows
    ]


def _parts(profile: Profile) -> list[str]:
    return next(list(row["shares"]) for row in profile["rows"] if row["shares"])


def _shares(profile: Profile) -> list[list[str]]:
    return [
        [row["name"], *(f"{100 * share:.0f}" for share in row["shares"].values())]
        for row in profile["rows"]
        if row["shares"]
    ]


def _line_heads(axis: str) -> list[str]:
    one = AXES[axis]
    time = [f"ms per {one}", "R²", "residual (%)"]
    return ["", *time, f"MiB per {one}", "R² of memory", "residual of memory (%)"]


def _lines(axis: Mapping[str, Any]) -> list[list[str]]:
    return [
        [line["name"], *_fit(line["time_fit"], 1e3), *_fit(line["memory_fit"], 1.0)]
        for line in axis["lines"]
    ]


def _fit(line: Mapping[str, Any], scale: float) -> list[str]:
    return [
        f"{scale * line['slope']:.3g}",
        _show(line["r_squared"], "{:.4f}"),
        f"{100 * line['residual']:.1f}",
    ]


def _values(axis: Mapping[str, Any]) -> str:
    return ", ".join(map(str, axis["values"]))


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f}"


def _show(number: float | None, form: str, base: float | None = 1.0) -> str:
    return NO_CELL if number is None or base is None else form.format(number / base)


def _notes(profile: Profile) -> Iterator[str]:
    known = profile["environment"]
    commit = (known["commit"] or "installed package")[:8]
    dirty = " (with uncommitted changes)" if known["dirty"] else ""
    yield (
        f"Median and quartiles of {profile['steps']} steps of each, taken in turns; a ratio is the"
        " median over turns. Peak: tensors alive at once, counted."
    )
    yield (
        "bare convolutions: products of the network's synapses, forward and both ways back, and"
        " nothing else; those of E-I have what its inhibitory cells need as well: the least that it"
        " can take."
    )
    yield (
        f"{known['cpu']} ({known['cores']} cores), {profile['device']}; torch {known['torch']},"
        f" Python {known['python']}, eibench {known['eibench']}, commit {commit}{dirty}."
    )
    yield f"Command: {code(known['command'])}."
