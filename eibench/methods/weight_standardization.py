"""`weight_standardization`: standardised kernels with a gain for spikes (IS-SNN, ECCV 2026).

Every convolution but the first has the gain 1/deviation of the spikes that the comparison's neuron
(its tau, threshold, reset and T) gives under a current of N(0, 1), so that its current is again of
unit deviation, at any threshold. The paper's first layer has gain 1 for a standardised image; here
images stay in [0, 1] as for every method, and its gain is set on the first training batch, to a
current of unit deviation. Average pooling lowers the variance and is not made up for, as there.
The currents of summed branches are scaled by 1/sqrt(branches). Where the spikes of n neurons arrive
added up, as along residual blocks, the gain is divided by sqrt(n): the paper's running variance,
which grows by that of one neuron's spikes with each block, at its weight alpha = 1 (the paper adds
alpha = 0.5 or 0.2 times the block's spikes). The readout is that of every method.

`gain: theory` is the paper's, and fails at depth. From currents of deviation s in place of 1 the
spikes make currents of deviation f(s) in the next layer. f has two fixed points: 1 is stable, but
below the other (0.538 for the default neuron) activity dies out layer by layer, and one average
pooling of 2x2 halves the deviation. Two values go beyond the paper:

- `gain: measured` sets every layer's gain on the first training batch, as that of the first.
- `gain: learned` starts there, and learns a gain for each channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from eibench.methods.base import Method
from eibench.plan.options import METHODS, MethodOptions

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn


class WeightStandardizationOptions(MethodOptions):
    """Standardised kernels with a gain for spikes, no statistics of activity (IS-SNN)."""

    name = "weight_standardization"
    gain: Literal["theory", "measured", "learned"] = "theory"


@METHODS.register(WeightStandardizationOptions)
@dataclass(frozen=True, kw_only=True)
class WeightStandardization(Method):
    """Scaled weight standardisation.

    Raises:
        ValueError: the neuron never fires under a current of unit deviation.
    """

    options: WeightStandardizationOptions

    def __post_init__(self) -> None:
        self._gain()

    def _gain(self) -> float:
        """Return the gain of a layer fed by spikes."""
        from eibench.methods.initializers import spike_deviation

        lif = self.lif
        return 1 / spike_deviation(lif["tau"], lif["threshold"], lif["reset"], self.timesteps)

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
        from eibench.nn import TimeDistributed, WSConv2d

        layout = (c_in, c_out, kernel, stride, kernel // 2)
        gain = self._gain() * (branches * summed) ** -0.5
        learned = self.options.gain == "learned"
        return TimeDistributed(WSConv2d(*layout, gain, learned, deviation=branches**-0.5))

    def prepare(self, model: nn.Module, batch: Tensor, generator: Generator) -> None:
        from eibench.nn import WSConv2d, before_first_use, first_input

        conv, image = first_input(model, batch, WSConv2d)
        if not conv.measure_gain(image):
            raise ValueError("weight_standardization needs a first batch that is not silent")
        if self.options.gain != "theory":
            before_first_use(model, batch, WSConv2d, WSConv2d.measure_gain)
