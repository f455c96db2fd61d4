"""Footnotes on what computed the numbers: machine, versions, commit, command, data.

Runs that were computed in unlike ways are said to be MIXED, since a difference between them need
not be a difference between methods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from eibench.report.model.document import code
from eibench.report.model.suite_results import Run

MOST_COMMANDS = 3


def provenance(runs: Sequence[Run]) -> list[str]:
    """Notes on how the runs that have a record came about; none when there are no such runs."""
    done = [run for run in runs if run.environment]
    if not done:
        return []
    return [
        *_note(done, machine, "Computed on", "MIXED MACHINES (times and memory do not compare)"),
        *_note(done, versions, "With", "MIXED VERSIONS"),
        *_note(done, commit, "Source:", "MIXED COMMITS"),
        *_plugins(done),
        *_mixed_data(done),
        _commands(done),
    ]


def _said(run: Run) -> dict[str, Any]:
    """Return what a run's record says of its machine; a backtick would begin a name."""
    known = run.environment
    return {k: v.replace("`", "'") if isinstance(v, str) else v for k, v in known.items()}


def machine(run: Run) -> str:
    """Processor and device of a run."""
    known = _said(run)
    cores = known.get("cores")
    plural = "" if cores == 1 else "s"
    return f"{known.get('cpu')} ({cores} core{plural}), device: {known.get('device')}"


def versions(run: Run) -> str:
    """The versions that make numbers."""
    known = _said(run)
    names = {"eibench": "eibench", "torch": "torch", "python": "Python"}
    return ", ".join(f"{name} {known.get(key)}" for key, name in names.items())


def commit(run: Run) -> str:
    """The source commit, and whether it says it all."""
    known = _said(run)
    if not known.get("commit"):
        return "installed package, no commit"
    dirty = " (with uncommitted changes)" if known.get("dirty") else ""
    return f"commit {known['commit'][:8]}{dirty}"


def _note(
    runs: Sequence[Run], say: Callable[[Run], str], start: str, warning: str
) -> Iterator[str]:
    """One note: the text that all runs share, or each text with its number of runs."""
    texts = Counter(say(run) for run in runs)
    if len(texts) == 1:
        yield f"{start} {next(iter(texts))}."
    else:
        yield f"{warning}: {'; '.join(_counted(texts.items()))}."


def _counted(texts: Iterable[tuple[str, int]]) -> Iterator[str]:
    for text, count in texts:
        yield f"{count} run{'s' * (count > 1)} with {text}"


def _plugins(runs: Sequence[Run]) -> Iterator[str]:
    """What is not eibench's own, with the hash of its source."""
    sources = [run.environment.get("plugins", {}) for run in runs]
    found = list(dict.fromkeys(code(text) for known in sources for text in known.values()))
    if found:
        yield f"Plugin{'s' * (len(found) > 1)}: {', '.join(found)}."


def _mixed_data(runs: Sequence[Run]) -> Iterator[str]:
    """Data sets whose images were not the same in all runs, by the digest in their records."""
    digests: dict[str, set[str]] = {}
    for run in runs:
        if "data_digest" in run.result:
            fields = {k: v for k, v in run.fields.items() if k.partition(".")[0] == "data"}
            digests.setdefault(repr(fields), set()).add(run.result["data_digest"])
    if any(len(found) > 1 for found in digests.values()):
        yield "MIXED DATA: runs of one data set were trained on different images."


def _commands(runs: Sequence[Run]) -> str:
    commands = list(dict.fromkeys(code(str(run.environment.get("command"))) for run in runs))
    listed = ", ".join(commands[:MOST_COMMANDS])
    more = len(commands) - MOST_COMMANDS
    plural = "s" * (len(commands) > 1)
    return f"Command{plural}: {listed}" + f" and {more} more" * (more > 0) + "."
