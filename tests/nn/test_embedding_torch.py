"""E-I layers under torch's tools: parametrizations, pruning, checkpointing, processes, autocast.

And activity that does not fit a layer: one message each.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrize, prune
from torch.utils.checkpoint import checkpoint

from eibench.nn import (
    ASLIF,
    LIF,
    MPBNLIF,
    BatchNorm2d,
    BatchNormPerStep2d,
    BNTT2d,
    Chain,
    EIConv2d,
    EILinear,
    GroupNorm2d,
    InitializationError,
    KWinners,
    NotInitializedError,
    TAB2d,
    TDBatchNorm2d,
    TEBatchNorm2d,
    TimeDistributed,
    first_input,
    initialize,
    project_,
)

T, B = 3, 4


def activity(seed: int = 0) -> Tensor:
    return torch.rand(T, B, 2, 6, 6, generator=torch.Generator().manual_seed(seed))


def network() -> Chain:
    model = Chain(EIConv2d(2, 8, 3), LIF(), nn.Flatten(2), EILinear(128, 3, readout=True))
    return initialize(model, activity(), torch.Generator().manual_seed(0))


def step(model: nn.Module) -> None:
    """A large step, which takes weights below zero."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(activity()).square().sum().backward()
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    project_(model)


# --- Weights that are computed -----------------------------------------------------------------


class Softplus(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.softplus(x)

    def right_inverse(self, y: Tensor) -> Tensor:
        return y.expm1().clamp_min(1e-6).log()


class Drop(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5)


class Minus(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - 1


CHANGES: dict[str, Callable[[EIConv2d], object]] = {
    "softplus": lambda m: parametrize.register_parametrization(m, "weight_ee", Softplus()),
    "dropout": lambda m: parametrize.register_parametrization(m, "weight_ie", Drop()),
    "bias": lambda m: parametrize.register_parametrization(m, "bias", Drop()),
    "weight_norm": lambda m: nn.utils.parametrizations.weight_norm(m, "weight_ee"),
    "spectral_norm": lambda m: nn.utils.parametrizations.spectral_norm(m, "weight_ee"),
    "prune": lambda m: prune.random_unstructured(m, "weight_ee", 0.5),
    "prune_bias": lambda m: prune.random_unstructured(m, "bias", 0.5),
}


@pytest.mark.parametrize("name", CHANGES)
def test_dale_s_law_holds_for_computed_weights(name: str) -> None:
    torch.manual_seed(0)
    model = network()
    CHANGES[name](model[0])
    for _ in range(3):
        step(model)
        with torch.no_grad():
            model(activity())
        for weight in ("weight_ee", "weight_ie", "weight_ei", "gain_i", "gain_e"):
            assert (getattr(model[0], weight) >= 0).all()
    biases = [p for n, p in model[0].named_parameters() if "bias" in n]
    with torch.no_grad():
        for bias in biases:
            bias.fill_(-1)
    project_(model)
    assert len(biases) == 1 and (biases[0] == -1).all()
    assert model(activity()).isfinite().all()


def test_originals_of_a_positive_parametrization_stay_free() -> None:
    model = network()
    CHANGES["softplus"](model[0])
    original = model[0].parametrizations.weight_ee.original
    with torch.no_grad():
        original.fill_(-3)
    project_(model)
    assert (original == -3).all()


def test_a_parametrization_against_dale_s_law_is_refused() -> None:
    model = network()
    parametrize.register_parametrization(model[0], "weight_ee", Minus())
    with pytest.raises(ValueError, match="weight_ee breaks Dale's law"):
        project_(model)


@pytest.mark.parametrize("name", CHANGES)
def test_initialisation_comes_before_a_parametrization(name: str) -> None:
    layer = EIConv2d(2, 8, 3)
    CHANGES[name](layer)
    with pytest.raises(InitializationError, match="initialise before"):
        layer.initialize(activity())


# --- Gradients ---------------------------------------------------------------------------------


def gradients(model: nn.Module, run: Callable[[Tensor], Tensor]) -> list[Tensor]:
    model.zero_grad()
    run(activity().requires_grad_()).square().sum().backward()
    return [p.grad.clone() for p in model.parameters()]


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing(reentrant: bool) -> None:
    model = network()
    found = gradients(model, lambda x: checkpoint(model, x, use_reentrant=reentrant))
    torch.testing.assert_close(found, gradients(model, model))


def test_tied_weights() -> None:
    """A weight of two layers has the gradients of both, and is projected once."""
    one, two = (EILinear(6, 6) for _ in range(2))
    model = initialize(Chain(one, LIF(threshold=0.1), two), torch.rand(T, B, 6))
    two.weight_ee = one.weight_ee
    assert len(list(model.parameters())) == 11
    model(torch.rand(T, B, 6)).sum().backward()
    with torch.no_grad():
        one.weight_ee.sub_(1)
    project_(model)
    assert two.weight_ee is one.weight_ee
    assert (one.weight_ee >= 0).all()


def test_frozen_parameters_stay_as_they_are() -> None:
    model = network()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("bias" in name)
    before = copy.deepcopy(model.state_dict())
    model(activity()).sum().backward()
    project_(model)
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == ("bias" not in name)
        assert torch.equal(parameter, before[name])


@pytest.mark.parametrize("part", ["layer", "chain", "readout", "neuron"])
def test_no_second_derivative_but_a_message(part: str) -> None:
    model, x = network(), activity().requires_grad_()
    run = {
        "layer": model[0],
        "chain": model[:2],
        "readout": model,
        "neuron": model[1],
    }[part]
    (first,) = torch.autograd.grad(run(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.square().sum().backward()


def test_two_backward_passes() -> None:
    model = network()
    out = model(activity()).square().sum()
    out.backward(retain_graph=True)
    once = [p.grad.clone() for p in model.parameters()]
    out.backward()
    torch.testing.assert_close([p.grad for p in model.parameters()], [2 * g for g in once])
    with pytest.raises(RuntimeError, match="second time"):
        out.backward()


# --- E-I Init ----------------------------------------------------------------------------------


def test_a_layer_used_twice_is_drawn_once() -> None:
    layer, x = EILinear(6, 6), torch.rand(T, B, 6)
    initialize(Chain(layer, LIF(threshold=0.1), layer), x, torch.Generator().manual_seed(0))
    alone = EILinear(6, 6)
    alone.initialize(x, torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer.state_dict(), alone.state_dict())


def test_a_layer_that_is_not_reached_says_so_when_it_is() -> None:
    unused = nn.ModuleDict({"used": EILinear(6, 4), "late": EILinear(6, 4)})
    unused.forward = lambda x: unused["used"](x)
    initialize(unused, torch.rand(T, B, 6))
    with pytest.raises(NotInitializedError):
        unused["late"](torch.rand(T, B, 6))


def test_a_model_without_layers_and_one_with_keywords() -> None:
    plain = nn.Linear(6, 4)
    assert initialize(plain, torch.rand(T, B, 6)) is plain

    class Keyword(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = EILinear(6, 4)

        def forward(self, batch: Tensor) -> Tensor:
            return self.layer(x=batch)

    x = torch.rand(T, B, 6)
    model = initialize(Keyword(), x)
    assert model(x).isfinite().all()
    assert torch.equal(first_input(model, x, EILinear)[1], x)


@pytest.mark.parametrize("mode", ["eval", "no_grad", "inference", "autocast"])
def test_modes(mode: str) -> None:
    """Weights are float32 and those of other modes, to the rounding of the activity."""
    made = Chain(EIConv2d(2, 8, 3), LIF(), EIConv2d(8, 4, 3))
    model = made.eval() if mode == "eval" else made
    context = {
        "eval": torch.enable_grad(),
        "no_grad": torch.no_grad(),
        "inference": torch.inference_mode(),
        "autocast": torch.autocast("cpu", torch.bfloat16),
    }[mode]
    with context:
        initialize(model, activity(), torch.Generator().manual_seed(0))
    model.train()(activity()).sum().backward()
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in model.parameters())
    fresh = Chain(EIConv2d(2, 8, 3), LIF(), EIConv2d(8, 4, 3))
    initialize(fresh, activity(), torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.state_dict(), fresh.state_dict(), rtol=0.05, atol=0.05)


def _train(rank: int, folder: str, wrapped: bool) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    torch.manual_seed(rank)
    model: nn.Module = Chain(
        EIConv2d(2, 8, 3), LIF(), nn.Flatten(2), EILinear(128, 3, readout=True)
    )
    if not wrapped and rank == 0:
        initialize(model, activity(rank))
    ddp = DistributedDataParallel(model)
    if wrapped:
        initialize(ddp, activity(rank))
    for seed in range(2):
        ddp(activity(10 * seed + rank)).square().sum().backward()
        with torch.no_grad():
            for parameter in ddp.parameters():
                parameter.sub_(1e-3 * parameter.grad.sign())
        project_(ddp)
    torch.save(model.state_dict(), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize("wrapped", [True, False])
def test_processes_end_with_the_same_weights(wrapped: bool, tmp_path: Path) -> None:
    """Initialised in `DistributedDataParallel`, from another batch each, or before on one alone."""
    mp.spawn(_train, (str(tmp_path), wrapped), nprocs=2)
    states = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    torch.testing.assert_close(*states, rtol=0, atol=0)
    assert states[0]["0.initialized"] == 1


# --- Activity that does not fit ----------------------------------------------------------------

conv, dense = (lambda: EIConv2d(2, 4, 3)), (lambda: EILinear(6, 4))
UNFIT: dict[str, tuple[Callable[[], nn.Module], Tensor, str]] = {
    "no time": (conv, torch.rand(B, 2, 6, 6), r"\[T, B, 2, H, W\].*\[4, 2, 6, 6\].*expand"),
    "no time, dense": (dense, torch.rand(B, 6), r"\[T, B, 6\].*\[4, 6\].*expand"),
    "channels": (conv, torch.rand(T, B, 3, 6, 6), r"\[T, B, 2, H, W\].*\[3, 4, 3, 6, 6\]"),
    "features": (dense, torch.rand(T, B, 5), r"\[T, B, 6\]"),
    "images to dense": (dense, torch.rand(T, B, 2, 6, 6), r"\[T, B, 6\]"),
    "no steps": (dense, torch.rand(0, B, 6), "T >= 1"),
    "float64": (dense, torch.rand(T, B, 6).double(), r"torch.float32.*torch.float64.*\.to\("),
    "uint8": (conv, torch.ones(T, B, 2, 6, 6, dtype=torch.uint8), r"torch.uint8.*\[0, 1\]"),
    "int64": (dense, torch.ones(T, B, 6, dtype=torch.int64), "torch.int64"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_one_message_from_layers(name: str) -> None:
    """The same when it is initialised, with the layer's name, and when it is used."""
    make, x, message = UNFIT[name]
    fresh, used = Chain(make(), LIF()), Chain(make(), LIF())
    with pytest.raises(InitializationError, match=f"^layer '0': .*{message}"):
        initialize(fresh, x)
    good = torch.rand(T, B, *used[0].receptive_field[:1], *[6] * (len(used[0].receptive_field) - 1))
    initialize(used, good)
    for part in (used, used[0]):
        with pytest.raises((ValueError, TypeError), match=message):
            part(x)


def test_activity_that_cannot_initialise() -> None:
    with pytest.raises(InitializationError, match="got 0"):
        conv().initialize(torch.rand(T, 0, 2, 6, 6))
    with pytest.raises(InitializationError, match="minimum of -1"):
        conv().initialize(-torch.ones(T, B, 2, 6, 6))


@pytest.mark.parametrize(
    "make",
    [
        lambda: BatchNorm2d(6),
        lambda: BatchNormPerStep2d(6),
        lambda: TDBatchNorm2d(6),
        lambda: TEBatchNorm2d(6, B),
        lambda: BNTT2d(6, B),
        lambda: TAB2d(6, B),
        lambda: GroupNorm2d(6, 2),
        lambda: MPBNLIF(6),
        lambda: ASLIF(6, 1.0, 1.0),
        lambda: KWinners(2, 0.5),
    ],
)
def test_one_message_from_others(make: Callable[[], nn.Module]) -> None:
    """Maps [B, C, H, W] whose height passes for channels."""
    with pytest.raises(ValueError, match=r"expects \[T, B, .*got shape \[4, 2, 6, 6\].*expand"):
        make()(torch.rand(B, 2, 6, 6))


def test_no_steps_and_no_batch() -> None:
    for part in (LIF(), TimeDistributed(nn.Linear(6, 4))):
        with pytest.raises(ValueError, match="at least one step"):
            part(torch.rand(0, B, 6))
        assert part(torch.rand(T, 0, 6)).shape[:2] == (T, 0)
