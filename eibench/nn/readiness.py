"""The state "weights have been drawn" of a layer: one buffer, whoever writes to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from eibench.nn.autograd import tracing
from eibench.nn.checks import require_activity
from eibench.nn.ei_init import InitializationError


class NotInitializedError(RuntimeError):
    """An E-I layer was used before E-I Init."""


class _FlagReading(NamedTuple):
    """The buffer as it was last read."""

    flag: Tensor
    version: int
    """Number of writes to it; -1 where torch does not count."""
    value: bool


class DrawnFromData(nn.Module):
    """A module whose weights are drawn from a first batch of activity: base of `EILayer`.

    The buffer `initialized` is 1 afterwards and 0 before. It is a float, so that averages of
    networks (`AveragedModel`, EMA) can average it; each average that includes drawn weights is
    above 0 and counts as initialised. It follows state dicts, copies and moves between devices. It
    is read where it was replaced or written to, so no step waits for a device. A module that leaves
    the `meta` device (`to_empty`) has lost its weights: the buffer is 0 again.
    """

    initialized: Tensor
    _reading: _FlagReading | None = None

    def __init__(self, receptive_field: tuple[int, ...]) -> None:
        super().__init__()
        self.receptive_field = receptive_field
        self._drawn: tuple[str, ...] = ()  # names of the parameters that are drawn
        self.register_buffer("initialized", torch.tensor(0.0))
        self._mark(False)

    def is_initialized(self) -> bool:
        """Return whether the weights have been drawn or loaded."""
        flag, last = self.initialized, self._reading
        if tracing():  # values cannot be read, and the buffer may be another's
            return self._known(flag, last)
        known = last is not None and last.flag is flag and last.version == _version(flag)
        if last is None or not (known and last.value and last.version >= 0):
            last = self._reading = _FlagReading(flag, _version(flag), 0 < float(flag) < 2)
        return last.value

    def _known(self, flag: Tensor, last: _FlagReading | None) -> bool:
        """Return the last reading; True where the buffer has been written to or lent since."""
        if last is None or last.version < 0:
            return True
        if torch.compiler.is_dynamo_compiling():  # which cannot follow versions
            return last.value
        if last.flag._version != last.version:
            return True
        lent = torch._C._are_functorch_transforms_active() and flag is not last.flag
        return lent or last.value

    def parametrized(self) -> list[str]:
        """Return the tensors under Dale's law that `torch.nn.utils.parametrize` computes."""
        return [name for name in self._drawn if name != "bias" and is_parametrized(self, name)]

    def _mark(self, value: bool) -> None:
        """Set the buffer."""
        with torch.no_grad():
            self.initialized.fill_(float(value))
        flag = self.initialized
        self._reading = None if flag.is_meta else _FlagReading(flag, _version(flag), value)

    def _require_usable(self, x: Tensor) -> None:
        """Raise an error unless the layer is initialised and `x` is activity that fits it."""
        require_activity(self, x, self.receptive_field)
        if not x.is_meta and not self.is_initialized():  # a shape alone can pass
            raise NotInitializedError(
                f"{type(self).__name__} is not initialised: call eibench.nn.initialize(model, "
                "batch), or .initialize(x) on the layer, with a batch of its input [T, B, ...]"
            )

    def _require_drawable(self, x: Tensor) -> None:
        """Raise InitializationError unless weights can be drawn for `x`."""
        for name in self._drawn:
            if name not in self._parameters:
                raise InitializationError(
                    f"E-I Init sets {name}, which is no parameter of the layer any more "
                    "(parametrized, pruned or weight norm): initialise before"
                )
        try:
            require_activity(self, x, self.receptive_field)
        except (ValueError, TypeError) as error:
            raise InitializationError(str(error)) from None

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        if self.initialized.dtype == torch.bool:  # assigned, of a state by an earlier version
            self.initialized = self.initialized.float()
        self._reading = None
        if not self.initialized.is_meta and not tracing():
            self.is_initialized()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        lost = self.initialized.is_meta
        super()._apply(fn, recurse)
        if self.initialized.is_meta:
            self._reading = None
        elif lost:
            self._mark(False)
        return self


def _version(flag: Tensor) -> int:
    return -1 if flag.is_inference() else flag._version
