"""What every method, model and data set must do: functions that say in words what does not hold.

A contract takes options, builds what they name, and raises `Broken`, or whatever the code under
test raises. Its docstring is its name in the output of `eibench check`. The tests of eibench run
the same functions over its own methods, models and data sets.
"""

from collections.abc import Callable
from typing import Any

from eibench.contracts.base import OPTIONS_CONTRACTS, Broken
from eibench.contracts.data import DATA_CONTRACTS
from eibench.contracts.methods import METHOD_CONTRACTS
from eibench.contracts.models import MODEL_CONTRACTS

CONTRACTS: dict[str, tuple[Callable[[Any], None], ...]] = {
    "method": (*OPTIONS_CONTRACTS, *METHOD_CONTRACTS),
    "model": (*OPTIONS_CONTRACTS, *MODEL_CONTRACTS),
    "data": (*OPTIONS_CONTRACTS, *DATA_CONTRACTS),
}
"""For each kind of choice, what must hold of it."""

__all__ = ["CONTRACTS", "DATA_CONTRACTS", "METHOD_CONTRACTS", "MODEL_CONTRACTS", "Broken"]
