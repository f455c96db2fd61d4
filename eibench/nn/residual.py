"""Residual joins: how the activity of a block meets that of its shortcut."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

CONNECT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda spikes, x: spikes + x,
    "and": lambda spikes, x: spikes * x,
    "iand": lambda spikes, x: (1 - spikes) * x,
}


class SpikesJoined(nn.Module):
    """A block whose body and shortcut both give spikes; activity [T, B, ...] to activity."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, connect: str) -> None:
        super().__init__()
        self.body, self.shortcut, self.connect = body, shortcut, connect

    def forward(self, x: Tensor) -> Tensor:
        return CONNECT[self.connect](self.body(x), self.shortcut(x))

    def extra_repr(self) -> str:
        return f"connect={self.connect!r}"


class CurrentsAdded(nn.Module):
    """A block whose body ends in a current, to which the shortcut is added; activity to spikes."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, neuron: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut, self.neuron = body, shortcut, neuron

    def forward(self, x: Tensor) -> Tensor:
        spikes: Tensor = self.neuron(self.body(x) + self.shortcut(x))
        return spikes
