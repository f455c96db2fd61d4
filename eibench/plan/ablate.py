"""Ablations: the base run with one named factor changed, or with two of them.

A factor is one entry of `ablate`: keys of a run with values other than the base's. The axis
`ablation` takes `base`, then the factors in the file's order, then their pairs.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from eibench.plan.layers import Leaf, leaves
from eibench.plan.suite import ABLATION, BASE, JOIN, MOST_RUNS, PlannedRun, SuiteFile
from eibench.plan.validate import Note

ONE_METHOD = "give each method a suite of its own, with the method in `base`"
"""Labels name a method's options, so no column would contain both an ablation and its base."""
Factors = Mapping[str, list[Leaf]]


def read_factors(suite: SuiteFile, replaced: Callable[[str], bool]) -> dict[str, list[Leaf]]:
    """Return what each factor sets, without `replaced` keys and without factors left empty."""
    found = {
        name: [leaf for leaf in leaves(values, ("ablate", name)) if not replaced(leaf.key)]
        for name, values in suite.ablate.items()
    }
    return {name: kept for name, kept in found.items() if kept}


def ablations(factors: Factors, pairs: bool) -> dict[str | None, tuple[str, ...]]:
    """Return the factors of each ablation by its name, in order; the name is None without
    ablations.

    Of too many pairs, only the first `MOST_RUNS` + 1 are returned.
    """
    if not factors:
        return {None: ()}
    out: dict[str | None, tuple[str, ...]] = {BASE: (), **{name: (name,) for name in factors}}
    if pairs:
        few = itertools.islice(_pairs(factors), MOST_RUNS + 1)
        out |= {JOIN.join(pair): pair for pair in few}
    return out


def _pairs(factors: Factors) -> Iterator[tuple[str, str]]:
    """Return every two factors that have no key in common."""
    keys = {name: set(_keys(kept)) for name, kept in factors.items()}
    return ((a, b) for a, b in itertools.combinations(factors, 2) if keys[a].isdisjoint(keys[b]))


def _keys(found: Iterable[Leaf]) -> Iterator[str]:
    """Yield the dotted keys that leaves set, including the options of a choice."""
    for leaf in found:
        yield leaf.key
        if isinstance(leaf.value, Mapping):
            yield from (f"{leaf.key}.{option}" for option in leaf.value if option != "name")


def check(suite: SuiteFile, note: Note) -> None:
    """Record the violations of `ablate` and `ablate_pairs` that the schema cannot express."""
    others = {
        "grid": set(_axis_keys(suite.grid)),
        "zip": set(_axis_keys(suite.zip)),
        "per_method": {k for v in suite.per_method.values() for k in _keys(leaves(v))},
    }
    for name, values in suite.ablate.items():
        _check_name(name, suite.ablate_pairs, note)
        if not values:
            note("is empty: an ablation changes at least one key", "ablate", name)
        for leaf in leaves(values, ("ablate", name)):
            for part, keys in others.items():
                if keys & set(_keys([leaf])):
                    note(f"is set by {part} as well", *leaf.keys)
                elif leaf.key.startswith("method.") and "method" in keys:
                    note(f"changes a method that {part} chooses; {ONE_METHOD}", *leaf.keys)
    if suite.ablate_pairs:
        _check_pairs(suite, note)


def _axis_keys(axes: Mapping[str, list[Any]]) -> Iterator[str]:
    for axis, values in axes.items():
        for value in values:
            yield from _keys(leaves({axis: value}))


def _check_name(name: str, pairs: bool, note: Note) -> None:
    if name == BASE:
        note("this name is that of the base run itself", "ablate", name)
    if not name.isprintable() or not name or name != name.strip():
        note("a name is one line of text, without spaces around it", "ablate", name)
    if pairs and JOIN in name:
        note(f"with ablate_pairs no name can hold {JOIN!r}, which joins pairs", "ablate", name)


def _check_pairs(suite: SuiteFile, note: Note) -> None:
    if len(suite.ablate) < 2:
        note("needs at least two ablations under `ablate`", "ablate_pairs")
    elif not any(_pairs(read_factors(suite, lambda _: False))):
        note("no two ablations set different keys", "ablate_pairs")


def check_distinct(suite: SuiteFile, runs: Iterable[PlannedRun], note: Note) -> None:
    """Record ablations that give the base run, or the same run as another, anywhere in the plan."""
    first: dict[str, PlannedRun] = {}
    for run in runs:
        name, other = run.ablation, first.setdefault(run.run_id, run).ablation
        if name is None or name == other:
            continue
        same = "changes nothing: it gives the run of the base"
        text = same if other == BASE else f"gives the same run as {other!r}"
        if name in suite.ablate:
            note(text, "ablate", name)
        else:
            note(f"{name!r} {text}; {_advice(name)}", "ablate_pairs")


def left_out_by(
    clauses: Iterable[Mapping[str, Any]], name: str | None, picks: Iterable[Leaf]
) -> int | None:
    """Return the index of the `exclude` clause that names an ablation and excludes an invalid run.

    An invalid run has no fields to compare, only the ablation's name and the values of its axes.
    """
    values = {**{leaf.key: leaf.value for leaf in picks}, ABLATION: name}
    for i, clause in enumerate(clauses):
        wanted = {key: v if isinstance(v, list) else [v] for key, v in clause.items()}
        if ABLATION in wanted and all(values.get(key) in v for key, v in wanted.items()):
            return i
    return None


def explained(message: str, name: str | None, factors: tuple[str, ...]) -> str:
    """Return `message` on an invalid run, with the ablation that causes it if that is not
    evident."""
    if len(factors) == 2:
        first, second = factors
        return f"{message}; refused in the pair of {first!r} and {second!r}: {_advice(str(name))}"
    if not factors or f": ablate.{name}." in message:
        return message
    return f"{message}; refused in ablation {name!r}"


def _advice(name: str) -> str:
    clause = f"{{{ABLATION}: {json.dumps(name, ensure_ascii=False)}}}"
    return f"leave it out with `exclude: [{clause}]`"
