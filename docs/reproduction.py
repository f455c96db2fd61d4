"""Table of docs/reproduce.md: for each suite with evidence its tier, cost, claims and command."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eibench.plan.claims import read_claims
from eibench.results.paths import SEARCH, folders
from eibench.results.store import RunFolder

EVIDENCE = Path("results/evidence")
HEAD = [
    "| suite | tier | runs | core-minutes | machine | claims |",
    "|---|---|---:|---:|---|---|",
]


@dataclass(frozen=True)
class Cost:
    """Computing time of a suite's runs, by their records."""

    runs: int
    core_minutes: float
    machines: tuple[str, ...]
    """Processors, the one with most runs first."""


def core_tier(makefile: str) -> list[str]:
    """Return the suites that `make reproduce` runs."""
    return re.findall(r"^CORE := (.*)$", makefile, re.M)[0].split()


def cost(folder: Path) -> Cost:
    """Return the cost of all runs in a suite's `folder`, trials of a search among them.

    A run's seconds count once for each of its threads. Trials that were stopped early have no
    record; their epochs count.
    """
    runs, seconds, machines = 0, 0.0, Counter[str]()
    for path in (*folders(folder), *folders(folder / SEARCH)):
        run = RunFolder(path)
        record, epochs = run.record(), run.epochs()
        if record is None and not epochs:
            continue
        runs += 1
        environment = (record or {}).get("environment", {})
        machines[environment.get("cpu", "")] += 1
        threads = re.match(r"cpu, (\d+) thread", environment.get("device") or "")
        own = sum(e["cost"]["train_seconds"] + e["cost"]["evaluation_seconds"] for e in epochs)
        taken = (record or {}).get("cost", {}).get("seconds")
        seconds += (own if taken is None else taken) * (int(threads[1]) if threads else 1)
    return Cost(runs, seconds / 60, tuple(name for name, _ in machines.most_common() if name))


def rows() -> Iterator[str]:
    """Yield the lines of the table, the core tier first."""
    core = core_tier(Path("Makefile").read_text(encoding="utf-8"))
    claims: dict[str, list[str]] = {}
    for located in read_claims(Path("claims.yaml")):
        claims.setdefault(located.claim.subject, []).append(located.claim.id)
    packed = {pack.parent.name for pack in EVIDENCE.glob("*/runs.tar.xz")}
    rest = sorted(packed - set(core))
    yield from HEAD
    for tier, names in (("core", core), ("all", rest)):
        costs = {name: cost(EVIDENCE / name) for name in names}
        for name, found in costs.items():
            ids = ", ".join(f"`{claim}`" for claim in claims.get(name, ()))
            cells = (tier, str(found.runs), _minutes(found), ", ".join(found.machines), ids)
            suite = name.partition("-")[0]  # of an evaluation, SUITE-NAME
            yield f"| [{name}](../suites/{suite}.yaml) | {' | '.join(cells)} |"
        total = Cost(
            sum(c.runs for c in costs.values()), sum(c.core_minutes for c in costs.values()), ()
        )
        yield f"| **together** | {tier} | {total.runs} | {_minutes(total)} | | |"


def _minutes(found: Cost) -> str:
    return f"{found.core_minutes:.0f}" if found.core_minutes >= 10 else f"{found.core_minutes:.1f}"
