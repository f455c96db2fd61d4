"""Files of `eibench profile --json`: their schema, and where they lie.

results/performance/NAME.json       beside the live runs and the evidence
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from eibench.results.checks import check, damaged
from eibench.results.paths import EVIDENCE, parse_json, read
from eibench.results.schema import Count, Environment, Part, Seconds, Size, Text

PERFORMANCE = "performance"
"""The folder of profiles within a results folder."""
HINT = "`eibench profile --json` makes it again"


class StepSeconds(Part):
    """Time of a training step."""

    median: Annotated[Seconds, Field(gt=0)]


class ProfileRow(Part):
    """Cost of one method."""

    name: Text
    step_seconds: StepSeconds
    ratio: Annotated[Size, Field(gt=0)] | None = None
    """Time over the reference's, the median over turns in which both took a step."""
    peak_mib: Annotated[Size, Field(gt=0)] | None = None


class ProfileFile(Part):
    """A profile of several methods on one network."""

    environment: Environment
    device: Text
    steps: Count
    reference: Text
    rows: Annotated[list[ProfileRow], Field(min_length=1, max_length=1000)]


def read_profile(results: Path, name: str) -> Mapping[str, Any] | None:
    """Return the profile called `name` in, or beside, a results folder; None if there is none.

    Raises:
        UserError: the file is damaged, a link, or too large.
    """
    for folder in _folders(results):
        path = folder / f"{name}.json"
        try:
            content = parse_json(read(path))
        except FileNotFoundError:
            continue
        except ValueError as error:
            raise damaged(path, [str(error)], HINT) from None
        return check(ProfileFile, content, path, HINT)
    return None


def _folders(results: Path) -> Iterator[Path]:
    """Yield the folders of profiles that `results` may mean."""
    yield results / PERFORMANCE
    whole = results.absolute() if results.name in ("", "..") else results
    if whole.name == PERFORMANCE:
        yield results
    if whole.name == EVIDENCE:
        yield whole.parent / PERFORMANCE
