"""Contracts: requirements of every method, model and data set, as functions.

A contract builds what its options name and raises `Broken`, or the error of the code under test.
Its docstring is its title in the output of `eibench check`. The tests of eibench run the same
contracts on its own methods, models and data sets.
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
"""Contracts of each kind of choice."""

__all__ = ["CONTRACTS", "DATA_CONTRACTS", "METHOD_CONTRACTS", "MODEL_CONTRACTS", "Broken"]
