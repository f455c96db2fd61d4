"""Each option of `ei` changes what it says and nothing else: a table, written out by hand."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from eibench.methods import ei
from eibench.methods.ei import EIOptions
from eibench.models.chain import PlainOptions, plain
from eibench.nn import Balance, Circuit, EIInit, initialize, project_
from eibench.plan.options import NeuronOptions

EE, IE, EI = "weight_ee", "weight_ie", "weight_ei"
G_I, G_E, B_E, THETA = "gain_i", "gain_e", "bias", "inhibitory_threshold"
DRAWN = {EE, IE}
ALL = {"x", EE, IE, EI, G_I, G_E}


class Row(NamedTuple):
    """What differs between options `base` and `base` with `change`.

    `drawn`: entries of the state after E-I Init with the same generator, in a hidden layer and in
    a readout; one that comes or goes counts. `current` and `gradients`, of layers that carry the
    same state: whether the output differs, and the gradients that do (`x` is the input's)."""

    change: dict
    drawn: tuple[set, set] = (set(), set())
    current: tuple[bool, bool] = (False, False)
    gradients: tuple[set, set] = (set(), set())
    base: dict = {}  # noqa: RUF012


CALIBRATED = {"calibration": "neuron"}
LIF, FIXED = {"inhibitory_cell": "lif"}, {"init_statistics": "fixed"}
LEAK = {"stabilization": "leak"}
EPSILON, GAMMA = {"stabilization": "epsilon"}, {"weight_law": "gamma"}
REPLACED = {"x", EE, EI, G_E}
"""Gradients that a replaced zero reaches: s_I or W_EI is 0 there, so not those of W_IE and g_I."""

TABLE = [
    Row({"ei_ratio": 2}, ({IE, EI, G_I}, {IE, EI}), (True, True), (ALL, ALL - {EE, G_I, G_E})),
    Row(
        {"subtractive": False},
        (set(), {IE, EI}),
        (True, True),
        ({"x", IE, EI, G_I, G_E}, {"x", IE, EI}),
    ),
    Row({"divisive": False}, ({G_I}, set()), (True, False), (ALL, set())),
    Row(EPSILON, current=(True, False), gradients=(REPLACED, set())),
    Row({"stabilization": "none"}, current=(True, False), gradients=(ALL, set())),
    Row({"epsilon": 1e-2}, current=(True, False), gradients=(REPLACED, set()), base=EPSILON),
    Row(LEAK, current=(True, False), gradients=(ALL - {"b"}, set())),
    Row({"leak": 0.1}, current=(True, False), gradients=(ALL - {"b"}, set()), base=LEAK),
    Row({"straight_through": False}, gradients=({"x", IE, EI, G_I}, set())),
    Row({"straight_through": False}, gradients=({EI}, set()), base=EPSILON),
    Row({"kappa": 0.5}, gradients=({EI}, {EI})),
    Row({"dale": False}, gradients=({"x"}, {"x"})),  # of silent positions and samples
    Row(LIF, ({EI, THETA}, {EI, THETA}), (True, True), (ALL, {"x", IE, EI})),
    Row({"inhibitory_tau": 5.0}, ({EI}, {EI}), (True, True), (ALL, {"x", IE, EI}), base=LIF),
    Row(FIXED, (DRAWN | {G_I}, DRAWN)),
    Row({"init_statistics": "kaiming"}, (DRAWN | {G_I}, DRAWN)),
    Row({"init_statistics": "xavier"}, (DRAWN | {G_I}, DRAWN)),
    Row({"init_rate": 0.4}, (DRAWN | {G_I}, DRAWN), base=FIXED),
    Row({"init_rate": 0.4}, base={"silent_layer": "fixed"}),
    Row({"silent_layer": "fixed"}),
    Row({"weight_law": "half_normal"}, (DRAWN, DRAWN)),
    Row({"weight_law": "log_normal"}, (DRAWN, DRAWN)),
    Row({"weight_law": "gamma", "law_shape": 3.0}, (DRAWN, DRAWN)),
    Row({"law_shape": 2.0}, (DRAWN, DRAWN), base=GAMMA),
    Row({"law_match": "second_moment"}, (DRAWN, DRAWN), base={"weight_law": "half_normal"}),
    Row({"weight_scale": 1.5}, (DRAWN, DRAWN)),
    Row({"weight_scale": 1.5}, (DRAWN | {THETA}, DRAWN | {THETA}), base=LIF),
    Row({"gain_scale": 1.5}, ({G_I}, set())),
    Row({"gain_scale": 1.5}, ({G_I}, set()), base={"init_statistics": "kaiming"}),
    Row({"lateral_init": "random"}, ({EI}, {EI})),
    Row({"lateral_init": "sparse"}, ({EI}, {EI})),
    Row({"relay": 2.0}, ({EE}, set())),
    Row({"calibration": "neuron"}, ({G_E, B_E}, set())),
    Row({"calibration_mean": 0.3}, ({B_E}, set()), base=CALIBRATED),
    Row({"calibration_deviation": 0.6}, ({G_E, B_E}, set()), base=CALIBRATED),
    Row({"blanket": 1.0}, current=(True, True), gradients=(ALL - {"b"}, {"x", EE, IE, EI})),
    Row({"unit_rows": True}, ({EE, IE, G_I}, set()), (True, False), (ALL - {"b"}, set())),
    Row(
        {"plasticity": 0.1},
        ({"mean_input"}, set()),
        (True, False),
        ({EE, IE, EI, G_E}, set()),
        {"divisive": False},
    ),
]
by_row = pytest.mark.parametrize("row", TABLE, ids=lambda r: EIOptions(**r.base, **r.change).label)
DIMS = (5, 12)


def method(options: dict):
    neuron = NeuronOptions().model_dump()
    return ei.EI(options=EIOptions(**options), lif=neuron, timesteps=3)


def layers(options: dict) -> tuple[nn.Module, nn.Module]:
    """A hidden layer and a readout, as the method makes them."""
    made = method(options)
    return made.conv(2, 8, 3).double(), made.readout(10, 8).double()


def activity(readout: bool) -> Tensor:
    """[T, B, ...] with positions and samples that are silent."""
    shape = (3, 4, 10) if readout else (3, 4, 2, 6, 6)
    x = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x[1, 2] = 0
    if not readout:
        x[:, 0, :, 3:] = 0
    return x


def drawn(options: dict, which: int) -> dict[str, Tensor]:
    layer = layers(options)[which]
    layer.initialize(activity(bool(which)), torch.Generator().manual_seed(2))
    return {name: v.clone() for name, v in layer.state_dict().items()}


def differ(a: dict[str, Tensor], b: dict[str, Tensor]) -> set[str]:
    """The names of what is in one alone, or not the same to 1 part in 10^12."""

    def same(name: str) -> bool:
        pair = a[name], b[name]
        if pair[0].shape != pair[1].shape:
            return False
        return torch.allclose(*pair, rtol=1e-12, atol=1e-14, equal_nan=True)

    return {n for n in a.keys() | b.keys() if n not in a or n not in b or not same(n)}


def at_work(options: dict, which: int, state: dict[str, Tensor]) -> tuple[Tensor, dict]:
    """Current and gradients of a layer that carries `state`, as far as it has the entries."""
    layer = layers(options)[which]
    fitting = {k: v for k, v in state.items() if k in layer.state_dict()}
    layer.load_state_dict({**layer.state_dict(), **fitting})
    x = activity(bool(which)).requires_grad_()
    current = layer(x)
    weights = torch.rand(current.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(3))
    current.backward(weights)
    named = {name: v.grad for name, v in layer.named_parameters()}
    return current.detach(), {"x": x.grad, **named}


@by_row
def test_what_a_knob_draws(row: Row) -> None:
    for which in (0, 1):
        before, after = drawn(row.base, which), drawn({**row.base, **row.change}, which)
        assert differ(before, after) == row.drawn[which], ("hidden", "readout")[which]


def uneven(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state as training leaves it: gains that differ, and an output without inhibition.

    While all g_I are equal I_div is g_I I_sub, and subtraction no more than a constant -1/g_I."""
    generator = torch.Generator().manual_seed(10)
    for name in sorted(state.keys() & {G_I, G_E, EI}):
        factors = torch.rand(state[name].shape, dtype=torch.float64, generator=generator)
        state[name] *= 0.5 + factors
    if EI in state:
        state[EI][-1] = 0.0
    return state


@by_row
def test_what_a_knob_computes(row: Row) -> None:
    for which in (0, 1):
        options = {**row.base, **row.change}
        states = [uneven(drawn(row.base, which)), uneven(drawn(options, which))]
        if "ei_ratio" not in row.change:  # which has shapes of its own
            states = [max(reversed(states), key=len)] * 2
        before, after = at_work(row.base, which, states[0]), at_work(options, which, states[1])
        changed = bool(differ({"current": before[0]}, {"current": after[0]}))
        assert changed == row.current[which], ("hidden", "readout")[which]
        assert differ(before[1], after[1]) == row.gradients[which], ("hidden", "readout")[which]


def test_subtraction_is_a_constant_while_the_gains_are_equal() -> None:
    """I_div = g_I I_sub, so (I_EE - I_sub) / I_div = I_EE / I_div - 1 / g_I: as E-I Init leaves a
    layer, subtraction shifts a current by a constant wherever there is a divisor."""
    state, x = drawn({}, 0), 0.1 + activity(False)
    with torch.no_grad():
        both = [layers(options)[0] for options in ({}, {"subtractive": False})]
        for layer in both:
            layer.load_state_dict(state)
        shift = both[1](x) - both[0](x)
    torch.testing.assert_close(shift, torch.full_like(shift, 1 / state[G_I][0].item()))


def test_every_option_has_a_row() -> None:
    assert {name for row in TABLE for name in row.change} == set(EIOptions.model_fields)


def test_each_option_is_one_parts() -> None:
    """Every option but one is a field of one of the three, and of no other."""
    fields = [name for part in (Circuit(), EIInit(), Balance()) for name in vars(part)]
    assert sorted([*fields, "ei_ratio"]) == sorted(EIOptions.model_fields)


@by_row
def test_an_option_reaches_every_layer(row: Row) -> None:
    options = EIOptions(**row.base, **row.change)
    for layer in layers({**row.base, **row.change}):
        fields = {**vars(layer.circuit), **vars(layer.init), **vars(layer.balance)}
        assert {**fields, "ei_ratio": options.ei_ratio} == options.model_dump()
        if EI in layer.state_dict():
            assert tuple(layer.weight_ei.shape) == (8, 8 // options.ei_ratio)


# --- Dale's law ------------------------------------------------------------------------------


@by_row
def test_projection(row: Row) -> None:
    """Everything but the bias is clamped at zero, unless the circuit is made without Dale's law;
    a layer beside it keeps its own law. Rows that are balanced exactly are raised to zero."""
    options = {**row.base, **row.change}
    free = not EIOptions(**options).dale
    model = nn.ModuleList([*layers(options), *layers({})])
    with torch.no_grad():
        for v in model.parameters():
            v.copy_(torch.randn(v.shape, generator=torch.Generator().manual_seed(4)))
    before = {name: v.clone() for name, v in model.named_parameters()}
    project_(model)
    for name, v in model.named_parameters():
        kept = name.endswith("bias") or (free and name[0] in "01")
        expected = before[name] if kept else before[name].clamp(min=0)
        if EIOptions(**options).blanket == 1 and name[0] in "01" and name.endswith(EE):
            expected = before[name] - before[name].flatten(1).amin(1).view(-1, *[1] * (v.dim() - 1))
        assert torch.equal(v, expected), name


# --- In a network ----------------------------------------------------------------------------


def network(options: dict) -> tuple:
    torch.manual_seed(0)
    made = method(options)
    return made, plain(made, (2, 8, 8), 3, PlainOptions(depth=3, width=8, pools=1))


def trained(options: dict, x: Tensor) -> nn.Module:
    """A float32 network after three steps of SGD on `x`, prepared on another batch."""
    made, model = network(options)
    generator = torch.Generator().manual_seed(5)
    made.prepare(model, torch.rand(3, 8, 2, 8, 8, generator=generator), generator)
    optimizer = torch.optim.SGD(made.param_groups(model, 5e-4), lr=0.05, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        labels = torch.arange(x.shape[1]) % 3
        nn.functional.cross_entropy(model(x).mean(0), labels).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        made.project(model)
    return model


def silent_fixed(options: dict) -> dict:
    """Options under which a silent layer is no error: idle where nothing is measured."""
    if options.get("init_statistics", "data") != "data":
        return options
    return {"silent_layer": "fixed", **options}


@by_row
def test_training_stays_finite(row: Row) -> None:
    """Frames with a black border: silent positions in every sample."""
    options = {**row.base, **row.change}
    x = torch.rand(1, 6, 2, 8, 8, generator=torch.Generator().manual_seed(6)).repeat(3, 1, 1, 1, 1)
    x[..., :3], x[:, 5] = 0, 0
    model = trained(silent_fixed(options), x)
    finite = all(v.isfinite().all() for v in model.parameters())
    assert finite == (options.get("stabilization") != "none")


def test_without_stabilization_training_without_silence_is_finite() -> None:
    """One layer whose every divisor is positive: S has nothing to do, and its absence no effect."""
    made = method({"stabilization": "none"})
    layer = made.conv(2, 8, 3)
    x = 0.1 + torch.rand(3, 4, 2, 6, 6, generator=torch.Generator().manual_seed(7))
    initialize(layer, x, torch.Generator().manual_seed(8))
    layer(x).square().sum().backward()
    assert all(v.grad.isfinite().all() for v in layer.parameters())


CIRCUIT_ONLY = [
    {"stabilization": "epsilon"},
    {"straight_through": False},
    {"kappa": 0.0},
    {"dale": False},
    {"silent_layer": "fixed"},
]


@pytest.mark.parametrize("options", CIRCUIT_ONLY, ids=str)
def test_the_whole_network_starts_the_same(options: dict) -> None:
    """Knobs of the backward pass and of Dale's law leave every draw of a network as it is."""
    states = []
    for choice in ({}, options):
        made, model = network(choice)
        generator = torch.Generator().manual_seed(9)
        made.prepare(model, torch.rand(3, 8, 2, 8, 8, generator=generator), generator)
        states.append(model.state_dict())
    assert differ(*states) == set()
