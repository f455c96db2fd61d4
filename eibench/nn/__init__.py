"""Spiking layers with lateral inhibition, usable without the rest of eibench.

Activity and currents are [T, B, ...] everywhere: time, batch, then channels and space. A network
is a chain of parts that take and give such tensors:

    import torch
    from eibench.nn import LIF, Chain, EIConv2d, initialize, project_

    model = Chain(EIConv2d(1, 32, 3, padding=1), LIF())
    initialize(model, images.expand(4, *images.shape))     # E-I Init on one batch, T = 4
    ...                                                    # loss.backward(); optimizer.step()
    project_(model)                                        # Dale's law
"""

from eibench.nn import functional
from eibench.nn.aslif import ASLIF
from eibench.nn.chain import Chain
from eibench.nn.circuit import Balance, Circuit, EIInit
from eibench.nn.dann import DANNConv2d, DANNLinear
from eibench.nn.ei import EIConv2d, EILinear
from eibench.nn.ei_init import InitializationError
from eibench.nn.ei_layer import EILayer, NotInitializedError
from eibench.nn.explicit import explicit_inhibition
from eibench.nn.fold import affine_synapse, fold_batchnorm
from eibench.nn.inference import fold_network, spell_out
from eibench.nn.model import before_first_use, first_input, initialize, project_
from eibench.nn.neurons import LIF, MPBNLIF, KWinners
from eibench.nn.norms import BatchNorm2d, BatchNormPerStep2d, GroupNorm2d, TDBatchNorm2d
from eibench.nn.pool import AvgPool2d
from eibench.nn.sequence_norms import BNTT2d, TAB2d, TEBatchNorm2d
from eibench.nn.time import Current, TimeDistributed
from eibench.nn.weight_norm import WSConv2d

__all__ = [
    "ASLIF",
    "LIF",
    "MPBNLIF",
    "AvgPool2d",
    "BNTT2d",
    "Balance",
    "BatchNorm2d",
    "BatchNormPerStep2d",
    "Chain",
    "Circuit",
    "Current",
    "DANNConv2d",
    "DANNLinear",
    "EIConv2d",
    "EIInit",
    "EILayer",
    "EILinear",
    "GroupNorm2d",
    "InitializationError",
    "KWinners",
    "NotInitializedError",
    "TAB2d",
    "TDBatchNorm2d",
    "TEBatchNorm2d",
    "TimeDistributed",
    "WSConv2d",
    "affine_synapse",
    "before_first_use",
    "explicit_inhibition",
    "first_input",
    "fold_batchnorm",
    "fold_network",
    "functional",
    "initialize",
    "project_",
    "spell_out",
]
