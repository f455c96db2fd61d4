"""Costs of several networks as plain values: means over seeds, and the model of energy."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eibench.cost.constants import ARITHMETIC, BASE, DIVISIONS, MANZOURI
from eibench.cost.energy import USES, Energy, Work, ann_bits, base_settings, energy, settings

OWN = ("images", "asked_images", "timesteps", "seconds")
"""Numbers of a count that are no costs of the network."""


@dataclass(frozen=True)
class CountedRun:
    """A counted network, and the name of the row that it belongs to."""

    name: str
    result: Mapping[str, Any]
    control: str | None = None
    """Name of the row that its row is compared with."""


@dataclass(frozen=True)
class _Modelled:
    """Energies of a row's runs by setting."""

    uses: Sequence[str]
    energies: Sequence[Sequence[Energy]]
    """For each setting, those of the runs."""
    base: Mapping[str, float]
    """Mean energy of the spiking network under the base constants, by use."""

    @classmethod
    def of(cls, works: Sequence[Work]) -> _Modelled:
        """Return the energies under all settings of the first run's size."""
        listed = list(settings(works[0]))
        found = [[energy(work, setting) for work in works] for setting in listed]
        base: dict[str, float] = {
            use: statistics.fmean(energy(work, base_settings(work)[use]).snn for work in works)
            for use in USES
        }
        return cls([setting.use for setting in listed], found, base)

    def means(self, use: str, part: str) -> list[float]:
        """Return the mean over runs of a part of the energy, in each setting of a use."""
        return [
            statistics.fmean(getattr(one, part) for one in row)
            for used, row in zip(self.uses, self.energies, strict=True)
            if used == use
        ]

    def break_even(self, use: str) -> list[float]:
        """Return the mean break-even share in each setting of a use; none without spikes."""
        found = []
        for used, row in zip(self.uses, self.energies, strict=True):
            shares = [one.break_even for one in row if one.break_even is not None]
            if used == use and shares:
                found.append(statistics.fmean(shares))
        return found


def summarize(runs: Iterable[CountedRun], control: str | None = None) -> dict[str, Any]:
    """Return the values of tables: a row for each name, beside its control.

    `control` is what tables call it.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    controls: dict[str, str | None] = {}
    for run in runs:
        groups.setdefault(run.name, []).append(run.result)
        controls[run.name] = run.control
    works = {n: [Work.from_values(r["work"]) for r in found] for n, found in groups.items()}
    modelled = {name: _Modelled.of(found) for name, found in works.items()}
    bases = {name: modelled.get(controls[name] or "") for name in groups}
    first = next((found[0] for found in groups.values()), {})
    return {
        "images": first.get("images"),
        "control": control if any(bases.values()) else None,
        "constants": constants(),
        "rows": [
            {
                "name": name,
                "runs": len(found),
                "timesteps": found[0]["timesteps"],
                "ann_bits": ann_bits(found[0]["timesteps"]),
                "memory": BASE.memory_for(works[name][0].weights * BASE.weight_bytes).name,
                **_numbers(found),
                "energy": _energy(works[name], modelled[name], bases[name]),
            }
            for name, found in groups.items()
        ],
    }


def is_whole(result: Mapping[str, Any]) -> bool:
    """Return whether a count that was read has all that a summary needs."""
    try:
        summarize([CountedRun("", result)])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError):
        return False
    return True


def _numbers(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return mean and deviation of every number of the runs."""
    numbers = (name for name, value in found[0].items() if isinstance(value, int | float))
    names = [name for name in numbers if name not in OWN]
    values = {name: [run[name] for run in found if run.get(name) is not None] for name in names}
    whole = {name: v for name, v in values.items() if len(v) == len(found)}
    return {
        "mean": {name: statistics.fmean(v) for name, v in whole.items()},
        "std": {name: statistics.stdev(v) for name, v in whole.items() if len(v) > 1},
    }


def _energy(works: Sequence[Work], own: _Modelled, base: _Modelled | None) -> dict[str, Any]:
    """Return picojoules under the first constants, and ratios over the range of all."""
    known = {use: [energy(work, base_settings(work)[use]) for work in works] for use in USES}
    return {use: _use(use, known[use], own, base) for use in USES}


def _use(
    use: str, known: Sequence[Energy], own: _Modelled, base: _Modelled | None
) -> dict[str, Any]:
    snn, ann = own.means(use, "snn"), own.means(use, "ann")
    shares = [one.break_even for one in known if one.break_even is not None]
    spread = own.break_even(use)
    means = [statistics.fmean(getattr(one, part) for one in known) for part in ("snn", "ann")]
    values: dict[str, Any] = {
        "snn": means[0],
        "ann": means[1],
        "snn_to_ann": means[0] / means[1],
        "snn_to_ann_range": _range(s / a for s, a in zip(snn, ann, strict=True)),
        "break_even": statistics.fmean(shares) if shares else None,
        "break_even_range": [min(spread), max(spread)] if spread else None,
    }
    if base is not None and base is not own:
        others = base.means(use, "snn")
        values["to_control"] = means[0] / base.base[use]
        values["to_control_range"] = _range(s / o for s, o in zip(snn, others, strict=True))
    return values


def _range(ratios: Iterable[float]) -> list[float]:
    found = list(ratios)
    return [min(found), max(found)]


def constants() -> list[dict[str, Any]]:
    """Return all constants of the model with their sources, the base first."""
    return [
        {
            "name": known.name,
            "multiply_pj": known.multiply,
            "add_pj": known.add,
            "division": known.division,
            "divisions": list(DIVISIONS),
            "division_source": MANZOURI,
            "weight_bytes": known.weight_bytes,
            "memories_pj_per_byte": {m.name: m.picojoules for m in known.memories},
            "source": known.source,
        }
        for known in ARITHMETIC
    ]
