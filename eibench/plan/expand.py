"""From a suite file to its plan: axes, overrides per method, exclusions, seeds.

Layers, each over the one before: `base`, `zip` and `grid`, `per_method` (by name, then by label),
`--set`. An axis and `per_method` may not set the same key. Problems of all runs are collected and
raised together, each with the line that wrote the value.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eibench.errors import BadSuite, UserError, did_you_mean
from eibench.plan.draft import Draft, Located, Origin, chooses
from eibench.plan.overrides import Override, matches
from eibench.plan.plugins import load_plugin
from eibench.plan.spec import PROBE, RunSpec
from eibench.plan.suite import Plan, PlannedRun, SuiteFile, as_probe, read_suite
from eibench.plan.validate import show
from eibench.plan.yaml_source import Document, Keys


def load_plan(path: Path, settings: list[Override], seeds: list[int] | None = None) -> Plan:
    """The plan of the suite at `path` under `--set` and `--seeds`.

    A `--set` key replaces the axis of that name, and axes within what it sets as a whole. The
    suite's plugins are loaded, which runs their code.

    Raises:
        UserError: the file cannot be read.
        BadSuite: every problem found, each with file, line and key.
    """
    document, suite = read_suite(path)
    return _Expansion(document, suite, settings).plan(seeds or suite.seeds)


def load_probe(
    path: Path,
    settings: list[Override],
    seeds: list[int] | None = None,
    steps: list[int] | None = None,
) -> Plan:
    """As `load_plan`, but the suite's networks are measured whatever its kind; see `as_probe`."""
    document, suite = read_suite(path)
    return _Expansion(document, as_probe(suite, steps), settings).plan(seeds or suite.seeds)


class _Expansion:
    """One suite on its way to a plan."""

    def __init__(self, document: Document, suite: SuiteFile, settings: list[Override]) -> None:
        self.document, self.suite, self.settings = document, suite, settings
        self.folder = Path(document.source).parent
        replaced = {f"{'.'.join(map(str, k))}." for s in settings for k in _leaves(_nested(s))}
        self.grid = {k: v for k, v in suite.grid.items() if not _within(k, replaced)}
        self.zip = {k: v for k, v in suite.zip.items() if not _within(k, replaced)}
        self.problems: list[str] = []

    def plan(self, seeds: list[int]) -> Plan:
        plugins = self._load_plugins()
        self._check_axes()
        self._stop_if_wrong()
        specs = [spec for draft in self._drafts() if (spec := self._spec(draft))]
        self._stop_if_wrong()
        self._check_per_method(specs)
        kept = self._without_excluded(specs)
        self._stop_if_wrong()
        suite = self.suite
        runs = self._under_seeds(kept, seeds)
        return Plan(
            name=suite.name,
            title=suite.title,
            axes=(*self.grid, *self.zip),
            runs=runs,
            tuned_by=suite.tuned_by,
            kind=suite.kind,
            plugins=plugins,
        )

    def _note(self, text: str, *keys: str | int) -> None:
        self.problems.append(Origin(self.document, keys).message(text))

    def _stop_if_wrong(self) -> None:
        if self.problems:
            raise BadSuite(self.problems)

    def _load_plugins(self) -> tuple[str, ...]:
        """Register what the suite's plugins add: before anything is looked up by name."""
        loaded = []
        for i, entry in enumerate(self.suite.plugins):
            try:
                loaded.append(str(load_plugin(entry, self.folder)))
            except UserError as error:
                self._note(str(error), "plugins", i)
        self._stop_if_wrong()
        return tuple(loaded)

    def _check_axes(self) -> None:
        """What the schema cannot say of seeds and axes."""
        suite = self.suite
        self._refuse_repeats(suite.seeds, "seeds")
        self._refuse("seed", "seeds are listed under `seeds`", "seeds are chosen by --seeds")
        if suite.kind == "train":
            text = "belongs to suites of `kind: probe`"
            self._refuse(PROBE, text, f"{text}; `eibench probe` measures this one")
        for key, values in suite.grid.items():
            self._refuse_repeats(values, "grid", key)
        if len({len(values) for values in self.zip.values()}) > 1:
            lengths = ", ".join(f"{k} has {len(v)}" for k, v in self.zip.items())
            self._note(f"lists must be of one length: {lengths}", "zip")
        for key in suite.grid.keys() & suite.zip.keys():
            self._note("is an axis of grid as well", "zip", key)
        for method, overrides in suite.per_method.items():
            for keys in _leaves(overrides):
                dotted = ".".join(map(str, keys))
                if any(f"{axis}.".startswith(f"{dotted}.") for axis in self.grid | self.zip):
                    self._note("is an axis of grid or zip as well", "per_method", method, *keys)

    def _refuse(self, key: str, text: str, option_text: str) -> None:
        """Note `text` wherever the suite sets `key`, and `option_text` where `--set` does."""
        suite = self.suite
        places: list[tuple[Mapping[str, Any], Keys]] = [
            (suite.base, ("base",)),
            (suite.grid, ("grid",)),
            (suite.zip, ("zip",)),
            *((values, ("per_method", name)) for name, values in suite.per_method.items()),
            *((clause, ("exclude", i)) for i, clause in enumerate(suite.exclude)),
        ]
        for values, keys in places:
            for found in values:
                if _within(found, {f"{key}."}):
                    self._note(text, *keys, found)
        for setting in self.settings:
            if _within(setting.key, {f"{key}."}):
                self.problems.append(f"{setting}: {option_text}")

    def _refuse_repeats(self, values: Sequence[object], *keys: str | int) -> None:
        for i, value in enumerate(values):
            if value in values[:i]:
                self._note(f"{show(value)} stands twice", *keys, i)

    def _drafts(self) -> Iterator[Draft]:
        """Base under every combination of the axes."""
        base = Draft(Origin(self.document, ("base",)))
        if self.suite.kind == "probe":
            base.values[PROBE] = {}
        base.assign((), self.suite.base, base.origins[()])
        rows = range(len(next(iter(self.zip.values()), [None])))
        picks = itertools.product(*(range(len(values)) for values in self.grid.values()))
        for row, pick in itertools.product(rows, list(picks)):
            places: list[Keys] = [("zip", key, row) for key in self.zip]
            places += [("grid", key, i) for key, i in zip(self.grid, pick, strict=True)]
            draft = base.copy()
            try:
                for part, key, i in sorted(places, key=lambda place: str(place[1]).count(".")):
                    axis = getattr(self, str(part))[key]
                    origin = Origin(self.document, (part, key, i))
                    draft.assign(tuple(str(key).split(".")), axis[int(i)], origin)
            except Located as located:
                self.problems += located.messages
            else:
                yield draft

    def _spec(self, draft: Draft) -> RunSpec | None:
        """The draft's spec under per_method and --set; None, and notes, when it is wrong."""
        try:
            self._apply_settings(draft)  # before per_method too: one may choose the method
            for name in self._method_names(draft):
                for key, value in self.suite.per_method.get(name, {}).items():
                    origin = Origin(self.document, ("per_method", name, key))
                    draft.assign(tuple(key.split(".")), value, origin)
            self._apply_settings(draft)
            return draft.spec()
        except Located as located:
            self.problems += located.messages
            return None

    def _apply_settings(self, draft: Draft) -> None:
        for setting in self.settings:
            draft.assign(setting.path, setting.value, Origin(self.document, (), str(setting)))

    def _method_names(self, draft: Draft) -> list[str]:
        """The method's name and its label, the more specific last."""
        method = draft.spec().method
        return list(dict.fromkeys([method.name, method.label]))

    def _check_per_method(self, specs: list[RunSpec]) -> None:
        known = sorted({n for spec in specs for n in (spec.method.name, spec.method.label)})
        for key in self.suite.per_method:
            if key not in known and not self.settings:
                hint = f"allowed: {', '.join(known)}{did_you_mean(key, known)}"
                self._note(f"no run uses this method; {hint}", "per_method", key)

    def _without_excluded(self, specs: list[RunSpec]) -> list[RunSpec]:
        kept = list(specs)
        known = sorted({key for spec in specs for key in spec.fields()})
        for i, clause in enumerate(self.suite.exclude):
            for key in clause.keys() - set(known):
                self._note(f"unknown key{did_you_mean(key, known)}", "exclude", i, key)
            hit = [s for s in specs if all(matches(s, k, v) for k, v in clause.items())]
            if not (hit and clause) and not self.settings:
                self._note("excludes nothing" if clause else "is empty", "exclude", i)
            kept = [spec for spec in kept if spec not in hit]
        if not kept:
            self._note("every run is excluded", "exclude")
        return kept

    def _under_seeds(self, specs: list[RunSpec], seeds: list[int]) -> tuple[PlannedRun, ...]:
        """Every spec under every seed, seeds outermost: the whole table stands early."""
        runs: dict[str, PlannedRun] = {}
        for seed, spec in itertools.product(seeds, specs):
            seeded = dataclasses.replace(spec, seed=seed)
            if seeded.run_id in runs:
                raise BadSuite([f"{self.document.source}: {seeded.run_id} is planned twice"])
            runs[seeded.run_id] = PlannedRun(seeded.run_id, seeded)
        return tuple(runs.values())


def _nested(setting: Override) -> dict[str, Any]:
    """The setting as the mapping that it stands for: `{train: {lr: 0.1}}`."""
    value = setting.value
    for key in reversed(setting.path):
        value = {key: value}
    return dict(value)


def _within(axis: str, keys: set[str]) -> bool:
    """Whether `axis` is one of `keys` (dotted, with a dot at the end) or lies inside one."""
    return any(f"{axis}.".startswith(key) for key in keys)


def _leaves(values: Mapping[str, Any], above: Keys = ()) -> Iterator[Keys]:
    """The keys of every value that is set as a whole."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value and not chooses((*above, key), value):
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key)
