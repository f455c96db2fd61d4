"""Counter of a network's operations, at the level where torch hands them to its kernels.

It follows which tensors depend on the network's input: their memory is marked, and so is all that
an operation makes of them. Operations on weights alone are left out, as they are done once. An
operation that it does not know is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from eibench.cost.products import ProductCount, count_product
from eibench.cost.rules import FREE, RULES, Call
from eibench.errors import UserError, did_you_mean


@dataclass
class CountedProduct:
    """A product of one call of a module."""

    module: str
    """Path of the module in the network."""
    synapse: bool
    """It is the first product of the module's call, so what NeuroBench counts."""
    count: ProductCount


@dataclass
class Counts:
    """All that was counted."""

    products: list[CountedProduct] = field(default_factory=list)
    """In the order of the calls."""
    elementwise: dict[str, Counter[str]] = field(default_factory=dict)
    """Other operations by module and kind."""
    outputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Shape of each module's last output."""


@dataclass
class _Frame:
    """A call of a module that has not ended."""

    module: str
    products: int = 0


class OperationCounter(TorchDispatchMode):
    """Context that counts the operations of `network` on the activity `x` given to `watch`.

    Raises:
        UserError: an operation on activity is unknown.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.counts = Counts()
        self.frames = [_Frame("")]
        self.marked: set[StorageWeakRef] = set()

    @contextmanager
    def watch(self, x: Tensor) -> Iterator[Counts]:
        """Count while the context lasts; `x` is the network's input, each step in its own memory.

        Hooks on every module make each layer compute by itself.
        """
        self.marked = {_memory(x)}
        modules = self.network.named_modules()
        hooks = [hook for name, module in modules for hook in self._hooks(name, module)]
        try:
            with torch.no_grad(), self:
                yield self.counts
        finally:
            for hook in hooks:
                hook.remove()
            self.frames = [_Frame("")]
            self.marked = set()

    def _hooks(self, name: str, module: nn.Module) -> Iterator[Any]:
        def begin(*_: Any) -> None:
            self.frames.append(_Frame(name))

        def end(_module: nn.Module, _inputs: Any, out: Any) -> None:
            self.frames.pop()
            if isinstance(out, Tensor):
                self.counts.outputs[name] = tuple(out.shape)

        yield module.register_forward_pre_hook(begin)
        yield module.register_forward_hook(end)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        given = [x for x in tree_leaves((args, options)) if isinstance(x, Tensor)]
        reads = any(map(self._is_activity, given))
        name = _name(func)
        known = not reads or name in FREE or name in RULES or name in _PRODUCTS
        if not known and (out := self._decomposed(func, args, options)) is not NotImplemented:
            return out
        before = self._marks(func, args, options) if reads else ()
        out = func(*args, **options)
        if reads:
            self._count(name, func, Call(args, options, out, self._is_activity))
            self.marked |= {*before, *(_memory(x) for x in tree_leaves(out) if _is_tensor(x))}
        return out

    def _decomposed(self, func: Any, args: Any, options: dict[str, Any]) -> Any:
        """Return the result of `func` by the operations that it stands for, counted."""
        with self:
            return func.decompose(*args, **options)

    def _marks(self, func: Any, args: Any, options: dict[str, Any]) -> list[StorageWeakRef]:
        """Return the memory that `func` writes to."""
        found = []
        for i, known in enumerate(func._schema.arguments):
            if known.alias_info is not None and known.alias_info.is_write:
                value = args[i] if i < len(args) else options.get(known.name)
                found += [_memory(x) for x in tree_leaves(value) if _is_tensor(x)]
        return found

    def _count(self, name: str, func: Any, call: Call) -> None:
        """Add the cost of one operation on activity."""
        frame = self.frames[-1]
        place = frame.module or "the network"
        if name in FREE:
            return
        try:
            product = count_product(name, call.args, call.out, call.is_activity)
            if product is not None:
                frame.products += 1
                found = CountedProduct(frame.module, frame.products == 1, product)
                self.counts.products.append(found)
                return
            cost = _rule(name, func)(call)
        except ValueError as error:
            raise UserError(f"{place}: cannot count the operations of {error}") from None
        self.counts.elementwise.setdefault(frame.module, Counter()).update(cost)

    def _is_activity(self, value: Any) -> bool:
        return _is_tensor(value) and _memory(value) in self.marked


_PRODUCTS = ("convolution", "mm", "bmm", "addmm", "baddbmm")


def _rule(name: str, func: Any) -> Callable[[Call], dict[str, int]]:
    if name not in RULES:
        hint = did_you_mean(name, [*RULES, *FREE, *_PRODUCTS])
        raise ValueError(f"{func}, which is no operation that has a known cost{hint}")
    return RULES[name]


def _name(func: Any) -> str:
    """Return the name of an operation, without variant and the mark of one in place."""
    name = str(func.overloadpacket.__name__)
    return name[:-1] if name.endswith("_") else name


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _memory(x: Tensor) -> StorageWeakRef:
    return StorageWeakRef(x.untyped_storage())
