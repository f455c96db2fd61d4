"""Violations of a contract, helpers of all contracts, and the contracts of options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import yaml
from pydantic import ValidationError
from torch import Tensor

from eibench.plan.options import Choice

SHORTEST, LONGEST = 10, 100
"""Range of a summary's length in characters."""


class Broken(Exception):
    """Violation of a contract; its text says what is wrong and how to repair it."""


def require(holds: bool, text: str) -> None:
    """Raise `Broken` with `text` unless `holds`."""
    if not holds:
        raise Broken(text)


def differing(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[str]:
    """Return the names of tensors that are not bitwise equal in both."""
    same = {k for k in before.keys() & after.keys() if torch.equal(before[k], after[k])}
    return sorted((before.keys() | after.keys()) - same)


def copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return an independent copy of a state dict."""
    return {name: value.clone() for name, value in state.items()}


def options_are_documented(choice: Choice) -> None:
    """Check that the options begin with a sentence that says what is chosen."""
    summary = type(choice).summary()
    require(
        summary.endswith(".") and SHORTEST < len(summary) < LONGEST,
        f"the first line of its docstring is {summary!r}; `eibench list` shows it, so it must be a "
        f"sentence of {SHORTEST} to {LONGEST} characters that ends with a full stop",
    )


def values_are_valid(choice: Choice) -> None:
    """Check that the defaults keep to their own rules, and YAML can write every value."""
    values: dict[str, Any] = choice.model_dump()
    try:
        type(choice).model_validate(values)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        field = ".".join(map(str, wrong["loc"]))
        require(False, f"the value {wrong['input']!r} of `{field}` is refused: {wrong['msg']}")
    for name, value in values.items():
        try:
            back = yaml.safe_load(yaml.safe_dump(value))
        except yaml.YAMLError:
            back = None
        require(
            back == value,
            f"`{name}` is {value!r}, a {type(value).__name__}, which YAML cannot write; "
            "use numbers, text, true and false, and lists of these",
        )


OPTIONS_CONTRACTS = (options_are_documented, values_are_valid)
