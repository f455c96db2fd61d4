"""The document of costs that `eibench cost` counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from eibench.report.model import cost_notes as notes
from eibench.report.model.document import NO_CELL, Cell, Column, Document, Table, fixed

Values = Mapping[str, Any]
PREFIXES = tuple(
    zip(
        ("T", "G", "M", "k", "", "m", "µ", "n", "p"),
        (10.0**n for n in range(12, -15, -3)),
        strict=True,
    )
)
PICO, NANO = 1e-12, 1e-9
USES = {
    "compute": "arithmetic alone",
    "layerwise": "memory, layer by layer",
    "stepwise": "memory, step by step",
    "events": "memory, no reuse",
}
"""Orders of work, in words."""
KEYS = ("title", "name", "runs")
"""Columns of CSV that come first."""


def cost_document(values: Values, title: str) -> Document:
    """Return the tables of `values`, as `eibench.cost` makes them."""
    rows = values["rows"]
    tables = [
        _table("activity", ACTIVITY, rows, "Synaptic operations", notes.activity_notes(values)),
        _table("operations", OPERATIONS, rows, "All operations", notes.operation_notes()),
        _table("memory", MEMORY, rows, "Memory and traffic", notes.memory_notes()),
    ]
    for use, words in USES.items():
        below = notes.energy_notes(values, last=use == list(USES)[-1])
        heading, columns = f"Energy, a model: {words}", _energy_columns(values, use)
        tables.append(_table(f"energy-{use}", columns, rows, heading, below))
    if training := values.get("training"):
        below = notes.training_notes(training)
        columns, known = _training_columns(values), {row["name"]: row for row in rows}
        timed = [{**known.get(row["name"], {}), **row} for row in training["rows"]]
        tables.append(_table("training", columns, timed, "A training step", below))
    for row in rows:
        if layers := row.get("layers"):
            heading = f"Synapses of {row['name']}"
            tables.append(_table("synapses", LAYERS, layers, heading, notes.layer_notes()))
        if rates := row.get("firing_rate_by_layer"):
            listed = [{"name": i, "rate": rate} for i, rate in enumerate(rates, start=1)]
            heading = f"Spikes of {row['name']} by layer"
            tables.append(_table("spikes", RATES, listed, heading, iter(())))
    captioned = tuple(replace(one, caption=f"{title}. {one.title}") for one in tables)
    return Document(title, captioned, title, values, list(_records(values, title)), KEYS)


# --- Columns -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Show:
    """A column of texts."""

    name: str
    text: Callable[[Values], str]


@dataclass(frozen=True)
class _Amount:
    """A column of numbers under one prefix, which its head has with the unit.

    Columns of one unit share the prefix.
    """

    name: str
    number: Callable[[Values], float | None]
    unit: str = ""


Shown = _Show | _Amount


def _table(
    label: str,
    columns: Sequence[Shown],
    rows: Sequence[Values],
    title: str,
    below: Iterator[str],
) -> Table:
    made = [_column(column, rows, columns) for column in columns]
    heads = [Column(name, _levels(name), stub=not i) for i, (name, _) in enumerate(made)]
    cells = tuple(
        (Cell(name), *(Cell(fixed(text)) for text in others))
        for name, *others in zip(*(texts for _, texts in made), strict=True)
    )
    name = f"cost-{label}"
    return Table(tuple(heads), cells, tuple(below), title=title, label=name, narrow=True)


def _levels(name: str) -> tuple[str, ...]:
    """Return the parts of `as written: MAC`; nothing where the head is one."""
    parts = tuple(name.split(": "))
    return parts if len(parts) > 1 else ()


def _column(
    column: Shown, rows: Sequence[Values], columns: Sequence[Shown]
) -> tuple[str, list[str]]:
    """Return the head and the texts of one of `columns`."""
    if isinstance(column, _Show):
        return column.name, [column.text(row) for row in rows]
    alike = [c for c in columns if isinstance(c, _Amount) and c.unit and c.unit == column.unit]
    numbers = [one.number(row) or 0.0 for one in alike or [column] for row in rows]
    sign, size = prefix(max(numbers, default=0.0))
    unit = f" ({sign}{column.unit})" if sign or column.unit else ""
    return column.name + unit, [_scaled(column.number(row), size) for row in rows]


def _scaled(number: float | None, size: float) -> str:
    return NO_CELL if number is None else significant(number / size)


def prefix(number: float) -> tuple[str, float]:
    """Return the prefix of the SI, and its size, under which `number` is from 1 to 1000."""
    for sign, size in PREFIXES:
        if number >= size * 0.9995:
            return sign, size
    return ("", 1.0) if number == 0 else PREFIXES[-1]


def significant(number: float) -> str:
    """Return a number to three digits without an exponent: `940`, `2.36`, `0.0371`."""
    if number == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(float(f"{number:.2e}"))))
    return f"{number:.{max(0, digits)}f}"


def _mean(name: str) -> Callable[[Values], float | None]:
    return lambda row: row["mean"].get(name)


def _number(name: str) -> Callable[[Values], float | None]:
    return lambda row: row[name]


def _share(number: float | None) -> str:
    return NO_CELL if number is None else f"{number:.3f}"


def _percent(row: Values) -> str:
    mean, deviation = (row.get(key, {}).get("test_accuracy") for key in ("mean", "std"))
    if mean is None:
        return NO_CELL
    return f"{mean:.1f}" + (f" ± {deviation:.1f}" if deviation is not None else "")


NAME = _Show("", lambda row: str(row["name"]))
ACCURACY = _Show("test accuracy (%)", _percent)
ACTIVE = _Show("active inputs", lambda row: _share(row["mean"]["input_density"]))
ACTIVITY: list[Shown] = [
    NAME,
    ACCURACY,
    _Show("spikes per neuron and step", lambda row: _share(row["mean"]["firing_rate"])),
    ACTIVE,
    _Show("binary inputs", lambda row: _share(row["mean"]["binary_inputs"])),
    _Amount("dense", _mean("nb_dense")),
    _Amount("MAC", _mean("nb_macs")),
    _Amount("AC", _mean("nb_acs")),
    _Amount("first layer", _mean("first_layer_macs")),
    _Amount("neuron updates", _mean("neuron_updates")),
]
OPERATIONS: list[Shown] = [
    NAME,
    *(
        _Amount(f"{form}: {words}", _mean(f"{key}_{kind}"))
        for form, key in (("as written", "full"), ("folded", "folded"))
        for words, kind in (("MAC", "macs"), ("AC", "acs"), ("divisions", "divisions"))
    ),
]
MEMORY: list[Shown] = [
    NAME,
    _Amount("footprint", _mean("nb_footprint"), "B"),
    _Amount("folded weights", _mean("weight_bytes"), "B"),
    _Amount("state", _mean("state_bytes"), "B"),
    _Amount("weight reads", _mean("weight_traffic"), "B"),
    _Amount("state traffic", _mean("state_traffic"), "B"),
    _Amount("activity traffic", _mean("activity_traffic"), "B"),
]
LAYERS: list[Shown] = [
    NAME,
    _Amount("dense", _number("dense")),
    _Amount("MAC", _number("macs")),
    _Amount("AC", _number("acs")),
    _Show("active inputs", lambda row: _share(row["input_density"])),
    _Show("binary inputs", lambda row: _share(row["binary_inputs"])),
    _Show("bits of inputs", lambda row: "real" if row["bits"] is None else str(row["bits"])),
    _Show("weights that are not 0", lambda row: _share(row["weight_density"])),
]
RATES: list[Shown] = [
    _Show("layer of neurons", lambda row: str(row["name"])),
    _Show("spikes per neuron and step", lambda row: _share(row["rate"])),
]


def _training_columns(values: Values) -> list[Shown]:
    """Return accuracy, time and memory, these also over the control's, and products."""
    control = values["control"]
    base = next((row for row in values["training"]["rows"] if row["name"] == control), None)

    def against(key: str) -> list[Shown]:
        return [_Show(f"x {control}", lambda row: f"{row[key] / base[key]:.2f}")] if base else []

    return [
        NAME,
        ACCURACY,
        _Amount("step", _number("step_seconds"), "s"),
        *against("step_seconds"),
        _Show("images/s", lambda row: f"{row['images_per_second']:.0f}"),
        _Show("peak (MiB)", lambda row: f"{row['peak_mib']:.0f}"),
        *against("peak_mib"),
        _Amount("MAC per image", _number("macs_per_image")),
        _Amount("energy proxy per image", lambda row: NANO * row["energy_per_image"], "J"),
    ]


def _energy_columns(values: Values, use: str) -> list[Shown]:
    def known(row: Values) -> Values:
        found: Values = row["energy"][use]
        return found

    control = values["control"]
    against = [_Show(f"x {control}", lambda row: _ratio(known(row), "to_control"))]
    return [
        NAME,
        _Amount("SNN", lambda row: PICO * known(row)["snn"], "J"),
        *(against if control is not None else []),
        _Amount("ANN", lambda row: PICO * known(row)["ann"], "J"),
        _Show("SNN / ANN", lambda row: _ratio(known(row), "snn_to_ann")),
        ACTIVE,
        _Show("break-even", lambda row: _ratio(known(row), "break_even", 3)),
    ]


def _ratio(known: Values, name: str, digits: int = 2) -> str:
    """Return a number of the model and its range: `1.10 [1.04, 1.12]`."""
    if known.get(name) is None:
        return NO_CELL
    numbers = (known[name], *known[f"{name}_range"])
    base, low, high = (f"{number:.{digits}f}" for number in numbers)
    return base if base == low == high else f"{base} [{low}, {high}]"


# --- Rows for programs ----------------------------------------------------------------------------


def _records(values: Values, title: str) -> Iterator[dict[str, Any]]:
    """Yield a tidy row for each row: every mean, ratios of energy by use, and the training step."""
    training = {row["name"]: row for row in values.get("training", {}).get("rows", ())}
    for row in values["rows"]:
        ratios = {
            f"{name}_{use}{end}": number
            for use, known in row["energy"].items()
            for name in ("to_control", "snn_to_ann", "break_even")
            for end, number in zip(
                ("", "_low", "_high"),
                (known.get(name), *(known.get(f"{name}_range") or ())),
                strict=False,
            )
        }
        step = {f"train_{k}": v for k, v in training.get(row["name"], {}).items() if k != "name"}
        yield {
            "title": title,
            "name": row["name"],
            "runs": row["runs"],
            **row["mean"],
            **ratios,
            **step,
        }
