"""How a contract says no."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


class Broken(Exception):
    """A contract that does not hold; the text says what is wrong and how to mend it."""


def require(holds: bool, text: str) -> None:
    """Raise `Broken` with `text` unless it `holds`."""
    if not holds:
        raise Broken(text)


def listed(names: Iterable[str]) -> str:
    """The first three names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def differing(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that are not the same in both, to the bit."""
    same = {k for k in before.keys() & after.keys() if torch.equal(before[k], after[k])}
    return sorted((before.keys() | after.keys()) - same)


def copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict that no longer follows its network."""
    return {name: value.clone() for name, value in state.items()}
