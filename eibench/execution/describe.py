"""What `eibench show` asks for: a run's network on paper, and the shape of its data."""

from __future__ import annotations

from eibench.execution.loaded import failing_in_words
from eibench.plan.options import DataShape
from eibench.plan.spec import RunSpec
from eibench.training.build import load_data
from eibench.training.paper import Part, network_on_paper

__all__ = ["Part", "describe"]


def describe(spec: RunSpec) -> tuple[Part, DataShape]:
    """The network of `spec`; data are loaded only where their shape is not known without.

    Raises:
        UserError: data are absent or damaged, the network does not suit them, a plugin fails.
    """
    with failing_in_words(spec):
        shape = spec.data.shape() or _loaded_shape(spec)
        return network_on_paper(spec, shape), shape


def _loaded_shape(spec: RunSpec) -> DataShape:
    data = load_data(spec.data, spec.timesteps)
    return DataShape(data.image, len(data.classes))
