"""Layers under `torch.export`, `torch.jit.trace`, `torch.compile` and `torch.func`.

All of these follow torch's own operations. What they give is what the layers give.
"""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, stack_module_state, vmap

from eibench.nn import (
    ASLIF,
    LIF,
    MPBNLIF,
    AvgPool2d,
    Balance,
    BatchNorm2d,
    BatchNormPerStep2d,
    BNTT2d,
    Chain,
    Circuit,
    Current,
    DANNConv2d,
    EIConv2d,
    EILinear,
    GroupNorm2d,
    KWinners,
    NotInitializedError,
    TAB2d,
    TDBatchNorm2d,
    TEBatchNorm2d,
    TimeDistributed,
    WSConv2d,
    initialize,
)

T = 3
CIRCUITS = {
    "paper": Circuit(),
    "subtractive": Circuit(divisive=False),
    "divisive": Circuit(subtractive=False),
    "excitation": Circuit(subtractive=False, divisive=False),
    "spiking": Circuit(inhibitory_cell="lif"),
    "signed": Circuit(dale=False),
    "true_derivative": Circuit(straight_through=False),
    "epsilon": Circuit(stabilization="epsilon"),
    "leak": Circuit(stabilization="leak"),
}
CASES: dict[str, Callable[[], nn.Module]] = {
    "bn": lambda: BatchNorm2d(2),
    "per_step": lambda: BatchNormPerStep2d(2),
    "tdbn": lambda: TDBatchNorm2d(2),
    "tebn": lambda: TEBatchNorm2d(2, T),
    "bntt": lambda: BNTT2d(2, T),
    "tab": lambda: TAB2d(2, T),
    "groupnorm": lambda: GroupNorm2d(2, 2),
    "mpbn": lambda: MPBNLIF(2, threshold=0.3),
    "aslif": lambda: ASLIF(2, 1.2, 0.9, threshold=0.3),
    "dann": lambda: DANNConv2d(2, 4, 3, epsilon=0.1),
    "winners": lambda: KWinners(2, 0.5),
    "pool": lambda: TimeDistributed(AvgPool2d(2)),
    "weight_standardization": lambda: TimeDistributed(WSConv2d(2, 4, 3)),
    "current": lambda: Current(TimeDistributed(nn.Conv2d(2, 4, 3)), BatchNorm2d(4)),
    "atan": lambda: LIF(threshold=0.3, reset="hard", surrogate="atan", detach_reset=False),
    "blanket": lambda: EIConv2d(2, 4, 3, balance=Balance(1.0, True)),
    **{f"ei_{k}": lambda c=c: EIConv2d(2, 4, 3, circuit=c) for k, c in CIRCUITS.items()},
}


def activity(seed: int) -> Tensor:
    """Sparse, so that samples and receptive fields are silent."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(T, 3, 2, 6, 6, generator=generator)
    x = x * (torch.rand(x.shape, generator=generator) < 0.3)
    x[:, :, :, 3:] = 0
    x[1, 0] = 0
    return x


def network(name: str) -> Chain:
    torch.manual_seed(0)
    model = Chain(CASES[name](), LIF(threshold=0.3))
    return initialize(model, activity(0), torch.Generator().manual_seed(1)).eval()


def traced(model: nn.Module, x: Tensor) -> nn.Module:
    """`torch.jit.trace`, saved and loaded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored = io.BytesIO()
        torch.jit.save(torch.jit.trace(model, x, check_trace=False), stored)
    stored.seek(0)
    return torch.jit.load(stored)


WAYS: dict[str, Callable[[nn.Module, Tensor], Callable[[Tensor], Tensor]]] = {
    "export": lambda model, x: torch.export.export(model, (x,)).module(),
    "trace": traced,
    "vmap": lambda model, x: lambda y: vmap(model)(torch.stack([x, y]))[1],
}


FAST = [(way, name, False) for way in ("trace", "vmap") for name in CASES]
FAST += [("export", "ei_paper", False), ("trace", "ei_paper", True)]
EVERY = [(way, name, gradients) for way in WAYS for name in CASES for gradients in (True, False)]


@pytest.mark.parametrize(
    ("way", "name", "gradients"),
    [pytest.param(*c, marks=[] if c in FAST else pytest.mark.slow) for c in EVERY],
)
def test_it_is_followed(way: str, name: str, gradients: bool) -> None:
    """Recorded on one batch, a static image, and run on another."""
    model, other = network(name), activity(2)
    static = activity(1)[:1].expand(T, -1, -1, -1, -1)
    with torch.set_grad_enabled(gradients):
        found = WAYS[way](model, static)(other)
        expected = model(other)
    assert expected.any() and (found != expected).float().mean() < 0.01  # rounding at thresholds


@pytest.mark.parametrize("name", CASES)
def test_gradients_of_torch_func(name: str) -> None:
    """Plain equations have the gradients of the hand-written functions, on silent parts too."""
    model, x = network(name).double(), activity(1).double()
    weight = torch.rand_like(model(x))
    state, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    found = grad(
        lambda s, x: (functional_call(model, ({**s, **buffers},), (x,)) * weight).sum(), (0, 1)
    )(state, x)
    x.requires_grad_()
    (model(x) * weight).sum().backward()
    torch.testing.assert_close(found[0], {n: p.grad for n, p in state.items()})
    torch.testing.assert_close(found[1], x.grad)


@pytest.mark.parametrize("name", ["ei_paper", "atan", "pool"])
def test_forward_mode(name: str) -> None:
    """A directional derivative is the gradient's component."""
    model, x = network(name).double(), activity(1).double()
    tangent, weight = torch.rand_like(x), torch.rand_like(model(x))
    found = (jvp(model, (x,), (tangent,))[1] * weight).sum()
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, tangent)
        other = torch.autograd.forward_ad.unpack_dual(model(dual)).tangent
    x.requires_grad_()
    (expected,) = torch.autograd.grad((model(x) * weight).sum(), x)
    torch.testing.assert_close(found, (expected * tangent).sum())
    torch.testing.assert_close((other * weight).sum(), found)


def test_an_ensemble() -> None:
    """torch's own recipe: states side by side, a skeleton on the meta device."""
    models = [network("ei_paper") for _ in range(2)]
    with torch.no_grad():
        models[1][0].bias.add_(0.5)
    states, x = stack_module_state(models), activity(2)
    skeleton = copy.deepcopy(models[0]).to("meta")
    found = vmap(lambda p, b: functional_call(skeleton, (p, b), (x,)))(*states)
    for one, model in zip(found, models, strict=True):
        assert (one != model(x)).float().mean() < 0.01


@pytest.mark.parametrize(
    "how", ["export", "trace", pytest.param("compile", marks=pytest.mark.slow)]
)
def test_initialisation_comes_first(how: str) -> None:
    model, x = Chain(EIConv2d(2, 4, 3), LIF()), activity(0)
    ways = {**WAYS, "compile": lambda model, x: torch.compile(model, backend="eager")(x)}
    with pytest.raises(NotInitializedError, match="is not initialised: call"):
        ways[how](model, x)


@pytest.mark.slow
def test_compile() -> None:
    """One graph, forward and backward; another batch, another number of samples."""
    model = Chain(EIConv2d(2, 4, 3), LIF(), nn.Flatten(2), EILinear(64, 3, readout=True))
    initialize(model, activity(0))
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    for x in (activity(1), activity(2)[:, :2]):
        grads = []
        for one in (compiled, model):
            model.zero_grad()
            one(x).square().sum().backward()
            grads.append([p.grad for p in model.parameters()])
        torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-3)
    torch._dynamo.reset()


def test_symbolic_tracing_says_that_it_cannot() -> None:
    with pytest.raises(torch.fx.proxy.TraceError, match="control flow"):
        torch.fx.symbolic_trace(network("ei_paper"))
