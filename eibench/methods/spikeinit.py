"""`spikeinit`: SpikeInit (Shi and Yu, ICML 2026), complete: its initialisation and its neuron.

Weights are those of `no_norm` with `init: spikeinit`, convolutions without a bias. The neuron,
`eibench.nn.ASLIF`, is a part of this method: an affine map of the membrane is learned, the reset is
hard, as the derivation assumes, and the surrogate adapts to the membrane of each sample and
channel. Its sharpness is derived from the same fixed point. tau, threshold and detached reset are
those of the comparison's neuron; `neuron.reset` and `neuron.surrogate` have no effect.

The authors' last synapse of a residual block starts nearly silent (1 % firing); here every layer
starts at the same rate. Their last convolutions are followed by dense layers, ten outputs to a
class; the readout here is that of every method.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eibench.methods.base import Method
from eibench.methods.without_norm import NoNorm, NoNormOptions, Rate
from eibench.plan.options import METHODS, MethodOptions

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn


class SpikeInitOptions(MethodOptions):
    """SpikeInit: weights that keep a firing rate, an adaptive neuron, no normalisation."""

    name = "spikeinit"
    rate: Rate = 0.1


@METHODS.register(SpikeInitOptions)
@dataclass(frozen=True, kw_only=True)
class SpikeInit(Method):
    """SpikeInit.

    Raises:
        ValueError: no weights have this firing rate as a fixed point.
    """

    options: SpikeInitOptions

    def __post_init__(self) -> None:
        self._synapses()

    def _synapses(self) -> NoNorm:
        """Return the method that makes the synapses."""
        options = NoNormOptions(init="spikeinit", rate=self.options.rate)
        return NoNorm(lif=self.lif, timesteps=self.timesteps, options=options, bias=False)

    def conv(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        *,
        stride: int = 1,
        branches: int = 1,
        summed: int = 1,
    ) -> nn.Module:
        return self._synapses().conv(
            c_in, c_out, kernel, stride=stride, branches=branches, summed=summed
        )

    def neuron(self, channels: int) -> nn.Module:
        from eibench.methods.initializers import spikeinit_membrane, spikeinit_sharpness
        from eibench.nn import ASLIF

        shared = {key: self.lif[key] for key in ("tau", "threshold", "detach_reset")}
        given = (shared["tau"], shared["threshold"], self.options.rate)
        _, deviation = spikeinit_membrane(*given)
        return ASLIF(channels, spikeinit_sharpness(*given), deviation, **shared)

    def prepare(self, model: nn.Module, batch: Tensor, generator: Generator) -> None:
        self._synapses().prepare(model, batch, generator)
