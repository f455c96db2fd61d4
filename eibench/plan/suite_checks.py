"""Checks of a suite before its runs exist, and of its clauses against the runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from eibench.errors import BadSuite, did_you_mean
from eibench.plan import ablate
from eibench.plan.layers import Origin, Override, leaves
from eibench.plan.options import CHOICES
from eibench.plan.options.base import PRESET
from eibench.plan.selection import chosen, is_exactly, unknown_values
from eibench.plan.spec import PROBE, RunSpec
from eibench.plan.suite import BASE, LAYER, NOTHING, SEED, PlannedRun, SuiteFile
from eibench.plan.sweeps import sweep_problems
from eibench.plan.validate import repeats, show
from eibench.plan.yaml_source import Keys, YamlDocument

PRESETS = tuple(f"{kind}.{PRESET}" for kind in CHOICES)
NO_AXIS = "is a preset, not a field of a run; list whole choices under `{}`"
MOST_COMPARED = 1_000_000
"""Maximal number of comparisons of runs with clauses of a suite."""


class CheckedSuite:
    """Suite under `--set`, with the problems found so far."""

    def __init__(self, document: YamlDocument, suite: SuiteFile, settings: list[Override]) -> None:
        self.document, self.suite, self.settings = document, suite, settings
        replaced = {f"{leaf.key}." for s in settings for leaf in leaves(_nested(s))}
        self.grid = {k: v for k, v in suite.grid.items() if not within(k, replaced)}
        self.zip = {k: v for k, v in suite.zip.items() if not within(k, replaced)}
        self.factors = ablate.read_factors(suite, lambda key: within(key, replaced))
        self.ablations = ablate.ablations(self.factors, suite.ablate_pairs)
        self.problems: list[str] = []
        self.refused: dict[str, str] = {}
        """Messages on runs that cannot be, and what is said of each where it first occurs."""
        self.used: set[int] = set()
        """Clauses of `exclude` that leave out a run which cannot even be planned."""
        self.tuned: set[int] = set()
        """Clauses of `tuned` that some run follows."""

    def _note(self, text: str, *keys: str | int) -> None:
        self.problems.append(Origin(self.document, keys).message(text))

    def _stop_if_wrong(self) -> None:
        if found := [*self.problems, *self.refused.values()]:
            raise BadSuite(found)

    def _check_sweeps(self) -> None:
        """Record problems of the conditions of evaluation, whatever the data set."""
        for problem in sweep_problems(self.suite.evaluate):
            self._note(problem.text, *problem.keys)

    def _check_axes(self) -> None:
        """Record the violations of seeds and axes that the schema cannot express."""
        suite = self.suite
        self._refuse_repeats(suite.seeds, "seeds")
        self._refuse("seed", "seeds are listed under `seeds`", "seeds are chosen by --seeds")
        if suite.kind == "train":
            text = "belongs to suites of `kind: probe`"
            self._refuse(PROBE, text, f"{text}; `eibench probe` measures this one")
        if suite.stands_for and suite.references is None:
            self._note("has no effect without `references`", "stands_for")
        if suite.evaluate and (suite.kind != "train" or suite.search is not None):
            self._note("belongs to suites that train, without a search", "evaluate")
        for key, values in suite.grid.items():
            self._refuse_repeats(values, "grid", key)
        for part in ("grid", "zip"):
            for key in getattr(suite, part):
                if key in PRESETS:
                    self._note(NO_AXIS.format(key.partition(".")[0]), part, key)
        if len({len(values) for values in self.zip.values()}) > 1:
            lengths = ", ".join(f"{k} has {len(v)}" for k, v in self.zip.items())
            self._note(f"lists must be of one length: {lengths}", "zip")
        for key in suite.grid.keys() & suite.zip.keys():
            self._note("is an axis of grid as well", "zip", key)
        for method, overrides in suite.per_method.items():
            for leaf in leaves(overrides, ("per_method", method)):
                if any(within(axis, {f"{leaf.key}."}) for axis in self.grid | self.zip):
                    self._note("is an axis of grid or zip as well", *leaf.keys)
        ablate.check(suite, self._note)

    def _rows(self) -> int:
        """Return the common number of values of the `zip` axes."""
        return len(next(iter(self.zip.values()), [None]))

    def _check_number(self, most: int, seeds: int) -> None:
        """Record too many runs or comparisons; they are counted before any run is built."""
        made = len(self.ablations) * self._rows() * math.prod(map(len, self.grid.values()))
        clauses = len(self.suite.exclude) + len(self.suite.tuned)
        if made * seeds > most:
            text = f"the axes and seeds combine to more than {most:,} runs, exclusions included"
            self.problems.append(f"{self.document.source}: {text}")
        elif made * clauses > MOST_COMPARED:
            text = f"{made:,} runs and {clauses:,} clauses of `exclude` and `tuned` are too many"
            self.problems.append(
                f"{self.document.source}: {text}; at most {MOST_COMPARED:,} in product"
            )

    def _refuse(self, key: str, text: str, option_text: str) -> None:
        """Record `text` where the suite sets `key`, and `option_text` where `--set` does."""
        suite = self.suite
        places: list[tuple[Mapping[str, Any], Keys]] = [
            (suite.base, ("base",)),
            (suite.grid, ("grid",)),
            (suite.zip, ("zip",)),
            *((values, ("ablate", name)) for name, values in suite.ablate.items()),
            *((values, ("per_method", name)) for name, values in suite.per_method.items()),
            *((clause, ("exclude", i)) for i, clause in enumerate(suite.exclude)),
            *((clause.set, ("tuned", i, "set")) for i, clause in enumerate(suite.tuned)),
        ]
        for values, keys in places:
            for found in values:
                if within(found, {f"{key}."}):
                    self._note(text, *keys, found)
        for setting in self.settings:
            if within(setting.key, {f"{key}."}):
                self.problems.append(f"{setting}: {option_text}")

    def _refuse_repeats(self, values: Sequence[object], *keys: str | int) -> None:
        for i, value in repeats(values):
            self._note(f"{show(value)} is listed twice", *keys, i)

    def _check_per_method(self, specs: list[RunSpec]) -> None:
        known = sorted({n for spec in specs for n in (spec.method.name, spec.method.label)})
        for key in self.suite.per_method:
            if key not in known and not self.settings:
                hint = f"allowed: {', '.join(known)}{did_you_mean(key, known)}"
                self._note(f"no run uses this method; {hint}", "per_method", key)

    def _reached_by_name(self, runs: list[PlannedRun]) -> Iterator[str]:
        """Yield a note on values of `per_method` for a label that reach others by their name."""
        names = {run.spec.method.label: run.spec.method.name for run in runs}
        for key, values in self.suite.per_method.items():
            others = [label for label, name in names.items() if name == key != label]
            reached = [label for label in others if label not in self.suite.per_method]
            if key in names and reached:
                yield f"per_method {key} sets {', '.join(values)} of {', '.join(reached)} too"

    def _clauses(self, run: PlannedRun) -> Iterator[int]:
        """Yield the clauses of `tuned` that match `run`, whatever its seed is."""
        for i, clause in enumerate(self.suite.tuned):
            wanted = {key: value for key, value in clause.where.items() if key != SEED}
            if all(is_exactly(run, key, value) for key, value in wanted.items()):
                yield i

    def _by_seed(self, clause: int) -> bool:
        """Return whether a clause of `tuned` is for some seeds alone."""
        return SEED in self.suite.tuned[clause].where

    def _is_under(self, clause: int, seed: int) -> bool:
        """Return whether a clause of `tuned` is for `seed`."""
        wanted = self.suite.tuned[clause].where.get(SEED, seed)
        return seed in (wanted if isinstance(wanted, list) else [wanted])

    def _check_tuned(self, made: list[PlannedRun]) -> None:
        """Record clauses of `tuned` that match no run or set an axis."""
        known = sorted({key for run in made for key in run.fields()})
        for i, clause in enumerate(self.suite.tuned):
            for key in clause.where.keys() - set(known):
                self._note(f"unknown key{did_you_mean(key, known)}", "tuned", i, "where", key)
            for leaf in leaves(clause.set, ("tuned", i, "set")):
                if any(within(axis, {f"{leaf.key}."}) for axis in self.grid | self.zip):
                    self._note("is an axis of grid or zip as well", *leaf.keys)
            used = any(self._is_under(i, seed) for seed in self.suite.seeds)
            if not (used and i in self.tuned) and not self.settings:
                self._note("is for none of the suite's runs", "tuned", i, "where")

    def _without_excluded(self, runs: list[PlannedRun]) -> list[PlannedRun]:
        kept = list(runs)
        known = sorted({key for run in runs for key in run.fields()})
        for i, clause in enumerate(self.suite.exclude):
            for key in clause.keys() - set(known):
                self._note(f"unknown key{did_you_mean(key, known)}", "exclude", i, key)
            wanted = {key: chosen(runs, key, value) for key, value in clause.items()}
            hit = [run for run in runs if all(is_exactly(run, k, v) for k, v in wanted.items())]
            if not (i in self.used or self.settings):
                unknown = [found for k, v in clause.items() for found in unknown_values(runs, k, v)]
                value, near = unknown[0] if unknown else ("", "")
                if not (hit and clause):
                    self._note(f"excludes nothing{near}" if clause else "is empty", "exclude", i)
                elif unknown:
                    self._note(f"no run has {value}{near}", "exclude", i)
            left_out = set(map(id, hit))
            kept = [run for run in kept if id(run) not in left_out]
        if not kept:
            self._note("every run is excluded", "exclude")
        return kept

    def _check_report(self, made: list[PlannedRun]) -> None:
        """Note fields and methods of `report` that no run has, and tables of one name."""
        known = sorted({key for run in made for key in run.fields()})
        known += [LAYER] * (self.suite.kind == PROBE)
        report = self.suite.report
        named = [name for run in made for name in (run.method, run.ablation) if name]
        if "control" in self.suite.model_fields_set and not self.settings:
            methods = [run.method for run in made if run.ablation in (None, BASE)]
            self._check_named(self.suite.control, methods, "method", "control")
        if not self.settings:
            choices = [getattr(run.spec, key).name for run in made for key in CHOICES]
            choices += [v for run in made for v in run.fields().values() if isinstance(v, str)]
            for label in self.suite.labels:
                kind = "method, ablation, network, data set or value"
                self._check_named(label, [*named, *choices], kind, "labels", label)
        for i, table in enumerate(report.tables):
            keys = ("report", "tables", i)
            self._check_fields(table.rows, known, *keys, "rows")
            self._check_fields(table.columns, known, *keys, "columns")
            if table.against != NOTHING and not self.settings:
                self._check_named(table.against, named, "method or ablation", *keys, "against")
        for i, figure in enumerate(report.figures):
            keys = ("report", "figures", i)
            self._check_fields(None if figure.x is None else [figure.x], known, *keys, "x")
            self._check_fields(figure.by, known, *keys, "by")
        for i, name in repeats([table.name for table in report.tables]):
            self._note(f"{show(name)} is listed twice", "report", "tables", i, "name")

    def _check_named(
        self, name: str | None, named: Sequence[str], kind: str, *keys: str | int
    ) -> None:
        if name not in (None, *named):
            known = dict.fromkeys(named)
            hint = f"allowed: {', '.join(known)}{did_you_mean(str(name), known)}"
            self._note(f"no {kind} of this name; {hint}", *keys)

    def _check_fields(
        self, fields: Sequence[str] | None, known: Sequence[str], *keys: str | int
    ) -> None:
        for field in fields or ():
            if field not in known:
                self._note(f"no run has a field {show(field)}{did_you_mean(field, known)}", *keys)


def _nested(setting: Override) -> dict[str, Any]:
    """Return the setting as a nested mapping: `{train: {lr: 0.1}}`."""
    value = setting.value
    for key in reversed(setting.path):
        value = {key: value}
    return dict(value)


def within(axis: str, keys: set[str]) -> bool:
    """Return whether `axis` is one of `keys` (dotted, with a final dot) or lies inside one."""
    return any(f"{axis}.".startswith(key) for key in keys)
