"""YAML without its surprises, with the line of every value.

PyYAML follows YAML 1.1, in which `1e-3` is a string, `no` is false, `10:30` is 630, `010` is 8 and
of two equal keys the last one silently wins. Here the rules are those of YAML 1.2's core schema:
`true`/`false` are the only booleans, every usual way to write a number is a number, keys are text
and stand once. Aliases are refused: a suite should be readable from top to bottom.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from eibench.errors import BadSuite, UserError, did_you_mean

Keys = tuple[str | int, ...]
"""Where a value stands in a document: mapping keys and list indices from the top."""

_BOOLS = {"true": True, "false": False}
_NULLS = {"", "~", "null"}
_INT = re.compile(r"[-+]?[0-9]+")
LONGEST_INT = 1000
"""Digits beyond which a number is left as text, and refused as such (Python has a limit too)."""
DEEPEST = 20
"""Levels of nesting, far beyond what a suite needs."""
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = {".inf": "inf", "-.inf": "-inf", "+.inf": "inf", ".nan": "nan"}


@dataclass(frozen=True)
class Document:
    """A YAML document as plain data, and the line (from 1) on which each value starts."""

    source: str
    data: Any
    lines: dict[Keys, int] = field(default_factory=dict)

    def line(self, keys: Keys) -> int | None:
        """Line of the value at `keys`, or of the nearest value that holds it."""
        for end in range(len(keys), -1, -1):
            if keys[:end] in self.lines:
                return self.lines[keys[:end]]
        return None

    def place(self, keys: Keys) -> str:
        """`file:line`, to begin a message with."""
        line = self.line(keys)
        return self.source if line is None else f"{self.source}:{line}"


def scalar(text: str) -> Any:
    """The value of an unquoted scalar under YAML 1.2's core schema."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INT.fullmatch(text):
        return int(text) if len(text) <= LONGEST_INT else text
    if _FLOAT.fullmatch(text):
        return float(text)
    if text.lower() in _SPECIAL:
        return float(_SPECIAL[text.lower()])
    return text


class _Reader:
    """Turns a tree of YAML nodes into a `Document`, collecting what is wrong on the way."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: dict[Keys, int] = {}
        self.problems: list[str] = []

    def read(self, node: yaml.Node, keys: Keys = ()) -> Any:
        if len(keys) > DEEPEST:
            line = node.start_mark.line + 1
            raise BadSuite([f"{self.source}:{line}: lists or mappings nested too deeply"])
        self.lines[keys] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, keys)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*keys, i)) for i, item in enumerate(node.value)]
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        return scalar(node.value) if plain else node.value

    def _mapping(self, node: yaml.MappingNode, keys: Keys) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            line = key_node.start_mark.line + 1
            if key in out:
                first = self.lines[(*keys, key)]
                self._problem(line, f"{key}: this key stands twice (first on line {first})")
            else:
                out[key] = self.read(value_node, (*keys, key))
                self.lines[(*keys, key)] = line
        return out

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self._problem(node.start_mark.line + 1, "a key must be text, not a list or mapping")
            return ""
        return str(node.value)

    def _problem(self, line: int, text: str) -> None:
        self.problems.append(f"{self.source}:{line}: {text}")


def _compose(text: str, source: str) -> yaml.Node | None:
    """The node tree of `text`, after refusing aliases, tags and more than one document."""
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise BadSuite([f"{source}:{line}: anchors and aliases are not supported here"])
        if tag := getattr(event, "tag", None):
            raise BadSuite([f"{source}:{line}: tags such as {tag} are not supported here"])
    return yaml.compose(text, Loader=yaml.SafeLoader)


def parse(text: str, source: str) -> Document:
    """The document in `text`; `source` names it in messages.

    Raises:
        BadSuite: not YAML, or YAML that hides a surprise (a key twice, an alias, a tag).
    """
    try:
        node = _compose(text, source)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}" if mark else source
        raise BadSuite([f"{where}: not valid YAML: {error.problem or error.context}"]) from None
    except yaml.YAMLError as error:
        raise BadSuite([f"{source}: not valid YAML: {str(error).splitlines()[0]}"]) from None
    except (ValueError, OverflowError) as error:  # PyYAML on impossible escapes and versions
        raise BadSuite([f"{source}: not valid YAML: {error}"]) from None
    except RecursionError:
        raise BadSuite([f"{source}: lists or mappings nested too deeply"]) from None
    reader = _Reader(source)
    data = reader.read(node) if node is not None else None
    if reader.problems:
        raise BadSuite(reader.problems)
    return Document(source, data, reader.lines)


def load(path: Path) -> Document:
    """The document in the file at `path`.

    Raises:
        UserError: the file is missing or cannot be read; near file names are suggested.
        BadSuite: see `parse`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = path.parent.glob("*.y*ml") if path.parent.is_dir() else []
        hint = did_you_mean(path.name, sorted(p.name for p in near))
        raise UserError(f"{path}: no such file{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"{path}: cannot be read: {reason}") from None
    return parse(text, str(path))
