"""Values of a run during expansion, each with the location that set it.

A run is its suite's `base` under several layers of overrides (grid, zip, per_method, --set). A
message about a wrong value must name the line that set it, so each assignment stores its origin.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from eibench.errors import BadSuite, UserError
from eibench.plan.options import CHOICES
from eibench.plan.spec import RunSpec
from eibench.plan.validate import Invalid
from eibench.plan.yaml_source import DEEPEST, Keys, YamlDocument, parse


class Located(Exception):
    """Problems whose messages already name file, line and key."""

    def __init__(self, messages: list[str]) -> None:
        self.messages = messages
        super().__init__(messages)


@dataclass(frozen=True)
class Origin:
    """Location of a value: `keys` of `document`, or an `option` of the command line."""

    document: YamlDocument
    keys: Keys = ()
    option: str = ""

    def below(self, *keys: str | int) -> Origin:
        """Return the origin of a value inside this one."""
        return Origin(self.document, (*self.keys, *keys), self.option)

    def message(self, text: str) -> str:
        """Return `text` after file, line and dotted key, or after the option and the key inside
        it."""
        named = self.option and self.keys[-1:] == (
            "name",
        )  # an option is a name alone, or shows it
        keys = self.keys[:-1] if named else self.keys
        dotted = "".join(f".{k}" if isinstance(k, str) else f"[{k}]" for k in keys)
        place = self.option or self.document.place(self.keys)
        where = f"{place}: {dotted.removeprefix('.')}".removesuffix(": ")
        return f"{where}: {text}".replace("\n", "\\n")


def chooses(path: Keys, value: Mapping[str, Any]) -> bool:
    """Return whether `value` at `path` names a method, model or data set, replacing any before it.

    This includes nested choices, such as the images of a data set of events.
    """
    return bool(path) and path[0] in CHOICES and "name" in value


class Leaf(NamedTuple):
    """Value that is set as a whole: its dotted key in a run, its value, and its location."""

    key: str
    value: Any
    keys: Keys


def leaves(values: Mapping[str, Any], keys: Keys = (), above: str = "") -> Iterator[Leaf]:
    """Yield the leaves of `values`, located at `keys` and set below the key `above`."""
    for key, value in values.items():
        dotted = f"{above}.{key}" if above else key
        path = tuple(dotted.split("."))
        if isinstance(value, Mapping) and value and not chooses(path, value):
            yield from leaves(value, (*keys, key), dotted)
        else:
            yield Leaf(dotted, value, (*keys, key))


class LayeredValues:
    """Nested values of one run, and the origin of each assignment."""

    def __init__(self, origin: Origin) -> None:
        self.values: dict[str, Any] = {}
        self.origins: dict[Keys, Origin] = {(): origin}

    def copy(self) -> LayeredValues:
        """Return an independent copy."""
        twin = copy.copy(self)
        twin.values, twin.origins = copy.deepcopy(self.values), dict(self.origins)
        return twin

    def assign(self, path: Keys, value: Any, origin: Origin) -> None:
        """Set `path`; merge a mapping key by key, unless it chooses a method, model or data set."""
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
        """Return the origin of the value at `keys`, else of a value inside it, else of one
        around it."""
        inside = [path for path in self.origins if path[: len(keys)] == keys]
        if inside:
            return self.origins[min(inside, key=len)]
        end = next(n for n in range(len(keys), -1, -1) if keys[:n] in self.origins)
        return self.origins[keys[:end]].below(*keys[end:])

    def spec(self) -> RunSpec:
        """Return the finished spec.

        Raises:
            Located: every problem, each with the location that set the value.
        """
        try:
            return RunSpec.parse(self.values)
        except Invalid as invalid:
            messages = [self.origin(p.keys).message(p.text) for p in invalid.problems]
            raise Located(messages) from None


@dataclass(frozen=True)
class Override:
    """`KEY=VALUE` of the option `name`; the value is parsed as YAML."""

    name: str
    text: str
    key: str
    value: Any

    @classmethod
    def read(cls, name: str, text: str, example: str = "train.epochs=5") -> Override:
        """Parse `text`; raise `UserError` if it is not KEY=VALUE."""
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not key:
            raise UserError(f"{name} {text}: must be KEY=VALUE, such as {example}")
        if key.count(".") >= DEEPEST:
            raise UserError(f"{name} {text}: a key has at most {DEEPEST} parts")
        return cls(name, text, key, parse(value, f"{name} {text}").data)

    @property
    def path(self) -> Keys:
        """Return the parts of the dotted key."""
        return tuple(self.key.split("."))

    def __str__(self) -> str:
        return f"{self.name} {self.text}"


def single_spec(choices: Sequence[Override]) -> RunSpec:
    """Return the run that the command line alone defines; later overrides have precedence.

    Raises:
        BadSuite: every problem, each with the option that caused it.
    """
    nowhere = YamlDocument("the command line", {})
    layered = LayeredValues(Origin(nowhere))
    try:
        for choice in choices:
            layered.assign(choice.path, choice.value, Origin(nowhere, (), str(choice)))
        return layered.spec()
    except Located as located:
        raise BadSuite(located.messages) from None
