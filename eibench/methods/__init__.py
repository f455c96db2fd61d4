"""What is compared: one file and one value each. The keys are the names that suites use."""

from eibench.methods.base import Method, Normalized, kaiming_conv
from eibench.methods.batchnorm import BatchNorm
from eibench.methods.bntt import BNTT
from eibench.methods.ei import EI
from eibench.methods.groupnorm import GroupNorm
from eibench.methods.layernorm import LayerNorm
from eibench.methods.mpbn import MPBN
from eibench.methods.no_norm import NoNorm
from eibench.methods.tab import TAB
from eibench.methods.tdbn import TDBN
from eibench.methods.tebn import TEBN
from eibench.methods.weight_standardization import WeightStandardization
from eibench.methods.wta import WTA

METHODS: dict[str, type[Method]] = {
    "ei": EI,
    "batchnorm": BatchNorm,
    "tdbn": TDBN,
    "bntt": BNTT,
    "tebn": TEBN,
    "tab": TAB,
    "mpbn": MPBN,
    "groupnorm": GroupNorm,
    "layernorm": LayerNorm,
    "weight_standardization": WeightStandardization,
    "wta": WTA,
    "no_norm": NoNorm,
}

__all__ = ["METHODS", "Method", "Normalized", "kaiming_conv"]
