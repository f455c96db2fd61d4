"""`references.yaml`: published numbers, where they stand, and how they were measured.

    sources:
      liu2026: {paper: "Liu, Ding and Yu, ICLR 2026", year: 2026, arxiv: "2509.23253"}
    published:
      - data: cifar10                  data, model and method as in a suite
        model: {name: vgg, depth: 8}
        method: ei
        metric: test_accuracy          the only one, in percent
        value: 87.03
        source: liu2026
        protocol:                      what is known of the run, and of nothing else
          timesteps: 4                 fields of a run, compared with ours
          train.epochs: 300
          seeds: 1                     runs behind the value, compared with ours
          selection: best epoch on the test split        any other key of `Notes`: told as it stands

A suite names such a file by `references`. What matches its runs is kept in its `plan.json`, so that
a report needs no other file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from eibench.errors import BadSuite, did_you_mean
from eibench.plan.layers import LayeredValues, Leaf, Located, Origin, leaves
from eibench.plan.options import Count, Options
from eibench.plan.options.base import Line
from eibench.plan.spec import SECTIONS, RunSpec
from eibench.plan.validate import Invalid, M, unknown_key, validate
from eibench.plan.yaml_source import Keys, YamlDocument, load

COMPARED = (*SECTIONS, "timesteps")
"""Parts of a run that a protocol can state."""


class ReferencesFile(Options):
    """Keys of the file."""

    sources: dict[str, dict[str, Any]]
    published: list[dict[str, Any]] = Field(min_length=1)


class Citation(Options):
    """Publication in which a number is reported."""

    paper: Line
    year: int
    arxiv: Line | None = None
    where: Line | None = None
    """Table or page, if known."""

    @property
    def text(self) -> str:
        """Return the citation in one line, for a footnote."""
        arxiv = "" if self.arxiv is None else f", arXiv {self.arxiv}"
        where = "" if self.where is None else f", {self.where}"
        return f"{self.paper} ({self.year}{arxiv}){where}"


class Entry(Options):
    """Keys of one published number."""

    data: Any
    model: Any
    method: Any
    metric: Literal["test_accuracy"] = "test_accuracy"
    value: float = Field(ge=0, le=100)
    source: str
    protocol: dict[str, Any]


class Notes(Options):
    """Statements of a protocol beside the fields of a run."""

    seeds: Count | None = None
    selection: Line | None = None
    encoding: Line | None = None
    augmentation: Line | None = None
    schedule: Line | None = None
    other: Line | None = None


@dataclass(frozen=True)
class PublishedResult:
    """Published number of one method on one network and data set."""

    spec: RunSpec
    """Run that the number belongs to, as far as it is known."""
    fields: Mapping[str, Any]
    """Values of `spec` that the protocol states, by dotted path."""
    notes: Notes
    metric: str
    value: float
    source: str
    """Citation in one line."""


def read_references(path: Path) -> tuple[PublishedResult, ...]:
    """Return the published numbers in the file at `path`.

    Raises:
        UserError: the file cannot be read.
        BadSuite: every problem found, each with file, line and key.
    """
    reader = _ReferencesReader(load(path))
    found = reader.read()
    if reader.problems:
        raise BadSuite(reader.problems)
    return found


def _is_compared(leaf: Leaf) -> bool:
    return leaf.key.partition(".")[0] in COMPARED


class _ReferencesReader:
    """Reader of a document of published numbers that collects all problems."""

    def __init__(self, document: YamlDocument) -> None:
        self.document = document
        self.problems: list[str] = []

    def read(self) -> tuple[PublishedResult, ...]:
        file = self._valid(ReferencesFile, self.document.data, ())
        if file is None:
            return ()
        sources = {
            name: self._valid(Citation, values, ("sources", name))
            for name, values in file.sources.items()
        }
        read = (self._entry(values, i, sources) for i, values in enumerate(file.published))
        return tuple(entry for entry in read if entry is not None)

    def _note(self, text: str, keys: Keys) -> None:
        self.problems.append(Origin(self.document, keys).message(text))

    def _valid(self, cls: type[M], values: Any, keys: Keys) -> M | None:
        """Build a `cls` from `values` at `keys`; record problems and return None if they are
        invalid."""
        try:
            return validate(cls, values)
        except Invalid as invalid:
            for problem in invalid.problems:
                self._note(problem.text, (*keys, *problem.keys))
            return None

    def _entry(
        self, values: Mapping[str, Any], i: int, sources: Mapping[str, Citation | None]
    ) -> PublishedResult | None:
        keys: Keys = ("published", i)
        entry = self._valid(Entry, values, keys)
        if entry is None:
            return None
        if entry.source not in sources:
            hint = f"allowed: {', '.join(sources)}{did_you_mean(entry.source, sources)}"
            self._note(f"no such source under `sources`; {hint}", (*keys, "source"))
        stated = list(leaves(entry.protocol, (*keys, "protocol")))
        compared = [leaf for leaf in stated if _is_compared(leaf)]
        notes = self._notes([leaf for leaf in stated if not _is_compared(leaf)], keys)
        spec = self._spec(entry, compared, keys)
        source = sources.get(entry.source)
        if notes is None or spec is None or source is None:
            return None
        fields = spec.fields()
        kept = {leaf.key: fields[leaf.key] for leaf in compared if leaf.key in fields}
        return PublishedResult(spec, kept, notes, entry.metric, entry.value, source.text)

    def _notes(self, stated: list[Leaf], keys: Keys) -> Notes | None:
        allowed = [*COMPARED, *Notes.model_fields]
        for leaf in stated:
            if leaf.key not in Notes.model_fields:
                self._note(unknown_key(leaf.key, allowed), leaf.keys)
        values = {leaf.key: leaf.value for leaf in stated if leaf.key in Notes.model_fields}
        return self._valid(Notes, values, (*keys, "protocol"))

    def _spec(self, entry: Entry, compared: list[Leaf], keys: Keys) -> RunSpec | None:
        """Return the run of an entry, including its protocol."""
        layered = LayeredValues(Origin(self.document, keys))
        for key in ("method", "model", "data"):
            layered.assign((key,), getattr(entry, key), Origin(self.document, (*keys, key)))
        try:
            for leaf in compared:
                origin = Origin(self.document, leaf.keys)
                layered.assign(tuple(leaf.key.split(".")), leaf.value, origin)
            return layered.spec()
        except Located as located:
            self.problems += located.messages
            return None
