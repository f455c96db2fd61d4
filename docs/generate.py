"""What cog puts into README.md and docs/: outputs of the real commands, and every option.

`make docs` runs it; a test fails when a page is stale.
"""

from __future__ import annotations

import json
import shlex
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import cog
from pydantic.fields import FieldInfo
from typer.testing import CliRunner

from eibench.cli import app
from eibench.plan.options import LARGEST, Choice, Options, ProbeOptions
from eibench.plan.spec import CHOICES, NUMBERS, PROBE, SECTIONS
from eibench.report.cost import to_text

HEAD = "\n| key | allowed | default |\n|---|---|---|"
WORDS = {
    int: "whole number",
    float: "number",
    bool: "`true`, `false`",
    str: "text",
    types.NoneType: "`null`",
}
BOUNDS = {"ge": "≥", "gt": ">", "lt": "<", "le": "≤"}


def command(line: str) -> None:
    """The output of `eibench LINE`."""
    result = CliRunner().invoke(app, shlex.split(line))
    assert result.exit_code == 0, result.output
    cog.outl(f"\n{result.stdout.rstrip()}\n")


def options() -> None:
    """Every method, model, data set and key, with what is allowed and the default."""
    for kind, registry in CHOICES.items():
        cog.outl(f"\n### `{kind}`\n")
        for name, cls in registry.items():
            cog.outl(f"- `{name}`: {cls.summary()}")
        cog.outl(HEAD)
        for name, cls in registry.items():
            _rows(cls, f"`{kind}.{{}}` of `{name}`")
    for section, cls in {**SECTIONS, PROBE: ProbeOptions}.items():
        cog.outl(f"\n### `{section}`\n\n{cls.__doc__}\n{HEAD}")
        _rows(cls, f"`{section}.{{}}`")
    default, least = NUMBERS["timesteps"]
    cog.outl(f"\n### The rest\n{HEAD}\n| `timesteps` | whole number, ≥ {least} | `{default}` |\n")


def _rows(cls: type[Options], key: str) -> None:
    for name, field in cls.model_fields.items():
        default = "required" if field.is_required() else f"`{_yaml(field.default)}`"
        cog.outl(f"| {key.format(name)} | {', '.join(_allowed(field))} | {default} |")


def _allowed(field: FieldInfo) -> Iterator[str]:
    """What a field takes: its values, or its kinds and bounds."""
    kind = field.annotation
    if typing.get_origin(kind) is typing.Literal:
        yield from (f"`{value}`" for value in typing.get_args(kind))
        return
    if isinstance(kind, type) and issubclass(kind, Choice):
        yield "a name, or a mapping of a name and its options"
        return
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    yield " or ".join(WORDS[k] for k in kinds)
    for bound in field.metadata:
        for name, sign in BOUNDS.items():
            if getattr(bound, name, LARGEST) != LARGEST:
                yield f"{sign} {getattr(bound, name)}"


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def profiles() -> None:
    """Every committed profile: its tables, from the JSON that `eibench profile --json` gave."""
    for path in sorted(Path("results/performance").glob("*.json")):
        text = to_text(json.loads(path.read_text()), "github")
        cog.outl(f"\n### `{path.stem}`\n\n{text}")
