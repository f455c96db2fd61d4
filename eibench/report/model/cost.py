"""The document of costs that `eibench cost` counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from eibench.report.model.document import NO_CELL, Cell, Column, Document, Table, fixed

Values = Mapping[str, Any]
UNITS = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))
USES = {
    "compute": "arithmetic alone",
    "layerwise": "memory, layer by layer",
    "stepwise": "memory, step by step",
    "events": "memory, no reuse",
}
"""Orders of work, in words."""


def cost_document(values: Values, title: str) -> Document:
    """Return the tables of `values`, as `eibench.cost` makes them."""
    rows = values["rows"]
    tables = [
        _table("activity", ACTIVITY, rows, "Synaptic operations", _activity_notes(values)),
        _table("operations", OPERATIONS, rows, "All operations", _operation_notes()),
        _table("memory", MEMORY, rows, "Memory and traffic", _memory_notes()),
    ]
    for use, words in USES.items():
        notes = _energy_notes(values) if use == list(USES)[-1] else iter(())
        heading, columns = f"Energy, a model: {words}", _energy_columns(values, use)
        tables.append(_table(f"energy-{use}", columns, rows, heading, notes))
    if training := values.get("training"):
        notes = _training_notes(training)
        tables.append(_table("training", TRAINING, training["rows"], "A training step", notes))
    for row in rows:
        if layers := row.get("layers"):
            heading = f"Synapses of {row['name']}"
            tables.append(_table("synapses", LAYERS, layers, heading, _layer_notes()))
    return Document(title, tuple(tables), title, values, list(_records(values)), ("name",))


# --- Columns -------------------------------------------------------------------------------------

Show = Callable[[Values], str]


def _table(
    label: str,
    columns: Sequence[tuple[str, Show]],
    rows: Sequence[Values],
    title: str,
    notes: Iterator[str],
) -> Table:
    heads = [
        Column(name, tuple(name.split(": ")), stub=not i) for i, (name, _) in enumerate(columns)
    ]
    cells = tuple(tuple(Cell(fixed(show(row))) for _, show in columns) for row in rows)
    known = {"title": title, "caption": title, "label": f"cost-{label}"}
    return Table(tuple(heads), cells, tuple(notes), **known, narrow=True)


def quantity(number: float | None) -> str:
    """Return a number to three digits with a prefix: `940`, `2.36 k`, `1.20 G`."""
    if number is None:
        return NO_CELL
    for unit, size in UNITS:
        if number >= size * 0.9995:
            return f"{number / size:#.3g}".rstrip(".") + f" {unit}"
    return f"{number:.3g}"


def _mean(name: str, show: Callable[[float | None], str] = quantity) -> Show:
    return lambda row: show(row["mean"].get(name))


def _number(name: str, show: Callable[[float | None], str] = quantity) -> Show:
    return lambda row: show(row.get(name))


def _share(number: float | None) -> str:
    return NO_CELL if number is None else f"{number:.3f}"


def _percent(row: Values) -> str:
    mean, deviation = (row[key].get("test_accuracy") for key in ("mean", "std"))
    if mean is None:
        return NO_CELL
    return f"{mean:.1f}" + (f" ± {deviation:.1f}" if deviation is not None else "")


def _name(row: Values) -> str:
    return str(row["name"])


ACTIVITY: list[tuple[str, Show]] = [
    ("", _name),
    ("test accuracy (%)", _percent),
    ("spikes per neuron and step", _mean("firing_rate", _share)),
    ("active inputs", _mean("input_density", _share)),
    ("binary inputs", _mean("binary_inputs", _share)),
    ("dense", _mean("nb_dense")),
    ("MAC", _mean("nb_macs")),
    ("AC", _mean("nb_acs")),
    ("first layer", _mean("first_layer_macs")),
]
OPERATIONS: list[tuple[str, Show]] = [
    ("", _name),
    ("as written: MAC", _mean("full_macs")),
    ("as written: AC", _mean("full_acs")),
    ("as written: divisions", _mean("full_divisions")),
    ("folded: MAC", _mean("folded_macs")),
    ("folded: AC", _mean("folded_acs")),
    ("folded: divisions", _mean("folded_divisions")),
    ("neuron updates", _mean("neuron_updates")),
]
MEMORY: list[tuple[str, Show]] = [
    ("", _name),
    ("footprint (B)", _mean("nb_footprint")),
    ("folded weights (B)", _mean("weight_bytes")),
    ("state (B)", _mean("state_bytes")),
    ("weight reads (B)", _mean("weight_traffic")),
    ("state traffic (B)", _mean("state_traffic")),
    ("activity traffic (B)", _mean("activity_traffic")),
]
TRAINING: list[tuple[str, Show]] = [
    ("", _name),
    ("step (ms)", lambda row: f"{1000 * row['step_seconds']:.1f}"),
    ("images/s", _number("images_per_second")),
    ("peak (MiB)", lambda row: f"{row['peak_mib']:.0f}"),
    ("MAC per image", _number("macs_per_image")),
    ("energy proxy (nJ per image)", _number("energy_per_image")),
]
LAYERS: list[tuple[str, Show]] = [
    ("", _name),
    ("dense", _number("dense")),
    ("MAC", _number("macs")),
    ("AC", _number("acs")),
    ("active inputs", _number("input_density", _share)),
    ("binary inputs", _number("binary_inputs", _share)),
    ("bits of inputs", lambda row: "real" if row["bits"] is None else str(row["bits"])),
    ("weights that are not 0", _number("weight_density", _share)),
]


def _energy_columns(values: Values, use: str) -> list[tuple[str, Show]]:
    control = values["control"]
    against = [(f"x {control}", _range(use, "to_control_range"))] if control is not None else []
    return [
        ("", _name),
        ("SNN (nJ)", _energy(use, "snn")),
        *against,
        ("ANN (nJ)", _energy(use, "ann")),
        ("SNN / ANN", _ratio(use)),
        ("active inputs", _mean("input_density", _share)),
        ("break-even", _break_even(use)),
    ]


def _energy(use: str, part: str) -> Show:
    return lambda row: quantity(row["energy"][use][part] / 1000)


def _range(use: str, key: str) -> Show:
    def show(row: Values) -> str:
        found = row["energy"][use].get(key)
        if found is None:
            return NO_CELL
        low, high = found
        return f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"

    return show


def _ratio(use: str) -> Show:
    def show(row: Values) -> str:
        known = row["energy"][use]
        low, high = known["snn_to_ann_range"]
        return f"{known['snn_to_ann']:.2f} [{low:.2f}, {high:.2f}]"

    return show


def _break_even(use: str) -> Show:
    def show(row: Values) -> str:
        known = row["energy"][use]
        if known["break_even"] is None:
            return NO_CELL
        low, high = known["break_even_range"]
        return f"{known['break_even']:.3f} [{low:.3f}, {high:.3f}]"

    return show


# --- Notes ---------------------------------------------------------------------------------------


def _activity_notes(values: Values) -> Iterator[str]:
    runs = {row["runs"] for row in values["rows"]}
    networks = f"; means over {_listed(sorted(runs))} networks" if runs != {1} else ""
    steps = sorted({row["timesteps"] for row in values["rows"]})
    yield (
        f"For one image over {_listed(steps)} time steps, counted on the activity of"
        f" {values['images']} test images{networks}."
    )
    yield (
        "Operations by NeuroBench's definition: pairs of an input and a weight that are both not 0;"
        " AC where all inputs of a call are -1, 0 or 1. Biases, products inside a layer, norms and"
        " neurons do not count. Dense: zeros included."
    )
    yield (
        "Active inputs: share of synaptic inputs after the first layer that are not 0. Binary:"
        " share of those that are -1 or 1; pooled spikes are not."
    )


def _operation_notes() -> Iterator[str]:
    yield (
        "As written: every equation an operation, with division, products of inhibitory cells,"
        " gains, norms, residual sums, pooling, biases and neurons. Folded: what weights alone"
        " determine is computed ahead, batch norm and subtractive inhibition included."
    )
    yield "Multiplications alone count as MAC, comparisons as AC, roots as divisions."


def _memory_notes() -> Iterator[str]:
    yield (
        "Bytes for an image; numbers have 4, spikes are a bit. Footprint: parameters and buffers of"
        " the trained network. Weight reads: each weight of the folded network once per time step,"
        " for a batch of one. State: membrane potentials, read and written at each step."
    )


def _energy_notes(values: Values) -> Iterator[str]:
    bits = sorted({row["ann_bits"] for row in values["rows"]})
    base = values["constants"][0]
    memories = base["memories_pj_per_byte"]
    used = list(dict.fromkeys(row["memory"] for row in values["rows"]))
    yield (
        f"A model, not a measurement. {base['name']}: multiplication {base['multiply_pj']:g} pJ,"
        f" addition {base['add_pj']:g} pJ (MAC {base['multiply_pj'] + base['add_pj']:g} pJ), from"
        f" {base['source']}; division {base['division']:g} multiplications, from"
        f" {base['division_source']}; memory"
        f" {', '.join(f'{memories[name]:g} pJ per byte ({name})' for name in used)}. Control,"
        " clock, leakage and the network on a chip are left out."
    )
    yield (
        "Layer by layer: each weight is read once, potentials stay in registers. Step by step: each"
        " weight is read, each potential read and written, once per step. No reuse: each operation"
        " reads its weight, and reads and writes its sum."
    )
    yield (
        f"ANN: the same folded network in one pass, activity of {_listed(bits)} bits"
        " (ceil(log2(T + 1))), no input known to be zero. Break-even: share of active inputs at"
        " which both cost the same; 0 is never, 1 is always."
    )
    yield (
        "Ranges are over all constants, on-chip memory and DRAM or HBM, and divisions of"
        f" {_listed(base['divisions'])} multiplications: {_sources(values['constants'])}."
    )


def _sources(constants: Sequence[Values]) -> str:
    return "; ".join(
        f"{one['name']} {one['multiply_pj']:g} and {one['add_pj']:g} pJ ({one['source']})"
        for one in constants
    )


def _training_notes(training: Values) -> Iterator[str]:
    known = training["environment"]
    yield (
        f"Median of {training['steps']} steps, taken in turns, on {known['cpu']}"
        f" ({known['cores']} cores), {training['device']}, torch {known['torch']}; random images."
        " Energy proxy: multiply-accumulates of convolutions and matrices, forward and backward, at"
        " the base constants; nothing else."
    )


def _layer_notes() -> Iterator[str]:
    yield "In the written form, in the order of the forward pass; inside an E-I layer I to E last."


def _listed(numbers: Sequence[float]) -> str:
    texts = [f"{number:g}" for number in numbers]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _records(values: Values) -> Iterator[dict[str, Any]]:
    """Yield a tidy row for each row: every mean, and energies by use."""
    training = {row["name"]: row for row in values.get("training", {}).get("rows", ())}
    for row in values["rows"]:
        energies = {
            f"{use}_{key}": number
            for use, known in row["energy"].items()
            for key, number in known.items()
            if not isinstance(number, list)
        }
        step = {f"train_{k}": v for k, v in training.get(row["name"], {}).items() if k != "name"}
        yield {"name": row["name"], "runs": row["runs"], **row["mean"], **energies, **step}
