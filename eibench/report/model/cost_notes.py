"""Notes below the tables of costs: definitions, and the constants of the model of energy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from eibench.results.labels import joined

Values = Mapping[str, Any]


def activity_notes(values: Values) -> Iterator[str]:
    """Yield what NeuroBench's operations are, and on what they were counted."""
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


def operation_notes() -> Iterator[str]:
    """Yield what the written and the folded form are."""
    yield (
        "As written: every equation an operation, with division, products of inhibitory cells,"
        " gains, norms, residual sums, pooling, biases and neurons. Folded: what weights alone"
        " determine is computed ahead, batch norm and subtractive inhibition included."
    )
    yield "Multiplications alone count as MAC, comparisons as AC, roots as divisions."


def memory_notes() -> Iterator[str]:
    """Yield what is read and written."""
    yield (
        "Bytes for an image; numbers have 4, spikes are a bit. Footprint: parameters and buffers of"
        " the trained network. Weight reads: each weight of the folded network once per time step,"
        " for a batch of one. State: membrane potentials, read and written at each step."
    )


def energy_notes(values: Values, last: bool) -> Iterator[str]:
    """Yield the constants, and below the last table what all of them mean."""
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
    if not last:
        return
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


def training_notes(training: Values) -> Iterator[str]:
    """Yield where steps were timed, and what their proxy of energy is."""
    known = training["environment"]
    commit = (known["commit"] or "installed package")[:8]
    yield (
        f"Median of {training['steps']} steps, taken in turns, on {known['cpu']}"
        f" ({known['cores']} cores), {training['device']}, torch {known['torch']}, commit {commit};"
        " random images."
        " Energy proxy: multiply-accumulates of convolutions and matrices, forward and backward, at"
        " the base constants; nothing else."
    )


def layer_notes() -> Iterator[str]:
    """Yield the order of the synapses."""
    yield "In the written form, in the order of the forward pass; inside an E-I layer I to E last."


def _listed(numbers: Sequence[float]) -> str:
    return joined(f"{number:g}" for number in numbers)
