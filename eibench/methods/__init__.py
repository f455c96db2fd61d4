"""What is compared: one file and one value each. The keys are the names that suites use."""

from eibench.methods.base import Method
from eibench.methods.batchnorm import BatchNorm
from eibench.methods.ei import EI
from eibench.methods.no_norm import NoNorm
from eibench.methods.tdbn import TDBN

METHODS: dict[str, type[Method]] = {
    "ei": EI,
    "batchnorm": BatchNorm,
    "tdbn": TDBN,
    "no_norm": NoNorm,
}

__all__ = ["METHODS", "Method"]
