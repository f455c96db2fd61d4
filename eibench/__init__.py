"""eibench: can inhibition replace normalization in deep spiking networks?

`eibench.nn` is the torch package (layers, E-I Init, Dale's law); `load_results`, `load_epochs` and
`load_layers` read results, `load_model` the kept weights of a run. All are imported on first use,
so that `import eibench` and the command line start quickly.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eibench import nn
    from eibench.results.frame import load_epochs, load_layers, load_results
    from eibench.training.weights import load_model

from eibench.version import __version__

__all__ = ["__version__", "load_epochs", "load_layers", "load_model", "load_results", "nn"]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name == "load_model":
        return importlib.import_module("eibench.training.weights").load_model
    if name.startswith("load_") and name in __all__:
        return getattr(importlib.import_module("eibench.results.frame"), name)
    if name == "nn":
        return importlib.import_module("eibench.nn")
    raise AttributeError(f"module 'eibench' has no attribute {name!r}")
