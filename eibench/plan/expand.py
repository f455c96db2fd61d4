"""Expansion of a suite file to a plan: axes, overrides per method, exclusions, seeds.

Layers, each overriding the one before: `base`, `zip` and `grid`, `ablate`, `per_method` (by name,
then by label), `tuned`, `--set`. An axis and another layer may not set the same key. Problems of
all runs are collected and raised together, each with the line that set the value.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from eibench.errors import BadSuite, UserError
from eibench.plan import ablate
from eibench.plan.layers import LayeredValues, Leaf, Located, Origin, Override, leaves
from eibench.plan.matches import check_used, find_matches, read_stand_ins
from eibench.plan.plugins import Loaded, announce_plugins, find_plugin, run_plugin
from eibench.plan.references import PublishedResult, read_references
from eibench.plan.spec import PROBE
from eibench.plan.suite import (
    ABLATION,
    MOST_RUNS,
    SEED,
    Flags,
    Plan,
    PlannedRun,
    SuiteFile,
    as_probe,
    read_suite,
)
from eibench.plan.suite_checks import CheckedSuite
from eibench.plan.sweeps import read_sweeps
from eibench.plan.yaml_source import YamlDocument

T = TypeVar("T")
MOST_STUDIES = 1000
MOST_REFUSED = 500
"""Number of invalid runs after which expansion stops."""


def load_plan(path: Path, settings: list[Override], seeds: list[int] | None = None) -> Plan:
    """Return the plan of the suite at `path` under `--set` and `--seeds`.

    A `--set` key replaces the axis and the ablation keys of that name, and those within a value
    that it sets as a whole. The suite's plugins are loaded, which runs their code.

    Raises:
        UserError: the file cannot be read.
        BadSuite: every problem found, each with file, line and key.
    """
    document, suite = read_suite(path)
    if suite.search is not None:
        raise UserError(f"{path}: this suite has a search; `eibench search {path}` runs it")
    plan = Expansion(document, suite, settings).plan(seeds or suite.seeds)
    return dataclasses.replace(plan, flags=_flags(settings, seeds))


def load_probe(
    path: Path,
    settings: list[Override],
    seeds: list[int] | None = None,
    steps: list[int] | None = None,
) -> Plan:
    """Return the plan that measures the suite's networks, whatever its kind; see `as_probe`."""
    document, suite = read_suite(path)
    plan = Expansion(document, as_probe(suite, steps), settings).plan(seeds or suite.seeds)
    return dataclasses.replace(plan, flags=_flags(settings, seeds, steps))


def _flags(
    settings: list[Override], seeds: list[int] | None, steps: list[int] | None = None
) -> Flags:
    numbers = (None if listed is None else tuple(listed) for listed in (seeds, steps))
    return Flags(tuple(setting.text for setting in settings), *numbers)


class Expansion(CheckedSuite):
    """Expansion of one suite to a plan."""

    def __init__(self, document: YamlDocument, suite: SuiteFile, settings: list[Override]) -> None:
        super().__init__(document, suite, settings)
        self.folder = Path(document.source).parent
        self.axes = (*([ABLATION] if self.factors else []), *self.grid, *self.zip)
        self.plugins: tuple[Loaded, ...] = ()
        self.layered: dict[str, LayeredValues] = {}
        """By the id of the run that they make."""

    def arms(self) -> list[tuple[PlannedRun, LayeredValues]]:
        """Return the runs that are kept, without seeds, each with the values that made it."""
        self.plugins = self._load_plugins()
        kept = self._kept_runs(MOST_STUDIES)
        return [(run, self.layered[run.run_id]) for run in kept]

    def plan(self, seeds: list[int]) -> Plan:
        """Return the plan of the runs under `seeds`."""
        self.plugins = self._load_plugins()
        published = self._read_references()
        copies = read_stand_ins(self.suite.stands_for, self._note)
        kept = self._kept_runs(MOST_RUNS, len(seeds))
        if not self.settings:
            check_used(copies, [run.spec for run in kept], self._note)
        sweeps = read_sweeps(self.suite.evaluate, (run.spec.data for run in kept), self._note)
        self._stop_if_wrong()
        suite, runs = self.suite, self._under_seeds(kept, seeds)
        return Plan(
            name=suite.name,
            title=suite.title,
            axes=self.axes,
            runs=runs,
            tuned_by=suite.tuned_by,
            control=suite.control,
            margin=suite.margin,
            labels=suite.labels,
            kind=suite.kind,
            plugins=self.plugins,
            references=tuple(find_matches(published, {r.run_id: r.spec for r in runs}, copies)),
            files=self.files(),
            sweeps=sweeps,
            notes=tuple(self._reached_by_name(kept)),
        ).able_to_evaluate()

    def files(self) -> tuple[Path, ...]:
        """Return the suite's file, and those of its references and plugins."""
        named = [self.folder / self.suite.references] if self.suite.references else []
        return (Path(self.document.source), *named, *(plugin.root for plugin in self.plugins))

    def _kept_runs(self, most: int, seeds: int = 1) -> list[PlannedRun]:
        """Return the runs of axes and ablations that are not excluded, without seeds."""
        self._check_axes()
        self._check_number(most, seeds)
        self._stop_if_wrong()
        made = list(self._made())
        self._check_sweeps()
        self._stop_if_wrong()
        self._check_per_method([run.spec for run in made])
        self._check_tuned(made)
        self._check_report(made)
        kept = self._without_excluded(made)
        ablate.check_distinct(self.suite, kept, self._note)
        self._stop_if_wrong()
        return kept

    def _load_plugins(self) -> tuple[Loaded, ...]:
        """Register the suite's plugins, before any name is looked up.

        All are found and announced to the user before the code of the first one runs.
        """
        found = self._plugins(lambda i: find_plugin(self.suite.plugins[i], self.folder))
        announce_plugins(found)
        return tuple(self._plugins(lambda i: run_plugin(found[i])))

    def _plugins(self, step: Callable[[int], T]) -> list[T]:
        """Return the result of `step` for each of the suite's plugins."""
        done = []
        for i in range(len(self.suite.plugins)):
            try:
                done.append(step(i))
            except UserError as error:
                self._note(str(error), "plugins", i)
        self._stop_if_wrong()
        return done

    def _read_references(self) -> tuple[PublishedResult, ...]:
        """Return the published numbers that the suite names; record problems of their file."""
        path = self.suite.references
        if path is None:
            return ()
        if self.suite.kind == PROBE:
            self._note("belongs to suites that train", "references")
        try:
            return read_references(self.folder / path)
        except BadSuite as bad:
            self.problems += bad.problems
        except UserError as error:
            self._note(str(error), "references")
        return ()

    def _made(self) -> Iterator[PlannedRun]:
        """Yield the valid runs; stop after many invalid ones."""
        refused = 0
        for name, picks in self._picks():
            run = self._run(name, picks)
            if run is not None:
                yield run
            elif (refused := refused + bool(self.refused)) >= MOST_REFUSED:
                return

    def _picks(self) -> Iterator[tuple[str | None, list[Leaf]]]:
        """Yield every ablation under every combination of the axes, as name and axis values."""
        rows = range(self._rows())
        choices = [[Leaf(k, v, ("grid", k, i)) for i, v in enumerate(values)]
                   for k, values in self.grid.items()]  # fmt: skip
        for name, row, *pick in itertools.product(self.ablations, rows, *choices):
            side_by_side = [Leaf(k, values[row], ("zip", k, row)) for k, values in self.zip.items()]
            yield name, [*side_by_side, *pick]

    def _run(self, name: str | None, picks: list[Leaf]) -> PlannedRun | None:
        """Return the run of an ablation and axis values; record problems and return None if
        invalid."""
        suite, factors = self.suite, self.ablations[name]
        changes = [leaf for factor in factors for leaf in self.factors[factor]]
        try:
            return self._follow_tuned(self._layered_values([*picks, *changes]), name)
        except Located as located:
            clause = ablate.left_out_by(suite.exclude, name, picks)
            if clause is not None:
                self.used.add(clause)
                return None
            for message in located.messages:
                self.refused.setdefault(message, ablate.explained(message, name, factors))
            return None

    def _follow_tuned(self, layered: LayeredValues, name: str | None) -> PlannedRun:
        """Return the run of `layered` with the matching clauses of `tuned` for all seeds."""
        spec = layered.spec()
        run = PlannedRun(spec.run_id, spec, name)
        clauses = list(self._clauses(run))
        self.tuned |= set(clauses)
        tuned = self._with_clauses(run, layered, [i for i in clauses if not self._by_seed(i)])
        self.layered[tuned.run_id] = layered
        return tuned

    def _with_clauses(
        self, run: PlannedRun, layered: LayeredValues, clauses: list[int]
    ) -> PlannedRun:
        """Return `run` with the values of some clauses of `tuned`, under its method's name."""
        for i in clauses:
            self._assign_all(layered, leaves(self.suite.tuned[i].set, ("tuned", i, "set")))
        self._apply_settings(layered)
        tuned = layered.spec()
        called = run.method if tuned.method.label != run.method else None
        return PlannedRun(tuned.run_id, tuned, run.ablation, called)

    def _at_seed(self, run: PlannedRun, seed: int, by_seed: list[int]) -> PlannedRun:
        """Return `run` under a seed, with the clauses of `tuned` for this seed alone.

        Raises:
            Located: none of the clauses is for this seed, or a value is invalid.
        """
        chosen = [i for i in by_seed if self._is_under(i, seed)]
        if by_seed and not chosen:
            origin = Origin(self.document, ("tuned", by_seed[0], "where", SEED))
            text = f"no clause is for seed {seed}, so that its runs would lack tuned values"
            raise Located([origin.message(text)])
        if chosen:
            run = self._with_clauses(run, self.layered[run.run_id].copy(), chosen)
        spec = dataclasses.replace(run.spec, seed=seed)
        return dataclasses.replace(run, run_id=spec.run_id, spec=spec)

    def _assign_all(self, layered: LayeredValues, changes: Iterable[Leaf]) -> None:
        """Assign choices first, then what lies within them."""
        for leaf in sorted(changes, key=lambda leaf: leaf.key.count(".")):
            layered.assign(tuple(leaf.key.split(".")), leaf.value, Origin(self.document, leaf.keys))

    def _layered_values(self, changes: list[Leaf]) -> LayeredValues:
        """Return the base under `changes`, choices first, then per_method and --set.

        Raises:
            Located: every problem, each with the location that set the value.
        """
        layered = LayeredValues(Origin(self.document, ("base",)))
        if self.suite.kind == PROBE:
            layered.values[PROBE] = {}
        layered.assign((), self.suite.base, layered.origins[()])
        self._assign_all(layered, changes)
        self._apply_settings(layered)  # before per_method too: one may choose the method
        method = layered.spec().method
        for name in dict.fromkeys([method.name, method.label]):  # the more specific last
            for key, value in self.suite.per_method.get(name, {}).items():
                origin = Origin(self.document, ("per_method", name, key))
                layered.assign(tuple(key.split(".")), value, origin)
        self._apply_settings(layered)
        return layered

    def _apply_settings(self, layered: LayeredValues) -> None:
        for setting in self.settings:
            layered.assign(setting.path, setting.value, Origin(self.document, (), str(setting)))

    def _under_seeds(self, made: list[PlannedRun], seeds: list[int]) -> tuple[PlannedRun, ...]:
        """Return every run under every seed, seeds outermost, so that a complete table exists
        early."""
        by_seed = [list(filter(self._by_seed, self._clauses(run))) for run in made]
        runs: dict[str, PlannedRun] = {}
        for seed, (each, clauses) in itertools.product(seeds, zip(made, by_seed, strict=True)):
            try:
                run = self._at_seed(each, seed, clauses)
            except Located as located:
                self.refused |= {message: message for message in located.messages}
                continue
            if run.run_id in runs:
                raise BadSuite([f"{self.document.source}: {run.run_id} is planned twice"])
            runs[run.run_id] = run
        self._stop_if_wrong()
        return tuple(runs.values())
