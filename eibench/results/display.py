"""Names that a paper prints in place of the labels that suites and commands use."""

from __future__ import annotations

import re
from collections.abc import Mapping

from eibench.results.labels import show_value

METHODS = {
    "batchnorm": "BatchNorm",
    "bntt": "BNTT",
    "dann": "DANN",
    "ei": "E-I",
    "groupnorm": "GroupNorm",
    "layernorm": "LayerNorm",
    "mpbn": "MPBN",
    "no_norm": "No norm",
    "spikeinit": "SpikeInit",
    "tab": "TAB",
    "tdbn": "tdBN",
    "tebn": "TEBN",
    "weight_standardization": "Weight standardization",
    "wta": "WTA",
}
"""Names of eibench's own methods; a suite's `labels` go before them."""
ALONE = {"ei": "E-I (paper)"}
"""Names of methods that have their default options."""
_WORDS = {
    "dale": "Dale",
    "ei": "E/I",
    "kaiming": "Kaiming",
    "lif": "LIF",
    "spikeinit": "SpikeInit",
    "xavier": "Xavier",
}
"""Words of options that are not written in lower case."""


def display_name(label: str, given: Mapping[str, str]) -> str:
    """Return the name of a method by its label; options that have no name of their own follow.

    `batchnorm-per_step` is `BatchNorm, per step`, and `ei-blanket` is `E-I, blanket`; with
    `given = {"ei-blanket": "Blanket"}`, `ei-blanket-plasticity0.1` is `Blanket, plasticity 0.1`.
    """
    known = {**METHODS, **{name: ALONE[name] for name in ALONE if name == label}, **given}
    parts = re.split(r"(?<!\de)-(?!\d)", label)
    for count in range(len(parts), 0, -1):
        start = "-".join(parts[:count])
        if start in known or count == 1:
            return ", ".join([known.get(start, start), *map(option_words, parts[count:])])
    return label


def option_words(option: str) -> str:
    """Return `ei_ratio2` as `E/I ratio 2`."""
    spaced = re.sub(r"^([A-Za-z ]+)(?=-?\d)", r"\1 ", option.replace("_", " "))
    return " ".join(_WORDS.get(word, word) for word in spaced.split())


def shown(field: str, value: object, given: Mapping[str, str]) -> str:
    """Return a field's value as a paper prints it."""
    text = show_value(value)
    if field == "method":
        return display_name(text, given)
    return given.get(text, text) if isinstance(value, str) else text
