"""The values of a run while a suite is being expanded, and where each of them was written.

A run is its suite's `base` under several layers of overrides (grid, zip, per_method, --set). When
one of its values turns out to be wrong, the message must name the line that wrote it, so each
assignment remembers its origin.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from eibench.plan.spec import CHOICES, RunSpec
from eibench.plan.validate import Invalid
from eibench.plan.yaml_source import DEEPEST, Document, Keys


class Located(Exception):
    """Problems whose messages already name file, line and key."""

    def __init__(self, messages: list[str]) -> None:
        self.messages = messages
        super().__init__(messages)


@dataclass(frozen=True)
class Origin:
    """Where a value was written: at `keys` of `document`, or by an `option` of the command line."""

    document: Document
    keys: Keys = ()
    option: str = ""

    def below(self, *keys: str | int) -> Origin:
        """The origin of a value inside this one."""
        return Origin(self.document, (*self.keys, *keys), self.option)

    def message(self, text: str) -> str:
        """`text` behind file, line and dotted key, or behind the option and the key inside it."""
        named = self.option and self.keys[-1:] == (
            "name",
        )  # an option is a name alone, or shows it
        keys = self.keys[:-1] if named else self.keys
        dotted = "".join(f".{k}" if isinstance(k, str) else f"[{k}]" for k in keys)
        place = self.option or self.document.place(self.keys)
        where = f"{place}: {dotted.removeprefix('.')}".removesuffix(": ")
        return f"{where}: {text}".replace("\n", "\\n")


def chooses(path: Keys, value: Mapping[str, Any]) -> bool:
    """Whether `value` at `path` names a method, model or data set, in place of any before it; or
    what one of these is made from, such as the images of a set of events."""
    return bool(path) and path[0] in CHOICES and "name" in value


class Leaf(NamedTuple):
    """A value that is set as a whole: its dotted key in a run, and where it was written."""

    key: str
    value: Any
    keys: Keys


def leaves(values: Mapping[str, Any], keys: Keys = (), above: str = "") -> Iterator[Leaf]:
    """The leaves of `values`, which were written at `keys` and are set at the key `above`."""
    for key, value in values.items():
        dotted = f"{above}.{key}" if above else key
        path = tuple(dotted.split("."))
        if isinstance(value, Mapping) and value and not chooses(path, value):
            yield from leaves(value, (*keys, key), dotted)
        else:
            yield Leaf(dotted, value, (*keys, key))


class LayeredValues:
    """Nested values of one run and the origin of each assignment."""

    def __init__(self, origin: Origin) -> None:
        self.values: dict[str, Any] = {}
        self.origins: dict[Keys, Origin] = {(): origin}

    def copy(self) -> LayeredValues:
        """An independent copy."""
        twin = copy.copy(self)
        twin.values, twin.origins = copy.deepcopy(self.values), dict(self.origins)
        return twin

    def assign(self, path: Keys, value: Any, origin: Origin) -> None:
        """Set `path`; a mapping is merged key by key, unless it chooses a method, model or data."""
        if isinstance(value, str) and len(path) == 1 and chooses(path, {"name": value}):
            value = {"name": value}
        if isinstance(value, Mapping) and not chooses(path, value):
            self.origins.setdefault(path, origin)
            for key, inner in value.items():
                self.assign((*path, key), inner, origin.below(key))
            return
        if len(path) > DEEPEST:
            raise Located([origin.message(f"a key has at most {DEEPEST} parts")])
        parent: Any = self.values
        for depth, key in enumerate(path[:-1]):
            inner = parent.setdefault(key, {})
            if depth and isinstance(inner, str) and path[0] in CHOICES:  # a name within a choice
                parent[key] = {"name": inner}
            parent = parent[key]
            if not isinstance(parent, dict):
                text = f"{'.'.join(map(str, path))} goes through a value that is not a mapping"
                raise Located([origin.message(text)])
        if path[-1] in parent:
            self.origins = {k: o for k, o in self.origins.items() if k[: len(path)] != path}
        parent[path[-1]] = copy.deepcopy(value)
        self.origins[path] = origin

    def origin(self, keys: Keys) -> Origin:
        """Where the value at `keys` was written, else one inside it, else one that holds it."""
        inside = [path for path in self.origins if path[: len(keys)] == keys]
        if inside:
            return self.origins[min(inside, key=len)]
        end = next(n for n in range(len(keys), -1, -1) if keys[:n] in self.origins)
        return self.origins[keys[:end]].below(*keys[end:])

    def spec(self) -> RunSpec:
        """The finished spec.

        Raises:
            Located: every problem, each with the place that wrote the value.
        """
        try:
            return RunSpec.parse(self.values)
        except Invalid as invalid:
            messages = [self.origin(p.keys).message(p.text) for p in invalid.problems]
            raise Located(messages) from None
