"""`RunSpec`: one run as a value, and its identity.

A run trains a network, or probes one: only a probe has a `probe` section.

A run is identified by everything that determines its numbers: method, model, data, neuron, training
and seed. Device, results folder and verbosity are not part of it. The identity is the SHA-256 of
the values that differ from the defaults, as canonical JSON, so that a new option with a default
keeps old results valid. A default that *changes* would silently give old results a new meaning. So
a test pins all defaults, and `SPEC_VERSION` is part of the hash in case one must change. A plugin
adds the hash of its source, so that an edited plugin runs again.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from eibench.errors import MOST_LINES
from eibench.limits import NUMBERS
from eibench.plan.options import (
    CHOICES,
    DataOptions,
    InitOptions,
    InputOptions,
    MethodOptions,
    ModelOptions,
    NeuronOptions,
    Options,
    Plugin,
    ProbeOptions,
    TrainOptions,
)
from eibench.plan.options.run import KEEP
from eibench.plan.perturb import PerturbOptions
from eibench.plan.validate import Invalid, Problem, choose, show, unknown_key, validate

SPEC_VERSION = 1
RGB = 3
"""Channels of a colour image."""
SECTIONS: dict[str, type[Options]] = {
    "neuron": NeuronOptions,
    "train": TrainOptions,
    "input": InputOptions,
    "perturb": PerturbOptions,
}
LATER_SECTIONS = ("input", "perturb")
"""Sections that older results lack; with default values they are not part of the identity."""
PROBE = "probe"
"""Section that makes a run a probe."""
INIT = "init_from"
"""Section of runs that start from the weights of another one; null is none."""


@dataclass(frozen=True)
class RunSpec:
    """All values that determine the numbers of one run."""

    method: MethodOptions
    model: ModelOptions
    data: DataOptions
    neuron: NeuronOptions
    train: TrainOptions
    timesteps: int
    seed: int
    input: InputOptions
    perturb: PerturbOptions
    """Perturbations in training."""
    probe: ProbeOptions | None = None
    """Time of measurement; None for a run that trains."""
    init_from: InitOptions | None = None
    """Weights to start from; None for new ones."""

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> RunSpec:
        """Build a spec from plain values, nested as in a suite's `base`.

        Raises:
            Invalid: with every problem of every section.
        """
        known = [*CHOICES, *SECTIONS, *NUMBERS, INIT, *([PROBE] if PROBE in values else [])]
        unknown = itertools.islice((k for k in values if k not in known), MOST_LINES)
        problems = [Problem((k,), _unknown(k, known)) for k in unknown]
        parts: dict[str, Any] = {}
        for key in known:
            try:
                parts[key] = _part(key, values)
            except Invalid as invalid:
                problems += [Problem((key, *p.keys), p.text) for p in invalid.problems]
        if problems:
            raise Invalid(problems)
        spec = cls(**parts)
        if misfits := [Problem(("input", key), text) for key, text in spec.misfits()]:
            raise Invalid(misfits)
        return spec

    def misfits(self) -> Iterator[tuple[str, str]]:
        """Yield each option of `input` that the data or the method refuse, with the reason."""
        chosen, data = self.input, self.data
        for key in ("brightness", "contrast", "saturation", "hue", "erase"):
            if getattr(chosen, key) and data.events:
                yield key, f"{key} is for images in [0, 1]; {data.name} has counts of events"
        if (chosen.saturation or chosen.hue) and not data.events and (shape := data.shape()):
            key, channels = "saturation" if chosen.saturation else "hue", shape.image[0]
            if channels != RGB:
                yield key, f"{key} needs RGB images; {data.name} has {channels} channel(s)"
        if chosen.drop_frames and not data.events:
            yield "drop_frames", f"drop_frames is for recordings; {data.name} has images"
        if chosen.normalize and (reason := self.method.refuses_negative_input):
            text = f"normalize gives negative values, which {self.method.name} refuses: {reason}"
            yield "normalize", text

    def to_dict(self) -> dict[str, Any]:
        """Return all values, defaults included, nested as `parse` takes them."""
        choices: dict[str, Any] = {
            key: {"name": getattr(self, key).name, **getattr(self, key).model_dump()}
            for key in CHOICES
        }
        parts = {**self._sections(), **self._start()}
        sections = {key: part.model_dump() for key, part in parts.items()}
        return {**choices, **sections, **{key: getattr(self, key) for key in NUMBERS}}

    def determining(self) -> dict[str, Any]:
        """Return the values that determine the run's numbers: all but which weights are kept."""
        values = self.to_dict()
        del values["train"][KEEP]
        return values

    def fields(self) -> dict[str, Any]:
        """Return the values as flat columns: `method` (its label), `model.depth`, `train.lr` ..."""
        flat: dict[str, Any] = {}
        for key, value in self.determining().items():
            if key in CHOICES:
                flat[key] = self.method.label if key == "method" else value.pop("name")
            if key == INIT:
                flat[key] = value.pop("run")
            if isinstance(value, dict):
                flat |= _flat(key, value)
            else:
                flat[key] = value
        return flat

    def identity(self) -> dict[str, Any]:
        """Return the values of the run's identity: names, seed and non-default values."""
        chosen: dict[str, Any] = {
            key: {"name": getattr(self, key).name, **getattr(self, key).changed()}
            for key in CHOICES
        }
        sections = {key: part.changed() for key, part in self._sections().items()}
        for key in LATER_SECTIONS:
            if not sections[key]:
                del sections[key]
        numbers = {key: getattr(self, key) for key in NUMBERS}
        sources = {key: plugin.identity for key, plugin in self.plugins().items()}
        plugins = {"plugins": sources} if sources else {}
        start = {} if self.init_from is None else {INIT: self.init_from.identity()}
        return {"version": SPEC_VERSION, **chosen, **sections, **numbers, **start, **plugins}

    def plugins(self) -> dict[str, Plugin]:
        """Return the origin of each method, model or data set that is not eibench's own."""
        sources = {key: getattr(self, key).made_by() for key in CHOICES}
        return {key: plugin for key, plugin in sources.items() if plugin is not None}

    def sources(self) -> dict[str, dict[str, str]]:
        """Return the origins as text under the key `plugins`, for a run's files; empty without
        plugins."""
        plugins = {key: str(plugin) for key, plugin in self.plugins().items()}
        return {"plugins": plugins} if plugins else {}

    def _sections(self) -> dict[str, Options]:
        """Return the sections of the run."""
        probe = {} if self.probe is None else {PROBE: self.probe}
        return {**{key: getattr(self, key) for key in SECTIONS}, **probe}

    def _start(self) -> dict[str, Options]:
        """Return the section of the weights to start from, if there are any."""
        return {} if self.init_from is None else {INIT: self.init_from}

    @property
    def run_id(self) -> str:
        """Return a readable name with eight digits of the identity's hash; the run's folder
        name."""
        canonical = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(canonical.encode()).hexdigest()[:8]
        probe = [] if self.probe is None else [f"step{self.probe.steps}"]
        labels = [self.method.label, self.model.label, self.data.name, *probe, f"s{self.seed}"]
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", "_".join(labels))[:80]
        return f"{name}_{digest}"

    def simplest(self) -> RunSpec:
        """Return the spec with the simplest method that computes the same."""
        return replace(self, method=self.method.same_as(self.model, self.neuron, self.timesteps))


def _flat(key: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values under `key` as columns; a nested choice is under its key, by name."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{name}": value["name"], **_flat(f"{key}.{name}", value)}
        elif name != "name":
            flat[f"{key}.{name}"] = value
    return flat


def _unknown(key: str, known: list[str]) -> str:
    """Return the message for an unknown key, which may be an option of a section."""
    for section in (*SECTIONS, *CHOICES):
        options = [SECTIONS[section]] if section in SECTIONS else CHOICES[section].values()
        if any(key in one.model_fields for one in options):
            return f"unknown key; did you mean {f'{section}.{key}'!r}?"
    return unknown_key(key, known)


def _part(key: str, values: Mapping[str, Any]) -> Any:
    """Return one field of a `RunSpec` from the values of a whole run."""
    if key in CHOICES:
        if key not in values:
            raise Invalid([Problem((), f"is missing; allowed: {', '.join(CHOICES[key])}")])
        kind = "data set" if key == "data" else key
        return choose(kind, CHOICES[key], values[key])
    if key == PROBE:
        return validate(ProbeOptions, values[key])
    if key == INIT:
        given = values.get(key)
        given = {"run": given} if isinstance(given, str) else given
        return None if given is None else validate(InitOptions, given)
    if key in SECTIONS:
        return validate(SECTIONS[key], values.get(key, {}))
    default, least, largest = NUMBERS[key]
    value = values.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Invalid([Problem((), f"must be a whole number, not {show(value)}")])
    if value < least:
        raise Invalid([Problem((), f"must be at least {least}, not {show(value)}")])
    if value > largest:
        raise Invalid([Problem((), f"must be at most {largest}, not {show(value)}")])
    return value
