"""Layers of Dale's ANNs (DANN): the E-I circuit with another start and other gradients.

The circuit is that of `functional.ei`, with a constant in place of its stabilisation. For n_E
excitatory and n_I inhibitory neurons of fan-in d,

    gamma = W_EI (e^alpha . s_I)                        s_I = W_IE * x
    I     = g_E . (W_EE * x - W_EI s_I) / (gamma + epsilon) + b_E

so that g_I = e^alpha is positive, and alpha [n_I] is learned. All start as suits activity max(0, Z)
with Z ~ N(0, 1), whatever the activity is:

    W_EE, W_IE ~ Exponential(mean sqrt(2 pi / (d (2 pi - 1))))            g_E = 1,  b_E = 0
    alpha = log sqrt((2 pi - 1) / d)                                      W_EI = 1 / n_I

which are the rules of E-I Init for that law, and weights larger by 1 / sqrt(V): I_EE then has a
deviation of 1, and gamma a mean of 1. A single inhibitory neuron has the mean of W_EE's rows for
its weights.

An inhibitory parameter changes many neurons, or one through all of its inputs. The Fisher
information says by how much more than a weight of W_EE, and gradients are multiplied by

    1 / sqrt(n_E) for W_IE          1 / d for W_EI          1 / (d sqrt(n_E)) for alpha

Source: Cornford, Kalajdzievski, Leite, Lamarquette, Kullmann and Richards, "Learning to live with
Dale's principle: ANNs with separate excitatory and inhibitory units" (ICLR 2021).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor, nn

from eibench.nn import functional as F
from eibench.nn.circuit import Circuit, EIInit
from eibench.nn.ei import EIConv2d, EILinear
from eibench.nn.ei_layer import EILayer

INIT = EIInit(init_statistics="rectified", weight_scale=F.RECTIFIED_NORMAL.variance**-0.5)


class DANNLayer(EILayer):
    """A layer of a DANN over an unspecified synapse: base of `DANNConv2d` and `DANNLinear`.

    Args:
        sizes: as for the E-I layer of that synapse, by position or by name.
        ei_ratio: excitatory neurons per inhibitory one; n_I = max(1, n_E // ei_ratio).
        epsilon: added to gamma (the authors: 1e-8). A silent receptive field multiplies the
            gradient at its inputs by 1 / epsilon.
        corrections: whether gradients of inhibitory parameters are corrected.
        named: sizes by name.
    """

    def __init__(
        self,
        *sizes: int,
        ei_ratio: int = 10,
        epsilon: float = 0.1,
        corrections: bool = True,
        **named: Any,
    ) -> None:
        kappa = 1.0 if corrections else 0.0
        circuit = Circuit(stabilization="leak", leak=epsilon, kappa=kappa)
        named |= {"ei_ratio": ei_ratio, "circuit": circuit, "init": INIT}
        super().__init__(*sizes, **named)  # type: ignore[arg-type]
        del self.gain_i  # computed from its logarithm
        self.log_gain_i = nn.Parameter(torch.zeros(len(self.weight_ie)))
        self._drawn = tuple(self._parameters)
        self.correction = len(self.weight_ee) ** (-kappa / 2)

    @property
    def gain_i(self) -> Tensor:  # type: ignore[override]
        """Return g_I = e^alpha; the gradient of alpha is corrected."""
        factor = self.correction * self.fan_in**-self.circuit.kappa
        return F.scale_gradient(self.log_gain_i, factor).exp()

    def _weight(self, name: str) -> Tensor:
        weight = super()._weight(name)
        return F.scale_gradient(weight, self.correction) if name == "ie" else weight

    def non_negative(self) -> list[nn.Parameter]:
        return [p for p in super().non_negative() if p is not self.log_gain_i]

    @torch.no_grad()
    def initialize(self, x: Tensor, generator: Generator | None = None) -> None:
        """Draw all parameters; of activity `x` [T, B, ...] nothing but its shape counts."""
        super().initialize(x, generator)
        self.log_gain_i.fill_(math.log(F.divisive_gain(F.RECTIFIED_NORMAL, self.fan_in)))
        if len(self.weight_ie) == 1:
            self.weight_ie.copy_(self.weight_ee.mean(0, keepdim=True))


class DANNConv2d(DANNLayer, EIConv2d):
    """DANN convolution: activity [T, B, C_in, H, W] to integrated current [T, B, n_E, H', W'].

    The sizes are C_in, n_E, the kernel's side, stride and padding; `DANNLayer` has the rest.
    """


class DANNLinear(DANNLayer, EILinear):
    """DANN dense layer: activity [T, B, in_features] to integrated current [T, B, n_E].

    The sizes are in_features and n_E. As a network's last layer it divides, like any other.
    """
