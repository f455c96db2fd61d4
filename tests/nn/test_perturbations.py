"""Perturbations of a network's weights, cells, neurons and spikes: values by hand, properties."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from eibench.nn import LIF, Chain, Circuit, EIConv2d, EILayer, EILinear
from eibench.nn.hardware import (
    form_words,
    hardware_form,
    inhibited_layers,
    neurons,
    synaptic_weights,
)
from eibench.nn.perturbations import PERTURBATIONS, quantized
from eibench.plan.conditions import CONDITIONS
from eibench.plan.options import DataShape
from eibench.plan.spec import RunSpec
from eibench.training.build import make_method, make_network
from eibench.training.evaluate import negative_weights
from eibench.training.perturbed import perturbed, words_of_form

METHODS = {
    "batchnorm": "batchnorm",
    "bntt": "bntt",
    "dann": "dann",
    "ei": "ei",
    "blanket": {"name": "ei", "preset": "blanket"},
    "divisive blanket": {"name": "ei", "blanket": 0.5},
    "spiking cells": {"name": "ei", "inhibitory_cell": "lif"},
    "mpbn": "mpbn",
    "no_norm": {"name": "no_norm", "init": "fluctuation"},
    "spikeinit": "spikeinit",
    "weight_standardization": "weight_standardization",
    "wta": "wta",
}
INHIBITED = ("dann", "ei", "blanket", "divisive blanket", "spiking cells")
IMAGES = torch.rand(3, 1, 8, 8, generator=torch.manual_seed(3)).double().expand(4, 3, 1, 8, 8)


def chance(name: str = "") -> torch.Generator:
    return torch.Generator().manual_seed(sum(map(ord, name)))


@cache
def network(name: str) -> nn.Module:
    """A network with weights and statistics as a run has them, in double precision."""
    model = {"name": "plain", "depth": 2, "width": 8, "pools": 1}
    spec = RunSpec.parse({"method": METHODS[name], "model": model, "data": "digits"})
    method = make_method(spec)
    made = make_network(spec, method, DataShape((1, 8, 8), 10)).double()
    method.prepare(made, IMAGES, torch.Generator().manual_seed(0))
    made(IMAGES)  # running statistics
    for layer in made.modules():
        if isinstance(layer, EILayer):
            layer.weight_ee.data.mul_(torch.rand(layer.weight_ee.shape, generator=chance()) + 0.5)
    return made.eval()


@torch.no_grad()
def logits(model: nn.Module) -> Tensor:
    out: Tensor = model(IMAGES).mean(0)
    return out


def tensors(model: nn.Module) -> dict[str, Tensor]:
    return {w.name: w.tensor.clone() for w in synaptic_weights(model)}


def test_every_condition_of_the_network_has_code():
    names = [name for name, known in CONDITIONS.items() if known.acts_on == "network"]
    assert names == list(PERTURBATIONS)


# --- Values by hand ------------------------------------------------------------------------------


def test_quantization_by_hand():
    w = torch.tensor([[0.1, -0.4], [1.0, 0.3]])
    signed = torch.tensor([[0, -1 / 3], [1, 1 / 3]])  # 3 bits: -3 ... 3 thirds
    assert torch.allclose(quantized(w, 3, one_sign=False, by_row=False), signed)
    ternary = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    assert torch.equal(quantized(w, 2, one_sign=False, by_row=False), ternary)
    w = w.abs()
    unsigned = torch.tensor([[0, 1 / 3], [1, 1 / 3]])  # 2 bits without a sign: 0 ... 3 thirds
    assert torch.allclose(quantized(w, 2, one_sign=True, by_row=False), unsigned)
    by_row = torch.tensor([[0.4 / 3, 0.4], [1, 1 / 3]])
    assert torch.allclose(quantized(w, 2, one_sign=True, by_row=True), by_row)
    zeros = torch.zeros(2, 3, 1, 1)
    assert torch.equal(quantized(zeros, 4, one_sign=False, by_row=True), zeros)


def changed(name: str, strength: float, weight: Tensor) -> Tensor:
    layer = nn.Linear(*reversed(weight.shape))
    layer.weight.data = weight.clone()
    before = layer.bias.clone()
    PERTURBATIONS[name](layer, strength, chance)
    assert torch.equal(layer.bias, before)  # synapses alone
    return layer.weight.data


def test_weights_by_hand():
    w = torch.tensor([[1.0, -4.0, 3.0, 2.0], [0.5, 0.0, -0.1, 0.2]])
    assert torch.equal(changed("fan_in", 0.5, w), torch.tensor([[0, -4.0, 3, 0], [0.5, 0, 0, 0.2]]))
    assert (changed("fan_in", 0.0, w) != 0).sum(1).tolist() == [1, 1]
    full = torch.ones(3, 10)
    assert (changed("random_fan_in", 0.3, full) != 0).sum(1).tolist() == [3, 3, 3]
    noise = torch.randn(w.shape, generator=chance("weight"))
    assert torch.allclose(changed("weight_noise", 0.1, w), w * (1 + 0.1 * noise))
    size = w.square().mean().sqrt()
    assert torch.allclose(changed("additive_noise", 0.1, w), w + 0.1 * size * noise)
    assert torch.equal(changed("stuck_at_zero", 1.0, w), torch.zeros_like(w))
    largest = torch.tensor([[4.0, -4, 4, 4], [4, 4, -4, 4]])
    assert torch.equal(changed("stuck_at_largest", 1.0, w), largest)


def test_larger_shares_include_smaller_ones():
    w = torch.rand(40, 50, generator=chance()) + 0.1
    few, many = (changed("stuck_at_zero", share, w) == 0 for share in (0.1, 0.4))
    assert few.float().mean() == pytest.approx(0.1, abs=0.03) and (few <= many).all()
    assert many.float().mean() == pytest.approx(0.4, abs=0.05)


def spikes_under(name: str, strength: float, current: Tensor) -> Tensor:
    model = nn.Sequential(LIF())
    PERTURBATIONS[name](model, strength, chance)
    out: Tensor = model(current)
    return out


def test_spikes_by_hand():
    current = torch.zeros(3, 1, 2)
    current[0, 0, 0] = current[1, 0, 0] = current[2, 0, 1] = 1.0  # three spikes
    assert torch.equal(spikes_under("spike_drop", 1.0, current), torch.zeros(3, 1, 2))
    late = torch.zeros(3, 1, 2)
    late[1, 0, 0] = late[2, 0, 0] = 1.0  # that of the last step is past the end
    assert torch.equal(spikes_under("spike_jitter", 1.0, current), late)
    u = torch.rand(3, 1, 2, generator=chance("0"))
    kept = current * (u >= 0.5)
    assert torch.equal(spikes_under("spike_drop", 0.5, current), kept)
    moved = (current - kept)[:2]
    expected = kept.clone()
    expected[1:] += moved
    assert torch.equal(spikes_under("spike_jitter", 0.5, current), expected)


@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_thresholds_are_the_neurons_own(reset):
    current = 2 * torch.rand(6, 2, 5, generator=chance()).double()
    model = nn.Sequential(LIF(threshold=0.8, reset=reset))
    PERTURBATIONS["threshold_noise"](model, 0.3, chance)
    factors = (1 + 0.3 * torch.randn(5, generator=chance("0"))).clamp_min(0.01)
    for i, factor in enumerate(factors.tolist()):
        own = LIF(threshold=0.8 * factor, reset=reset)
        assert torch.equal(model(current)[..., i], own(current[..., i]))


# --- The hardware's form -------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_the_hardware_form_has_equal_outputs(name):
    trained = network(name)
    held = hardware_form(trained)
    assert torch.allclose(logits(held), logits(trained), atol=1e-9)
    words = {
        "batchnorm": "2 norms folded",
        "bntt": "2 norms kept",
        "mpbn": "2 norms folded, 2 norms kept",
        "blanket": "blanket inhibition as cells",
    }
    assert form_words(trained, held) == words.get(name, form_words(trained, held))


@pytest.mark.parametrize("name", METHODS)
def test_neutral_strengths_change_no_bit(name):
    held = hardware_form(network(name))
    for condition, perturb in PERTURBATIONS.items():
        if condition.endswith("bits") or (condition == "lesion" and name not in INHIBITED):
            continue
        out = hardware_form(network(name))
        perturb(out, CONDITIONS[condition].neutral, chance)
        assert torch.equal(logits(out), logits(held)), condition


@pytest.mark.parametrize("name", METHODS)
def test_many_bits_change_little(name):
    trained = network(name)
    for condition in ("weight_bits", "channel_bits"):
        out = perturbed(trained, {condition: 24}, seed=0)
        assert torch.allclose(logits(out), logits(trained), atol=1e-4)


@pytest.mark.parametrize("name", ["batchnorm", "blanket", "dann", "ei", "mpbn", "spikeinit"])
@pytest.mark.parametrize("condition", PERTURBATIONS)
def test_equal_seeds_equal_results_and_signs_stay(name, condition):
    trained = network(name)
    strength = {"folded": 1, "rebalanced": 1, "weight_bits": 3, "channel_bits": 3}.get(
        condition, 0.4
    )
    before = {key: value.clone() for key, value in trained.state_dict().items()}
    first, second, other = (perturbed(trained, {condition: strength}, s) for s in (1, 1, 2))
    assert torch.equal(logits(first), logits(second))
    after = trained.state_dict()  # the network itself is as it was
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    drawn = condition not in ("folded", "rebalanced", "weight_bits", "channel_bits", "fan_in")
    if drawn and not (condition == "lesion" and name not in ("dann", "ei")):
        states = [{**tensors(m), "logits": logits(m)} for m in (first, other)]
        assert not all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert negative_weights(first) in (None, 0)
    assert logits(first).isfinite().all()


def test_folded_inhibition_is_in_signed_weights():
    trained = network("blanket")
    out = perturbed(trained, {"folded": 1}, seed=0)
    assert torch.allclose(logits(out), logits(trained), atol=1e-9)
    assert not any(weight.one_sign for weight in synaptic_weights(out))
    assert form_words(trained, out) == "inhibition in signed synapses"
    divides = perturbed(network("ei"), {"folded": 1}, seed=0)  # in all layers but the readout
    assert [weight.one_sign for weight in synaptic_weights(divides)] == [True] * 6 + [False]


# --- Inhibitory cells ----------------------------------------------------------------------------


def layer_under_lesion(share: float, **circuit: bool) -> EILayer:
    layer = EIConv2d(3, 8, 3, circuit=replace(Circuit(), **circuit))
    x = torch.rand(2, 4, 3, 6, 6, generator=chance())
    layer.initialize(x, chance())
    PERTURBATIONS["lesion"](layer, share, chance)
    return layer


@pytest.mark.parametrize("divisive", [True, False])
def test_without_its_cells_a_layer_is_the_circuit_without_inhibition(divisive):
    layer = layer_under_lesion(1.0, divisive=divisive)
    bare = EIConv2d(3, 8, 3, circuit=Circuit(subtractive=False, divisive=False))
    bare.load_state_dict({key: layer.state_dict()[key] for key in bare.state_dict()})
    x = torch.rand(2, 4, 3, 6, 6, generator=chance())
    assert torch.equal(layer(x), bare(x))


def test_without_a_share_of_cells_the_others_go_on():
    layer = layer_under_lesion(0.5)
    columns = layer.weight_ei.abs().sum(0)
    assert 0 < (columns == 0).sum() < len(columns) and layer.divides
    lost = torch.rand(2, generator=chance("")) < 0.5
    assert torch.equal(columns == 0, lost)


def test_the_blanket_cell_stands_for_many():
    trained = network("blanket")
    whole = hardware_form(trained)
    for share in (0.25, 1.0):
        out = perturbed(trained, {"lesion": share}, seed=0)
        for (_, cut), (_, full) in zip(inhibited_layers(out), inhibited_layers(whole), strict=True):
            assert torch.allclose(cut.weight_ei, (1 - share) * full.weight_ei)
    without = hardware_form(trained)
    for _, layer in inhibited_layers(without):
        layer.rearrange(Circuit(subtractive=False, divisive=False), layer.init, layer.balance)
    assert torch.equal(logits(out), logits(without))


@pytest.mark.parametrize("name", ["ei", "blanket"])
def test_inhibition_restores_the_balance(name):
    trained = network(name)
    strengths = {"weight_noise": 0.2, "lesion": 0.3, "rebalanced": 1.0}
    for (_, one), (_, other) in zip(
        *(inhibited_layers(m) for m in (hardware_form(trained), perturbed(trained, strengths, 0))),
        strict=True,
    ):
        before, after = (layer.balance_sums() for layer in (one, other))
        assert not torch.allclose(before[0], after[0])
        inhibited = after[1] > 0
        net = [(e - i)[inhibited] for e, i in (before, after)]
        assert inhibited.any() and torch.allclose(*net)
    same = perturbed(trained, {"rebalanced": 1.0}, 0)  # where nothing else changed
    assert torch.allclose(logits(same), logits(trained), atol=1e-9)


def test_the_blanket_cell_by_hand():
    layer = EILinear(2, 1, readout=True, circuit=Circuit(divisive=False))
    layer.initialize(torch.rand(2, 4, 2), chance())
    for name, value in {"ee": [[3.0, 1.0]], "ie": [[1.0, 1.0]], "ei": [[1.5]]}.items():
        getattr(layer, f"weight_{name}").data = torch.tensor(value)
    held = hardware_form(Chain(layer))
    assert held[0].trained_sums.tolist() == [1.0]  # 3 + 1 - 1.5 * 2
    held[0].weight_ee.data[0, 0] = 2.0
    PERTURBATIONS["rebalanced"](held, 1.0, chance)
    assert held[0].weight_ei.tolist() == [[1.0]]  # 2 + 1 - 1 * 2


def test_methods_without_cells_have_none_to_lose():
    bare = Chain(EILinear(3, 2, circuit=Circuit(subtractive=False, divisive=False)))
    for name, trained in {**{name: network(name) for name in METHODS}, "bare": bare}.items():
        words = words_of_form(trained, trained, {"lesion": 0.5})
        assert words.endswith("no inhibitory cells") == (name not in INHIBITED), name
    held = hardware_form(network("batchnorm"))
    assert torch.equal(logits(perturbed(network("batchnorm"), {"lesion": 1.0}, 0)), logits(held))


def test_blanket_inhibition_without_dales_law_is_no_cell():
    layer = EILinear(3, 2, circuit=Circuit(subtractive=False, divisive=False, dale=False),
                     balance=replace(EILinear(3, 2).balance, blanket=1.0))  # fmt: skip
    layer.initialize(torch.rand(2, 4, 3), chance())
    with pytest.raises(ValueError, match="needs Dale's law"):
        perturbed(Chain(layer), {"weight_bits": 4}, seed=0)


def test_neurons_are_found_in_sequences():
    assert [name for name, _ in neurons(network("wta"))] == ["neuron1.1", "neuron3.1"]
