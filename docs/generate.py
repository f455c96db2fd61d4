"""What cog puts into README.md and docs/: outputs of the real commands, and every option.

`make docs` runs it; a test fails when a page is stale.
"""

from __future__ import annotations

import functools
import json
import re
import shlex
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cog
from pydantic.fields import FieldInfo
from typer.testing import CliRunner

import eibench
from eibench.cli import app
from eibench.cli.verify import NOT_ALL_PASS
from eibench.limits import LARGEST, NUMBERS
from eibench.plan.claims import Claim, LocatedClaim, read_claims
from eibench.plan.find import suite_files
from eibench.plan.options import CHOICES, Choice, InitOptions, Options, ProbeOptions
from eibench.plan.space import SearchFile, SearchParameter
from eibench.plan.spec import INIT, PROBE, SECTIONS
from eibench.plan.suite import read_suite
from eibench.report.model.claim_results import PASS, UNDECIDED, UNKNOWN, ClaimResult
from eibench.report.model.claims import ClaimEvidence
from eibench.report.model.cost import cost_document
from eibench.report.model.profile import profile_document
from eibench.report.writers import write
from eibench.results.metrics import find_metric

VGG8 = Path("results/performance/vgg8_cpu.json")
HEAD = "\n| key | allowed | default |\n|---|---|---|"
WORDS = {
    int: "whole number",
    float: "number",
    bool: "`true`, `false`",
    str: "text",
    types.NoneType: "`null`",
    list: "list",
    dict: "mapping",
}
SOURCE = ("- Mean", "- Computed on", "- With eibench", "- Source", "- MIXED", "- Command")
"""Beginnings of the notes that say where a table comes from."""
WARNING = re.compile(r"- (?:[A-Z]{3,}|`)")
"""Beginning of a note without which a table misleads: `UNTUNED`, `EDGE OF RANGE`, a method."""
BOUNDS = {"ge": "≥", "gt": ">", "lt": "<", "le": "≤"}


def command(line: str) -> None:
    """Print the output of `eibench LINE`."""
    cog.outl(f"\n{_printed(line)}\n")


def _printed(line: str) -> str:
    result = CliRunner().invoke(app, shlex.split(line))
    undecided = result.exit_code == NOT_ALL_PASS and " 0 MISSING, 0 FAIL." in result.output
    assert result.exit_code == 0 or undecided, result.output
    return result.stdout.rstrip()


def source(suite: str, report: str = "") -> None:
    """Print number of seeds, machine, versions, commit and command of a suite's evidence."""
    cog.outl(f"{_source(suite, report)}\n")


def _source(suite: str, report: str = "") -> str:
    report = report or _printed(f"report results/evidence/{suite} --format markdown")
    found = {one: line for line in report.splitlines() for one in SOURCE if line.startswith(one)}
    kept = [line.removeprefix("- ").partition(";")[0].rstrip(".") for line in found.values()]
    assert {"- Mean", "- Command"} <= found.keys(), report
    return f"{'. '.join(kept)}."


def evidence(line: str) -> None:
    """Print the last table of `eibench report LINE`, its warnings, and where it comes from.

    All other notes stand in the table's own file, which is named.
    """
    report = _printed(f"report results/evidence/{line} --format markdown")
    table = "### " + report.removeprefix("### ").split("\n### ")[-1]
    lines = table.splitlines()
    shown = [one for one in lines if not one.startswith("- ")]
    warnings = [one for one in lines if WARNING.match(one) and not one.startswith(SOURCE)]
    cog.outl("\n" + "\n".join([*shown, *warnings]).strip() + "\n")
    folder = line.partition(" ")[0]
    cog.outl(f"{_source(folder, table)} Rates and notes: `results/evidence/{folder}/table.md`.\n")


def layers(suite: str, depth: int, shown: Sequence[int], *rows: tuple[str, str]) -> None:
    """Print numbers of some layers of a probe's networks of one depth, then where they come from.

    A row is a method and a metric; a cell is the mean over seeds and their deviation.
    """
    frame = eibench.load_layers(f"results/evidence/{suite}")
    frame = frame[frame["model.depth"] == depth]
    cog.outl(f"\n| layer | {' | '.join(map(str, shown))} |\n|---|{'---|' * len(shown)}")
    for method, name in rows:
        metric = find_metric(name)
        found = frame[frame["method"] == method].groupby("layer")[name]
        cells = (
            f"{metric.show(found.mean()[layer])} ± {metric.show(found.std()[layer])}"
            for layer in shown
        )
        cog.outl(f"| {metric.label}, `{method}` | {' | '.join(cells)} |")
    cog.outl(f"\n{_source(suite)}\n")


def costs(folder: str, names: Sequence[str], *titles: str) -> None:
    """Print tables of counted networks, one document after the other, then all their notes.

    They come from the JSON that `eibench cost --format json` gave; `names` are the documents'.
    """
    path = Path("results/evidence", folder, "cost.json")
    notes: dict[str, None] = {}
    for name, values in zip(names, json.loads(path.read_text()), strict=True):
        document = cost_document(values, name)
        chosen = [table for table in document.tables if table.title in titles]
        shown = tuple(replace(table, notes=()) for table in chosen)
        cog.outl("\n" + write([replace(document, tables=shown)], "markdown").rstrip())
        notes |= dict.fromkeys(f"- {note}" for table in chosen for note in table.notes)
    cog.outl("\n".join(["", *notes, ""]))
    cog.outl(_source(folder).replace("Mean ± sample standard deviation", "Means") + "\n")


def options() -> None:
    """Every method, model, data set and key, with what is allowed and the default."""
    for kind, registry in CHOICES.items():
        cog.outl(f"\n### `{kind}`\n")
        for name, cls in registry.items():
            cog.outl(f"- `{name}`: {cls.summary()}")
            for preset, known in cls.presets.items():
                stands = ", ".join(f"{k}: {_yaml(v)}" for k, v in known.values.items())
                cog.outl(f"  - `preset: {preset}`: {known.summary} Stands for `{stands}`.")
        cog.outl(HEAD)
        for name, cls in registry.items():
            _rows(cls, f"`{kind}.{{}}` of `{name}`")
    for section, cls in {**SECTIONS, INIT: InitOptions, PROBE: ProbeOptions}.items():
        _section(section, cls)
    default, least, most = NUMBERS["timesteps"]
    allowed = f"whole number, ≥ {least}, ≤ {most}"
    cog.outl(f"\n### The rest\n{HEAD}\n| `timesteps` | {allowed} | `{default}` |\n")


def suites() -> None:
    """Print every suite: what it asks, its data, and whether its results are committed."""
    cog.outl("\n| suite | what it compares | data | results |\n|---|---|---|---|")
    for path in suite_files(Path("suites")):
        suite = read_suite(path)[1]
        fields = [
            suite.base,
            *({"data": one} for one in {**suite.grid, **suite.zip}.get("data", [])),
        ]
        data = [one.get("data") for one in fields]
        names = dict.fromkeys(d["name"] if isinstance(d, dict) else d for d in data)
        there = "[findings](findings.md)" * Path("results/evidence", suite.name).exists()
        listed = ", ".join(f"`{name}`" for name in names if name)
        cog.outl(f"| [{suite.name}](../suites/{path.name}) | {suite.title} | {listed} | {there} |")
    cog.outl()


def search() -> None:
    """Print every key of a suite's `search`."""
    _section("search", SearchFile)
    _section("search.space.KEY", SearchParameter)


def claim() -> None:
    """Print every key of a claim."""
    _section("claims", Claim)


def claims(*names: str) -> None:
    """Print the sentences of claims, by their groups or ids, as a list."""
    cog.outl()
    for result in _decided(*names):
        cog.outl(f"- {result.sentence}{_undecided(result)}")
    cog.outl()


def _undecided(result: ClaimResult) -> str:
    """Return which cells are undecided, and the claim; nothing where it passes."""
    if result.status != UNDECIDED:
        return ""
    names = [_spaced(name) for name, cell in result.cells.items() if cell.status == UNDECIDED]
    where = f" ({', '.join(names)})" * (len(names) < len(result.cells))
    return f" *Undecided{where}; claimed: {result.claim.relation_words}.*"


def answers(*rows: tuple[str, str, str]) -> None:
    """Print a table of questions with their answers, each with the numbers of its claim.

    A row is a question, the answer as a link to its section, and the claim that decides it.
    """
    heads = ("question", "answer", "by how much (95 % interval)", "n", "bound checked")
    cog.outl(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for question, answer, name in rows:
        result = _named(name)
        told = f"{answer}{' (undecided)' * (result.status == UNDECIDED)}"
        numbers = "; ".join(f"{_spaced(cell)}: {_numbers(result, cell)}" for cell in result.cells)
        share = " of seeds" * (result.claim.compare == "share_trained")
        bound = "-" if result.claim.relation == "any" else f"{result.claim.relation_words}{share}"
        cog.outl(f"| {question} | {told} | {numbers} | {_counts([result])} | {bound} |")
    cog.outl()


def differences(methods: Sequence[str], *rows: tuple[str, ...]) -> None:
    """Print a table of tasks by methods, each cell that of a claim: `CLAIM.CELL`, or nothing."""
    cog.outl(f"\n| task | {' | '.join(methods)} | n |\n|{'---|' * (len(methods) + 2)}")
    for task, *names in rows:
        found = [(_named(name.partition(".")[0]), name.partition(".")[2]) for name in names if name]
        texts = iter(_numbers(*one) for one in found)
        cells = " | ".join(next(texts) if name else "-" for name in names)
        cog.outl(f"| {task} | {cells} | {_counts([result for result, _ in found])} |")
    cog.outl()


@functools.cache
def _claims() -> tuple[Sequence[LocatedClaim], ClaimEvidence]:
    """Return all claims and what decides them, read once."""
    return read_claims(Path("claims.yaml")), ClaimEvidence([Path("results/evidence")])


def _decided(*names: str) -> list[ClaimResult]:
    """Return the results of claims, by their groups or ids; none may fail or lack runs."""
    located, evidence = _claims()
    known = [(c, {c.claim.id, *c.claim.group}) for c in located]
    assert set(names) <= set().union(*(labels for _, labels in known)), names
    chosen = [one for one, labels in known if labels & set(names)]
    results = list(evidence.decide(chosen))
    for result in results:
        assert result.status in (PASS, UNDECIDED), (result.claim.id, result.reasons)
    return results


def _named(name: str) -> ClaimResult:
    return next(one for one in _decided(name) if one.claim.id == name)


def _counts(results: Sequence[ClaimResult]) -> str:
    """Return the numbers of seeds of some claims."""
    cells = (cell for result in results for cell in result.cells.values())
    return ", ".join(dict.fromkeys(cell.texts.get("n", "-") for cell in cells))


def _numbers(result: ClaimResult, cell: str) -> str:
    """Return what a cell of a claim shows: a difference, a ratio, a share or a mean.

    Where some seeds train and others stay at chance it is the share, as no interval holds there.
    """
    texts = result.cells[cell].texts
    assert UNKNOWN not in [texts.get(key) for key in (result.claim.compare, "mean")], cell
    trained, known, planned = texts.get("share", "").partition(" of ")
    if result.claim.compare == "share_trained" or (known and trained not in ("0", planned)):
        return f"{texts['share']} train"
    if "difference" in texts:
        return f"{texts['difference']} [{texts['low']}, {texts['high']}]"
    if "ratio" in texts:
        interval = f" [{texts['low']}, {texts['high']}]" if "low" in texts else ""
        return f"x {texts['ratio']}{interval}"
    return f"{texts['mean']} ± {texts['std']}"


def _spaced(cell: str) -> str:
    """Return a cell's name as words: `conv 16`."""
    return re.sub(r"(?<=[a-z])(?=\d)", " ", cell.replace("_", " "))


def _section(name: str, cls: type[Options]) -> None:
    cog.outl(f"\n### `{name}`\n\n{(cls.__doc__ or '').partition(chr(10))[0]}\n{HEAD}")
    _rows(cls, f"`{name}.{{}}`")


def _rows(cls: type[Options], key: str) -> None:
    for name, field in cls.model_fields.items():
        default = f"`{_yaml(field.get_default(call_default_factory=True))}`"
        default = "required" if field.is_required() else default
        cog.outl(f"| {key.format(name)} | {', '.join(_allowed(field))} | {default} |")


def _allowed(field: FieldInfo) -> Iterator[str]:
    """Return the allowed values of a field, or its types and bounds."""
    kind = field.annotation
    if typing.get_origin(kind) is typing.Literal:
        yield from (f"`{value}`" for value in typing.get_args(kind))
        return
    if isinstance(kind, type) and issubclass(kind, Choice):
        yield "a name, or a mapping of a name and its options"
        return
    if (
        typing.get_origin(kind) is list
        and typing.get_origin(typing.get_args(kind)[0]) is typing.Literal
    ):
        values = typing.get_args(typing.get_args(kind)[0])
        yield f"list of {', '.join(f'`{value}`' for value in values)}"
        return
    united = isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union
    kinds = typing.get_args(kind) if united else (kind,)
    yield " or ".join(WORDS[_plain(k)] for k in kinds)
    for bound in field.metadata:
        for name, sign in BOUNDS.items():
            if getattr(bound, name, LARGEST) != LARGEST:
                yield f"{sign} {getattr(bound, name)}"


def _plain(kind: Any) -> Any:
    """`int` for a whole number within bounds, `list` for a list of anything."""
    inner = typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind
    return typing.get_origin(inner) or inner


def _yaml(value: object) -> str:
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def profiles() -> None:
    """Every committed profile: its tables, from the JSON that `eibench profile --json` gave."""
    for path in sorted(Path("results/performance").glob("*.json")):
        document = profile_document(json.loads(path.read_text()))
        titled = replace(document, title=f"{path.stem}: {document.title}")
        cog.outl("\n" + write([titled], "markdown"))


def division() -> None:
    """Print what a step of E-I takes at least, and what it takes, from the profile of VGG-8."""
    rows = {row["name"]: row for row in json.loads(VGG8.read_text())["rows"]}
    took = {name: 1000 * row["step_seconds"]["median"] for name, row in rows.items()}
    step = took["batchnorm"]
    share = sum(rows["batchnorm"]["shares"][part] for part in ("neuron", "optimizer", "other"))
    products = took["bare products of ei"]
    least = products + share * step
    cog.outl(f"\n| part of an E-I step | ms | relative to batch norm's step ({step:.0f} ms) |")
    cog.outl("|---|---:|---:|")
    named = f"neurons, pooling, loss, optimizer ({100 * share:.0f} % of batch norm's step)"
    for part, time in (
        ("products of E-I", products),
        (named, share * step),
        ("sum, before any division", least),
        ("the rest", took["ei"] - least),
    ):
        cog.outl(f"| {part} | {time:.0f} | {time / step:.2f} |")
    cog.outl()


def latex(line: str, lines: int | None = None) -> None:
    """Print the output of `eibench LINE`, or its first lines, as LaTeX."""
    result = CliRunner().invoke(app, shlex.split(line))
    assert result.exit_code == 0, result.output
    cog.outl("\n```latex\n" + "\n".join(result.stdout.splitlines()[:lines]) + "\n```\n")
