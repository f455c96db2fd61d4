"""What must hold of every options class."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import ValidationError

from eibench.contracts.base import require
from eibench.plan.options import Choice

SHORTEST, LONGEST = 10, 100
"""Characters of a summary."""


def options_are_documented(choice: Choice) -> None:
    """The options begin with a sentence that says what is chosen."""
    summary = type(choice).summary()
    require(
        summary.endswith(".") and SHORTEST < len(summary) < LONGEST,
        f"the first line of its docstring is {summary!r}; `eibench list` shows it, so it must be a "
        f"sentence of {SHORTEST} to {LONGEST} characters that ends with a full stop",
    )


def values_are_valid(choice: Choice) -> None:
    """The defaults keep to their own rules, and YAML can write every value."""
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
