"""`Chain`, `Current` and `TimeDistributed` beside `nn.Sequential`: hooks, replaced parts, memory.

Containers compute an E-I layer with its neuron as one, and one of several equal steps. Nobody may
see a difference but in time.
"""

from __future__ import annotations

import types
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.utils import prune

from eibench.nn import (
    LIF,
    AvgPool2d,
    BatchNorm2d,
    Chain,
    Circuit,
    Current,
    EIConv2d,
    EILayer,
    GroupNorm2d,
    KWinners,
    TDBatchNorm2d,
    TEBatchNorm2d,
    TimeDistributed,
    initialize,
)

T, B = 3, 4


def still(requires_grad: bool = False) -> tuple[Tensor, Tensor]:
    """A static image as repeated steps, and the same copied."""
    frame = torch.rand(B, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    frame.requires_grad_(requires_grad)
    return frame.expand(T, -1, -1, -1, -1), frame.repeat(T, 1, 1, 1, 1)


def layer(divisive: bool = True) -> EIConv2d:
    made = EIConv2d(2, 8, 3, padding=1, circuit=Circuit(divisive=divisive))
    made.initialize(still()[1], torch.Generator().manual_seed(1))
    return made


@pytest.fixture
def fires(monkeypatch: pytest.MonkeyPatch) -> list[EILayer]:
    """Layers that were computed with their neuron."""
    seen: list[EILayer] = []
    fire = EILayer.fire
    monkeypatch.setattr(
        EILayer, "fire", lambda self, x, neuron: seen.append(self) or fire(self, x, neuron)
    )
    return seen


# --- Hooks -------------------------------------------------------------------------------------

Register = Callable[[nn.Module, list[str]], object]
HOOKS: dict[str, Register] = {
    "forward": lambda m, s: m.register_forward_hook(lambda *a: s.append("x")),
    "forward_kwargs": lambda m, s: m.register_forward_hook(
        lambda *a: s.append("x"), with_kwargs=True
    ),
    "always": lambda m, s: m.register_forward_hook(lambda *a: s.append("x"), always_call=True),
    "forward_pre": lambda m, s: m.register_forward_pre_hook(lambda *a: s.append("x")),
    "forward_pre_kwargs": lambda m, s: m.register_forward_pre_hook(
        lambda *a: s.append("x"), with_kwargs=True
    ),
    "full_backward": lambda m, s: m.register_full_backward_hook(lambda *a: s.append("x")),
    "full_backward_pre": lambda m, s: m.register_full_backward_pre_hook(lambda *a: s.append("x")),
}
GLOBAL: dict[str, Callable[..., object]] = {
    "forward": torch_module.register_module_forward_hook,
    "forward_pre": torch_module.register_module_forward_pre_hook,
    "full_backward": torch_module.register_module_full_backward_hook,
    "full_backward_pre": torch_module.register_module_full_backward_pre_hook,
}


@pytest.mark.parametrize("kind", HOOKS)
@pytest.mark.parametrize("watched", ["layer", "neuron"])
def test_every_hook_is_called(kind: str, watched: str, fires: list[EILayer]) -> None:
    seen: list[str] = []
    model = Chain(OrderedDict(layer=layer(), neuron=LIF()))
    x = still()[1].requires_grad_()
    handle = HOOKS[kind](getattr(model, watched), seen)
    model(x).sum().backward()
    assert seen == ["x"]
    assert not fires
    handle.remove()
    model(x).sum().backward()
    assert len(fires) == len(seen) == 1


@pytest.mark.parametrize("kind", GLOBAL)
def test_every_global_hook_is_called(kind: str, fires: list[EILayer]) -> None:
    seen: list[nn.Module] = []
    model, x = Chain(layer(), LIF()), still()[1].requires_grad_()
    handle = GLOBAL[kind](lambda module, *_: seen.append(module))
    try:
        model(x).sum().backward()
    finally:
        handle.remove()
    assert {id(m) for m in seen} == {id(m) for m in model.modules()}
    assert not fires


def test_a_hook_may_change_what_goes_on() -> None:
    model, x = Chain(layer(), LIF()), still()[1]
    model[0].register_forward_hook(lambda m, i, out: 0 * out)
    assert not model(x).any()


@pytest.mark.parametrize("kind", ["forward", "forward_pre"])
@pytest.mark.parametrize("whole", [True, False])
def test_hooks_see_every_step(kind: str, whole: bool) -> None:
    """The wrapper's hooks see [T, B, ...], the module's T * B samples, repeated or not."""
    shapes: list[tuple[int, ...]] = []
    current = Current(TimeDistributed(nn.Conv2d(2, 3, 1)), BatchNorm2d(3))
    part = current[0] if whole else current[0].module
    note = {
        "forward": lambda m, i, out: shapes.append(tuple(out.shape[:2])),
        "forward_pre": lambda m, i: shapes.append(tuple(i[0].shape[:2])),
    }[kind]
    getattr(part, f"register_{kind}_hook")(note)
    for x in still():
        current(x)
        Chain(current, LIF())(x)
        Chain(*current, LIF())(x)
    assert len(set(shapes)) == 1
    assert shapes[0][0] == (T if whole else T * B)
    assert len(shapes) == 6


def test_hooks_on_the_chain_itself(fires: list[EILayer]) -> None:
    seen: list[tuple[int, ...]] = []
    model = Chain(layer(), LIF())
    model.register_forward_hook(lambda m, i, out: seen.append(tuple(out.shape)))
    model(still()[0])
    assert seen == [(T, B, 8, 6, 6)]
    assert fires


# --- Replaced parts ----------------------------------------------------------------------------


class Loud(EIConv2d):
    """A subclass with another `forward`."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 100


class Twice(LIF):
    """A neuron with another `forward`."""

    def forward(self, current: Tensor) -> Tensor:
        return 2 * super().forward(current)


def test_a_subclass_s_forward_counts(fires: list[EILayer]) -> None:
    x = still()[0]
    loud = Loud(2, 8, 3, padding=1)
    loud.initialize(x)
    assert (Chain(loud, LIF(tau=1.0))(x) == 1).all()
    assert set(Chain(layer(), Twice())(x).unique().tolist()) == {0.0, 2.0}
    assert not fires


@pytest.mark.parametrize("which", [0, 1])
def test_an_instance_s_forward_counts(which: int, fires: list[EILayer]) -> None:
    model, x = Chain(layer(), LIF()), still()[0]
    model[which].forward = types.MethodType(lambda self, x: torch.full_like(x, 7), model[which])
    out = model(x)
    assert out.unique().tolist() == ([7.0] if which else out.unique().tolist())
    assert not fires


class Noisy(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.randn(len(x), self.out_features)


class NoisyNorm(BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.randn_like(x)


class NoisyLayer(EIConv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.randn_like(super().forward(x))


def differ(y: Tensor) -> bool:
    return not torch.equal(y[0], y[1])


def test_noise_differs_between_steps() -> None:
    x = torch.rand(B, 8).expand(T, -1, -1)
    assert differ(TimeDistributed(Noisy(8, 3))(x))
    assert differ(Chain(TimeDistributed(Noisy(8, 3)), LIF(tau=1.0, threshold=0.1))(x))
    assert differ(TimeDistributed(nn.Dropout(0.5))(x))
    maps, conv = still()[0], TimeDistributed(nn.Conv2d(2, 2, 1))
    assert differ(Current(conv, NoisyNorm(2))(maps))
    assert differ(Chain(conv, NoisyNorm(2))(maps))
    noisy = NoisyLayer(2, 8, 3)
    noisy.initialize(maps)
    assert differ(noisy(maps))
    assert differ(Chain(noisy, nn.Identity())(maps))


class DropWeights(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return nn.functional.dropout(weight, 0.5)


@pytest.mark.parametrize("how", ["hook", "forward", "prune", "parametrize", "weight_norm"])
def test_changed_modules_are_called_as_they_are(how: str) -> None:
    """All samples of all steps reach a module that is not torch's own any more."""
    conv, seen = nn.Conv2d(2, 3, 1), []
    if how == "hook":
        conv.register_forward_hook(lambda m, i, out: out + torch.randn_like(out))
    elif how == "forward":
        plain = conv.forward
        conv.forward = lambda x: plain(x) + torch.randn(len(x), 3, 6, 6)
    elif how == "prune":
        prune.random_unstructured(conv, "weight", 0.5)
    elif how == "parametrize":
        nn.utils.parametrize.register_parametrization(conv, "weight", DropWeights())
    else:
        nn.utils.parametrizations.weight_norm(conv)
    forward = conv.forward
    conv._conv_forward = lambda x, *rest: (
        seen.append(len(x)) or type(conv)._conv_forward(conv, x, *rest)
    )
    y = TimeDistributed(conv)(still()[0])
    assert y.shape == (T, B, 3, 6, 6)
    assert seen == [T * B]
    assert differ(y) == (how in ("hook", "forward"))
    assert conv.forward == forward


# --- Memory ------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[], nn.Module]] = {
    "ei": layer,
    "ei_subtractive": lambda: layer(False),
    "conv": lambda: TimeDistributed(nn.Conv2d(2, 8, 3)),
    "pool": lambda: TimeDistributed(AvgPool2d(2)),
    "current": lambda: Current(TimeDistributed(nn.Conv2d(2, 8, 3)), BatchNorm2d(8)),
    "current_tebn": lambda: Current(TimeDistributed(nn.Conv2d(2, 8, 3)), TEBatchNorm2d(8, T)),
    "tdbn": lambda: TDBatchNorm2d(2),
    "groupnorm": lambda: GroupNorm2d(2, 2),
    "winners": lambda: KWinners(2, 0.5),
    "lif": lambda: LIF(threshold=0.2),
    "chain": lambda: Chain(layer(), LIF()),
    "chain_of_currents": lambda: Chain(TimeDistributed(nn.Conv2d(2, 8, 3)), BatchNorm2d(8)),
    "nested": lambda: Chain(Chain(TimeDistributed(nn.Conv2d(2, 8, 3))), GroupNorm2d(8, 2)),
}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("copied", [False, True])
def test_results_can_be_written_to(name: str, copied: bool) -> None:
    """A write acts on one step alone, and gradients are those of the written values."""
    x = still()[copied]
    torch.manual_seed(0)
    part = PARTS[name]()
    with torch.no_grad():
        y = part(x)
        one = y[1].clone()
        y[0] = 7
        assert torch.equal(y[1], one)
    y = part(x.detach().requires_grad_())
    y[0] = 0
    y.mul_(2)
    y.square().sum().backward()
    nn.Sequential(part, nn.ReLU(inplace=True))(x).sum()


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("training", [True, False])
def test_repeated_steps_change_nothing(name: str, training: bool) -> None:
    """Results, gradients and state are those of copied steps."""
    found = []
    for static in (True, False):
        torch.manual_seed(0)
        x = still(requires_grad=True)[not static]
        part = PARTS[name]().train(training)
        y = part(x)
        (y * torch.arange(1.0, y.numel() + 1).view(y.shape) / y.numel()).sum().backward()
        grads = [p.grad for p in part.parameters()]
        found.append([y.detach(), *grads, *part.state_dict().values()])
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    seen: list[int] = []
    conv2d = nn.functional.conv2d
    with monkeypatch.context() as patch:
        patch.setattr(
            nn.functional, "conv2d", lambda x, *rest: seen.append(len(x)) or conv2d(x, *rest)
        )
        yield seen


@pytest.mark.parametrize("norm", [BatchNorm2d, lambda n: TEBatchNorm2d(n, T), None])
def test_the_first_layer_is_computed_once(
    norm: Callable[[int], nn.Module] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    conv = TimeDistributed(nn.Conv2d(2, 8, 3))
    model = Chain(Current(conv, norm(8)) if norm else conv, LIF())
    with counted(monkeypatch) as seen:
        model(still()[0])
    assert seen == [B]


# --- nn.Sequential -----------------------------------------------------------------------------


def test_slices_names_and_nesting(fires: list[EILayer]) -> None:
    x = still()[0]
    model = Chain(OrderedDict(conv=layer(), neuron=LIF(), pool=TimeDistributed(AvgPool2d(2))))
    plain = nn.Sequential(OrderedDict(model.named_children()))
    torch.testing.assert_close(model(x), plain(x))
    assert type(model[:2]) is Chain
    torch.testing.assert_close(model[:2](x), plain[:2](x))
    torch.testing.assert_close(model[1:](plain[0](x)), plain(x))
    torch.testing.assert_close(Chain(model[:1], model[1:])(x), plain(x))
    model.append(nn.Flatten(2))
    assert model(x).shape == (T, B, 72)
    assert model.conv is model[0]
    assert len(fires) == 3
    del model[1]
    assert model(x).shape == (T, B, 72)
    assert torch.equal(Chain()(x), x)


def test_what_is_no_tensor_passes() -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    class Add(nn.Module):
        def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
            return pair[0] + pair[1]

    x = still()[0]
    assert torch.equal(Chain(Pair(), Add())(x), 2 * x)
    assert torch.equal(Current(Pair(), Add())(x), 2 * x)


def test_initialisation_through_containers() -> None:
    """Hooks make each layer run by itself; a static image may be a step in the container."""
    model = Chain(EIConv2d(2, 8, 3), LIF(), Chain(EIConv2d(8, 8, 3), LIF()))
    initialize(model, still()[0])
    assert model(still()[0]).any()
