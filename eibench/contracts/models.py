"""Contracts of model architectures."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from eibench.contracts.base import Broken, require
from eibench.contracts.networks import Size, Spy, activity, loss, make_method
from eibench.errors import shorten_list
from eibench.methods import Method
from eibench.methods.without_norm import NoNormOptions
from eibench.plan.options import METHODS, MODELS, MethodOptions, ModelOptions

SIDES = (1, 2, 4, 8, 16, 32, 64)
"""Heights of the square images that a model is tested with."""
T, B = 2, 3


def methods() -> Iterator[MethodOptions]:
    """Yield every method that needs no options."""
    for cls in METHODS.values():
        if not any(field.is_required() for field in cls.model_fields.values()):
            yield cls()


def build(choice: ModelOptions, method: Any, image: Size, classes: int = 4) -> nn.Module:
    """Build the network of `choice`, with the same random draws at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: nn.Module = MODELS.build(choice, method, image, classes)
    return network


def run(network: nn.Module, method: Method, image: Size) -> torch.Tensor:
    """Return the logits of a network after preparation."""
    x = activity(T, B, image)
    method.prepare(network, x, torch.Generator().manual_seed(1))
    logits: torch.Tensor = network(x)
    return logits


def smallest(choice: ModelOptions) -> int:
    """Return the side of the smallest images that the model accepts."""
    method = make_method(NoNormOptions(), timesteps=T)
    for side in SIDES:
        with contextlib.suppress(Exception):
            run(build(choice, method, (1, side, side)), method, (1, side, side))
            return side
    raise Broken(f"no image of {SIDES[0]} to {SIDES[-1]} pixels a side suits it")


def small_images_are_refused(choice: ModelOptions) -> None:
    """Check that images of every size either work or are refused with a ValueError when it is
    built."""
    method = make_method(NoNormOptions(), timesteps=T)
    hint = "raise a ValueError, in words, for images that are too small"
    for side in SIDES[: SIDES.index(smallest(choice)) + 2]:
        image = (1, side, side)
        try:
            network = build(choice, method, image)
        except ValueError:
            continue
        except Exception as error:
            raise Broken(f"it cannot be built for images of {side}x{side}; {hint}") from error
        try:
            run(network, method, image)
        except Exception as error:
            raise Broken(f"it is built for images of {side}x{side} and fails; {hint}") from error


def logits_have_their_shape(choice: ModelOptions) -> None:
    """Check that logits are [T, B, classes], for one and three channels and for images that are
    not square."""
    side = smallest(choice)
    method = make_method(NoNormOptions(), timesteps=T)
    for image, classes in [((1, side, side), 2), ((3, side, 2 * side), 7)]:
        logits = run(build(choice, method, image, classes), method, image)
        require(
            tuple(logits.shape) == (T, B, classes),
            f"logits are {list(logits.shape)} and not {[T, B, classes]} for images of {image}",
        )


def every_method_fits(choice: ModelOptions) -> None:
    """Check that it works over every method, with a finite gradient for each parameter."""
    side = max(8, smallest(choice))  # E-I Init needs activity that varies
    image = (3, side, side)  # weight standardisation needs kernels of more than one weight
    for options in methods():
        method = make_method(options, timesteps=T)
        try:
            network = build(choice, method, image)
            method.prepare(network, activity(T, B, image), torch.Generator().manual_seed(1))
            loss(network, activity(T, B, image)).backward()
        except Exception as error:
            raise Broken(f"it fails over the method {options.label}") from error
        wrong = [
            name
            for name, p in network.named_parameters()
            if p.requires_grad and (p.grad is None or not p.grad.isfinite().all())
        ]
        require(not wrong, f"over {options.label}: no finite gradient for {shorten_list(wrong, 3)}")


def it_is_written_over_a_method(choice: ModelOptions) -> None:
    """Check that synapses, neurons and readout are the method's, and every weight belongs to one
    of them."""
    side = smallest(choice)
    spy = Spy(make_method(NoNormOptions(), timesteps=T))
    network = build(choice, spy, (1, side, side))
    for kind, parts in spy.parts.items():
        require(
            bool(parts), f"it never asks for `method.{kind}`, so methods could not differ there"
        )
    own = {id(p) for parts in spy.parts.values() for part in parts for p in part.parameters()}
    strange = [name for name, p in network.named_parameters() if id(p) not in own]
    require(
        not strange,
        f"{shorten_list(strange, 3)} did not come from the method: make synapses by "
        "`method.conv` and `method.readout`, so that each method can shape them",
    )
    sums = any(branches > 1 for branches in spy.branches)
    require(
        not sums or choice.sums_currents,
        "it adds currents of several branches, so its options need the line `sums_currents = True`",
    )


def weights_follow_the_seed(choice: ModelOptions) -> None:
    """Check that built twice under one seed of torch it has the same weights."""
    side = smallest(choice)
    method = make_method(NoNormOptions(), timesteps=T)
    first, second = (build(choice, method, (1, side, side)).state_dict() for _ in range(2))
    same = first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
    require(same, "two networks under one seed differ: draw weights with torch's generator only")


def builds_without_memory(choice: ModelOptions) -> None:
    """Check that it can be built on the `meta` device, which is how a suite is tried before it
    runs."""
    side = smallest(choice)
    with torch.device("meta"):
        build(choice, make_method(NoNormOptions(), timesteps=T), (1, side, side))


MODEL_CONTRACTS = (
    small_images_are_refused,
    logits_have_their_shape,
    it_is_written_over_a_method,
    every_method_fits,
    weights_follow_the_seed,
    builds_without_memory,
)
