"""Notes on where numbers come from: machine, versions, commit, command and data.

Runs that were computed in unlike ways are said to be MIXED, since a difference between them need
not be a difference between methods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from eibench.report.model.document import code
from eibench.results.cells import ASKED, Run, count_words, unlike_images
from eibench.results.labels import joined, machine_label, stated

MOST_COMMANDS = 3


def provenance(runs: Sequence[Run]) -> list[str]:
    """Return notes on how the runs that have a record came about."""
    done = [run for run in runs if run.environment]
    if not done:
        return []
    return [
        *machine_note(done),
        *_note(done, versions, "With", "MIXED VERSIONS"),
        *_note(done, commit, "Source:", "MIXED COMMITS"),
        *_plugins(done),
        *_batch_statistics(done),
        *mixed_data(done),
        _commands(done),
    ]


def machine_note(runs: Sequence[Run]) -> Iterator[str]:
    """Yield a note on the machines of the runs that have a record."""
    done = [run for run in runs if run.environment]
    if done:
        mixed = "MIXED MACHINES (times and memory do not compare)"
        yield from _note(done, machine, "Computed on", mixed)


def machine(run: Run) -> str:
    """Return the processor and the device of a run."""
    return machine_label(run.environment)


def versions(run: Run) -> str:
    """Return the versions that make numbers."""
    known = stated(run.environment)
    names = {"eibench": "eibench", "torch": "torch", "python": "Python"}
    return ", ".join(f"{name} {known.get(key)}" for key, name in names.items())


def commit(run: Run) -> str:
    """Return the source commit, and whether it says it all."""
    known = stated(run.environment)
    if not known.get("commit"):
        return "installed package, no commit"
    dirty = " (with uncommitted changes)" if known.get("dirty") else ""
    return f"commit {known['commit'][:8]}{dirty}"


def _note(
    runs: Sequence[Run], say: Callable[[Run], str], start: str, warning: str
) -> Iterator[str]:
    """Yield one note: the text that all runs share, or each text with its number of runs."""
    texts = Counter(say(run) for run in runs)
    if len(texts) == 1:
        yield f"{start} {next(iter(texts))}."
    else:
        yield f"{warning}: {'; '.join(_counted(texts.items()))}."


def _counted(texts: Iterable[tuple[str, int]]) -> Iterator[str]:
    for text, count in texts:
        yield f"{count} run{'s' * (count > 1)} with {text}"


def _plugins(runs: Sequence[Run]) -> Iterator[str]:
    """Yield a note on plugins, with the hash of their source."""
    sources = [run.environment.get("plugins", {}) for run in runs]
    found = list(dict.fromkeys(code(text) for known in sources for text in known.values()))
    if found:
        yield f"Plugin{'s' * (len(found) > 1)}: {', '.join(found)}."


def _batch_statistics(runs: Sequence[Run]) -> Iterator[str]:
    """Yield notes on what a statistic over a batch is, where it is not over all of it."""
    if any(run.fields.get("train.accumulate", 1) != 1 for run in runs):
        yield (
            f"Batches in pieces ({code('train.accumulate')}): statistics over a batch, as of batch"
            " norm, are those of each piece."
        )
    if any("world_size" in run.environment and run.environment.get("plugins") for run in runs):
        yield (
            "Runs by several processes: statistics over a batch that a plugin takes by other means"
            " than torch's batch norm are those of each process."
        )


def mixed_data(runs: Sequence[Run]) -> Iterator[str]:
    """Yield warnings where runs of one data set had unlike images, or were counted unlike."""
    if unlike_images(runs):
        yield "MIXED DATA: runs of one data set were trained on different images."
    counts = dict.fromkeys(", ".join(count_words(run)) for run in runs if ASKED in run.result)
    if len(counts) > 1:
        yield f"MIXED COUNTS: costs are of networks {joined(counts)}."


def _commands(runs: Sequence[Run]) -> str:
    commands = list(dict.fromkeys(code(str(run.environment.get("command"))) for run in runs))
    listed = ", ".join(commands[:MOST_COMMANDS])
    more = len(commands) - MOST_COMMANDS
    plural = "s" * (len(commands) > 1)
    return f"Command{plural}: {listed}" + f" and {more} more" * (more > 0) + "."
