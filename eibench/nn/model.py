"""Operations on whole models: E-I Init in forward order, Dale's law after a step, first input."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Generator, Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from eibench.nn import functional as F
from eibench.nn.ei_init import InitializationError
from eibench.nn.ei_layer import EILayer

M = TypeVar("M", bound=nn.Module)
K = TypeVar("K", bound=nn.Module)


@torch.no_grad()
def initialize(model: M, batch: Tensor, generator: Generator | None = None) -> M:
    """Run E-I Init through `model`, layer by layer in forward order, on one `batch`.

    A single forward pass, in which each E-I layer is initialised from the activity that arrives
    just before it is used; normalising layers elsewhere in the model are left in their mode but
    their running statistics see the batch. A layer that is used more than once is initialised at
    its first use. One that the batch does not reach stays as it was. Of a model in
    `DistributedDataParallel` every process ends with the weights of the first.

    Args:
        model: any module with E-I layers.
        batch: a training batch as the model takes it, [T, B, ...], values >= 0.
        generator: source of randomness for all layers, in forward order.

    Returns:
        The model itself.

    Raises:
        InitializationError: with the name of the layer whose activity is unusable.
    """
    names = {m: name for name, m in model.named_modules() if isinstance(m, EILayer)}

    def draw(layer: EILayer, x: Tensor) -> None:
        try:
            layer.initialize(x, generator)
        except InitializationError as error:
            raise InitializationError(f"layer {names[layer]!r}: {error}") from None

    before_first_use(model, batch, EILayer, draw)
    _broadcast_weights(model)
    return model


def _broadcast_weights(model: nn.Module) -> None:
    """Give each process the first one's state, in models that several processes train."""
    for module in model.modules():
        if isinstance(module, DistributedDataParallel):
            group = module.process_group
            first = torch.distributed.get_global_rank(group, 0)
            for tensor in (*module.parameters(), *module.buffers()):
                torch.distributed.broadcast(tensor, first, group)


@torch.no_grad()
def project_(model: nn.Module) -> None:
    """Restore, in place, what must hold after each optimizer step.

    Dale's law: every sign-constrained parameter of `model` is clamped at zero from below, in one
    fused call; layers whose circuit is made without it are left alone. Rows of W_EE that blanket
    inhibition balances are raised instead, which changes nothing but that inhibition. A tensor that
    is parametrized (`torch.nn.utils.parametrize`) keeps its originals where the result is >= 0;
    else they are clamped too.

    Raises:
        ValueError: a parametrization gives negative values of originals that are not.
    """
    layers = [m for m in model.modules() if isinstance(m, EILayer) and m.circuit.dale]
    for layer in layers:
        for weight in layer.balanced():
            F.raise_rows_(weight)
    constrained: list[Tensor] = [p for layer in layers for p in layer.non_negative()]
    if constrained:
        torch._foreach_clamp_min_(constrained, 0.0)
    for layer in layers:
        for name in layer.parametrized():
            _project_parametrized_(layer, name)


def _project_parametrized_(layer: EILayer, name: str) -> None:
    """Clamp the originals of the tensor `name` if it is negative anywhere."""
    if (getattr(layer, name) >= 0).all():
        return
    for original in layer.parametrizations[name].parameters(recurse=False):  # type: ignore[union-attr,index]
        original.clamp_min_(0.0)
    if not (getattr(layer, name) >= 0).all():
        raise ValueError(
            f"{name} breaks Dale's law: its parametrization gives negative values; use one that "
            "does not, or Circuit(dale=False)"
        )


@torch.no_grad()
def before_first_use(
    model: nn.Module, batch: Tensor, kind: type[K], act: Callable[[K, Tensor], object]
) -> None:
    """Run `model` on `batch`; call `act` on each module of `kind` and its input, before its use.

    In forward order, so that a module's input comes from modules that have been acted on. One that
    is used more than once is acted on at its first use, one that the batch does not reach never.
    """
    waiting = {module for module in model.modules() if isinstance(module, kind)}

    def hook(module: K, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
        if module in waiting:
            waiting.remove(module)
            act(module, args[0] if args else next(iter(kwargs.values())))

    hooks = [module.register_forward_pre_hook(hook, with_kwargs=True) for module in waiting]
    try:
        model(batch)
    finally:
        for handle in hooks:
            handle.remove()


def first_input(model: nn.Module, batch: Tensor, kind: type[K]) -> tuple[K, Tensor]:
    """Return the first module of `kind` that a forward pass of `batch` reaches, and its input.

    Raises:
        ValueError: the batch reaches none.
    """
    reached: list[tuple[K, Tensor]] = []
    before_first_use(model, batch, kind, lambda module, x: reached.append((module, x)))
    if not reached:
        raise ValueError(f"the model has no {kind.__name__} that its input reaches")
    return reached[0]
