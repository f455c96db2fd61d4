"""YAML without surprises, with the line of every value.

PyYAML follows YAML 1.1: `1e-3` is a string, `no` is false, `10:30` is 630, `010` is 8, and of
duplicate keys the last one silently wins. Here the rules are those of YAML 1.2's core schema:
`true` and `false` are the only booleans, every usual notation of a number is a number, keys are
text, and duplicate keys are refused. Aliases are refused, so that a suite reads from top to bottom.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from eibench.errors import BadSuite, UserError, did_you_mean, printable
from eibench.files import names_beside, read_text

Keys = tuple[str | int, ...]
"""Position of a value in a document: mapping keys and list indices from the top."""

_BOOLS = {"true": True, "false": False}
_NULLS = {"", "~", "null"}
_INT = re.compile(r"[-+]?[0-9]+")
LONGEST_INT = 640
"""Digits beyond which a number is left as text, and refused as such: the lowest limit that
Python itself can have."""
DEEPEST = 20
"""Maximal number of levels, far more than a suite needs."""
MOST_VALUES = 10_000
"""Maximal number of keys and values of a file, read in about half a second."""
LARGEST = 256 * 1024
"""Maximal size of a file, read in about half a second even if it is a single text."""
_HALF = re.compile("[\ud800-\udfff]")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = {".inf": "inf", "-.inf": "-inf", "+.inf": "inf", ".nan": "nan"}


@dataclass(frozen=True)
class YamlDocument:
    """YAML document as plain data, and the line (from 1) on which each value starts."""

    source: str
    data: Any
    lines: dict[Keys, int] = field(default_factory=dict)

    def line(self, keys: Keys) -> int | None:
        """Return the line of the value at `keys`, or of the nearest value around it."""
        for end in range(len(keys), -1, -1):
            if keys[:end] in self.lines:
                return self.lines[keys[:end]]
        return None

    def place(self, keys: Keys) -> str:
        """Return `file:line` for a message."""
        line = self.line(keys)
        return self.source if line is None else f"{self.source}:{line}"


def scalar(text: str) -> Any:
    """Return the value of an unquoted scalar under YAML 1.2's core schema."""
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


class _Dumper(yaml.SafeDumper):
    """Writer that quotes each text which `scalar` would take for something else."""

    def represent_text(self, text: str) -> yaml.Node:
        style = None if isinstance(scalar(text), str) else "'"
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _Dumper.represent_text)


def dump(value: Any, **style: Any) -> str:
    """Return `value` as YAML that `parse` reads back, its keys in their order."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, **style)
    return text


class _YamlReader:
    """Reader of YAML events that counts them before any data are built.

    Problems are collected, or raised where reading cannot continue.
    """

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.events = yaml.parse(text, Loader=yaml.SafeLoader)
        self.lines: dict[Keys, int] = {}
        self.problems: list[str] = []
        self.depth = self.values = 0

    def document(self) -> Any:
        """Return the data of the single document."""
        self._next()  # the start of the stream
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        data = self._read(self._next(), ())
        self._next()  # the end of the document
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            raise self._refused(after, "here begins another document, and a file holds one")
        return data

    def _next(self) -> yaml.Event:
        """Return the next event; raise `BadSuite` for unsupported ones and exceeded limits."""
        event = next(self.events)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise self._refused(event, "anchors and aliases are not supported here")
        if tag := getattr(event, "tag", None):
            raise self._refused(event, f"tags such as {tag} are not supported here")
        self.depth += isinstance(event, yaml.CollectionStartEvent)
        self.depth -= isinstance(event, yaml.CollectionEndEvent)
        self.values += isinstance(event, yaml.NodeEvent)
        if self.depth > DEEPEST:
            text = f"lists or mappings nested too deeply; at most {DEEPEST} levels are allowed"
            raise self._refused(event, text)
        if self.values > MOST_VALUES:
            raise self._refused(event, f"too many keys and values; at most {MOST_VALUES:,}")
        return event

    def _refused(self, event: yaml.Event, text: str) -> BadSuite:
        return BadSuite([f"{self.source}:{_line(event)}: {text}"])

    def _read(self, event: yaml.Event, keys: Keys) -> Any:
        """Return the value that begins with `event` at position `keys`."""
        self.lines[keys] = _line(event)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(keys)
        if isinstance(event, yaml.SequenceStartEvent):
            return [self._read(item, (*keys, i)) for i, item in enumerate(self._items())]
        assert isinstance(event, yaml.ScalarEvent)
        text = self._text(event)
        return scalar(text) if event.style is None else text

    def _items(self) -> Iterator[yaml.Event]:
        """Yield the first event of each value of a list or mapping, up to its end."""
        while not isinstance(event := self._next(), yaml.CollectionEndEvent):
            yield event

    def _mapping(self, keys: Keys) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for event in self._items():
            key, line = self._key(event), _line(event)
            if key in out:
                first = self.lines[(*keys, key)]
                self._problem(line, f"{key}: duplicate key (first on line {first})")
                self._skip(self._next())
            else:
                out[key] = self._read(self._next(), (*keys, key))
                self.lines[(*keys, key)] = line
        return out

    def _key(self, event: yaml.Event) -> str:
        if isinstance(event, yaml.ScalarEvent):
            return self._text(event)
        self._problem(_line(event), "a key must be text, not a list or mapping")
        self._skip(event)
        return ""

    def _skip(self, event: yaml.Event) -> None:
        """Skip the value that begins with `event`."""
        if isinstance(event, yaml.CollectionStartEvent):
            for inner in self._items():
                self._skip(inner)

    def _text(self, event: yaml.ScalarEvent) -> str:
        """Return the text of a scalar; record a lone surrogate, which no file can contain."""
        text = str(event.value)
        if _HALF.search(text):
            self._problem(_line(event), f"half a character ({printable(text)[:60]}) is no text")
        return text

    def _problem(self, line: int, text: str) -> None:
        self.problems.append(f"{self.source}:{line}: {text}")


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


def parse(text: str, source: str) -> YamlDocument:
    """Return the document in `text`; `source` names it in messages.

    Raises:
        BadSuite: not YAML, or YAML with a duplicate key, an alias or a tag.
    """
    if len(text) > LARGEST:
        raise BadSuite([f"{source}: is larger than {LARGEST // 1024} KiB"])
    reader = _YamlReader(text, source)
    try:
        data = reader.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}" if mark else source
        raise BadSuite([f"{where}: not valid YAML: {error.problem or error.context}"]) from None
    except yaml.YAMLError as error:
        raise BadSuite([f"{source}: not valid YAML: {str(error).splitlines()[0]}"]) from None
    except (ValueError, OverflowError) as error:  # PyYAML on impossible escapes and versions
        raise BadSuite([f"{source}: not valid YAML: {error}"]) from None
    if reader.problems:
        raise BadSuite(reader.problems)
    return YamlDocument(source, data, reader.lines)


def load(path: Path) -> YamlDocument:
    """Return the document in the file at `path`.

    Raises:
        UserError: the file is missing or cannot be read; similar file names are suggested.
        BadSuite: see `parse`.
    """
    try:
        text = read_text(path, LARGEST)
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file{did_you_mean(path.name, names_beside(path, '*.y*ml'))}"
        ) from None
    return parse(text, str(path))
