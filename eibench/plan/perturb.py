"""The `perturb` section of a run: perturbations of the network in training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, create_model

from eibench.plan.conditions import CONDITIONS, Condition, acting_on, effective
from eibench.plan.options import Options

OF_THE_HARDWARE_FORM = ("folded", "lesion", "rebalanced")
"""Conditions of inhibition as cells with weights of their own, which come after training."""


class _Perturb(Options):
    """Perturbations of the network in training, drawn anew at each optimizer step."""

    def strengths(self) -> dict[str, float]:
        """Return the perturbations that change something, in the order of application."""
        return effective(self.model_dump())


def _field(condition: Condition) -> Any:
    kind = int if condition.whole else float
    return kind, Field(kind(condition.neutral), ge=condition.least, le=condition.largest)


if TYPE_CHECKING:
    PerturbOptions = _Perturb
else:
    PerturbOptions = create_model(
        "PerturbOptions",
        __base__=_Perturb,
        __doc__=_Perturb.__doc__,
        **{
            name: _field(CONDITIONS[name])
            for name in acting_on("network", dict.fromkeys(CONDITIONS, 0.0))
            if name not in OF_THE_HARDWARE_FORM
        },
    )
