"""Averages and copies of networks: `torch.optim.swa_utils`, EMA, state dicts, devices, processes.

A copy is initialised where its weights have been drawn, whoever wrote them.
"""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from eibench.nn import (
    LIF,
    MPBNLIF,
    BatchNorm2d,
    BatchNormPerStep2d,
    BNTT2d,
    Chain,
    Circuit,
    Current,
    EIConv2d,
    EILinear,
    NotInitializedError,
    TAB2d,
    TDBatchNorm2d,
    TEBatchNorm2d,
    TimeDistributed,
    WSConv2d,
    initialize,
    project_,
)

T, B, C = 3, 4, 2
NORMS = {
    "joint": lambda: BatchNorm2d(C),
    "per_step": lambda: BatchNormPerStep2d(C),
    "tdbn": lambda: TDBatchNorm2d(C, 0.5),
    "tebn": lambda: TEBatchNorm2d(C, T),
    "bntt": lambda: BNTT2d(C, T),
    "tab": lambda: TAB2d(C, T),
}


def batches(seed: int = 0, n: int = 4) -> list[Tensor]:
    """Batches whose steps differ in mean: 5, 6, 7."""
    generator = torch.Generator().manual_seed(seed)
    offset = torch.arange(5.0, 5 + T).view(-1, 1, 1, 1, 1)
    return [torch.randn(T, B, C, 4, 4, generator=generator) + offset for _ in range(n)]


def cumulative(data: list[Tensor], t: int | None) -> tuple[Tensor, Tensor]:
    """Mean and variance that nn.BatchNorm2d averages over `data`, of steps 0 .. t or of all."""
    plain = nn.BatchNorm2d(C, momentum=None)
    for x in data:
        plain(x.flatten(0, 1) if t is None else x[: t + 1].flatten(0, 1))
    return plain.running_mean, plain.running_var


def expected(name: str, data: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Running statistics after `update_bn`, from torch's own batch norm."""
    if name == "bntt":
        steps = [cumulative([x[t : t + 1] for x in data], None) for t in range(T)]
    elif name == "tab":
        steps = [cumulative(data, t) for t in range(T)]
    elif name == "per_step":
        return cumulative([x[t : t + 1] for x in data for t in range(T)], None)
    else:
        return cumulative(data, None)
    mean, var = zip(*steps, strict=True)
    return torch.stack(mean), torch.stack(var)


@pytest.mark.parametrize("name", NORMS)
def test_update_bn_averages_over_all_batches(name: str) -> None:
    data, norm = batches(), NORMS[name]()
    norm(10 * data[0])  # to be forgotten
    update_bn(data, nn.Sequential(norm))
    mean, var = expected(name, data)
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, var)
    assert norm.momentum == 0.1
    assert norm.num_batches_tracked == len(data) * (T if name == "per_step" else 1)


@pytest.mark.parametrize("name", ["joint", "tdbn"])
def test_a_static_image_counts_as_its_copies_do(name: str) -> None:
    """One of the equal steps is computed; a cumulative average learns what all would teach it."""
    found = []
    for copied in (False, True):
        torch.manual_seed(0)
        model = Current(TimeDistributed(nn.Conv2d(1, C, 3)), NORMS[name]())
        frames = torch.rand(4, B, 1, 6, 6)
        static = [frame.expand(T, B, 1, 6, 6) for frame in frames]
        update_bn([x.contiguous() if copied else x for x in static], model)
        found.append(model.state_dict())
    torch.testing.assert_close(found[0], found[1])


def test_the_membrane_s_norm_averages_over_steps_and_batches() -> None:
    neuron = MPBNLIF(C)
    update_bn(batches(), nn.Sequential(neuron))
    assert neuron.norm.num_batches_tracked == 4 * T
    assert (neuron.norm.running_mean > 4).all()


@pytest.mark.parametrize("name", ["bntt", "tab"])
def test_states_without_a_count_still_load(name: str) -> None:
    """Earlier versions did not count batches."""
    norm = NORMS[name]()
    norm(batches()[0])
    state = norm.state_dict()
    del state["num_batches_tracked"], state._metadata
    fresh = NORMS[name]()
    fresh.load_state_dict(state)
    assert torch.equal(fresh.running_mean, norm.running_mean)
    assert fresh.num_batches_tracked == 0


@pytest.mark.parametrize("name", NORMS)
def test_momentum_is_torch_s(name: str) -> None:
    """A momentum of 1 keeps the last batch alone."""
    norm, data = NORMS[name](), batches()
    norm.momentum = 1.0
    for x in data:
        norm(x)
    last = [data[-1][-1:]] if name == "per_step" else [data[-1]]
    torch.testing.assert_close(norm.running_mean, expected(name.replace("per_step", ""), last)[0])


# --- Averages of weights -----------------------------------------------------------------------


def network() -> Chain:
    return Chain(
        EIConv2d(1, 8, 3, padding=1),
        LIF(),
        TimeDistributed(WSConv2d(8, 4, 3)),
        BNTT2d(4, T),
        LIF(),
        nn.Flatten(2),
        EILinear(64, 4, circuit=Circuit(inhibitory_cell="lif")),
        LIF(threshold=0.1),
        EILinear(4, 3, readout=True),
    )


def activity(seed: int = 0) -> Tensor:
    return torch.rand(T, B, 1, 6, 6, generator=torch.Generator().manual_seed(seed))


def trained(seed: int) -> Chain:
    torch.manual_seed(seed)
    return initialize(network(), activity(seed))


AVERAGES = {"mean": {}, "ema": {"multi_avg_fn": get_ema_multi_avg_fn(0.9)}}


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("buffers", [True, False])
@pytest.mark.parametrize("copied", ["before", "after"])
def test_an_averaged_network_is_initialised(average: str, buffers: bool, copied: str) -> None:
    """Averages keep Dale's law, work, and know that their weights are drawn."""
    model = network()
    averaged = AveragedModel(model, use_buffers=buffers, **AVERAGES[average])
    if copied == "before":
        with pytest.raises(NotInitializedError):
            averaged(activity())
    torch.manual_seed(0)
    initialize(model, activity())
    if copied == "after":
        averaged = AveragedModel(model, use_buffers=buffers, **AVERAGES[average])
    for _ in range(4):
        averaged.update_parameters(model)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        project_(model)
    assert averaged(activity()).isfinite().all()
    assert averaged.module[0].initialized == 1
    for layer in (averaged.module[0], averaged.module[6]):
        assert all((p >= 0).all() for p in layer.non_negative())


def test_a_network_averaged_before_and_after_counts_as_initialised() -> None:
    model = network()
    averaged = AveragedModel(model, use_buffers=True)
    averaged.update_parameters(model)
    initialize(model, activity())
    averaged.update_parameters(model)
    assert averaged.module[0].initialized == 0.5
    assert averaged(activity()).isfinite().all()


# --- One truth ---------------------------------------------------------------------------------


def layer_and_input() -> tuple[EILinear, Tensor]:
    return EILinear(6, 4), torch.rand(T, B, 6)


def drawn() -> tuple[EILinear, Tensor]:
    layer, x = layer_and_input()
    layer.initialize(x)
    return layer, x


def saved(module: nn.Module) -> nn.Module:
    stored = io.BytesIO()
    torch.save(module, stored)
    stored.seek(0)
    return torch.load(stored, weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda m: pickle.loads(pickle.dumps(m)),
    "save": saved,
    "double": lambda m: copy.deepcopy(m).double().float(),
    "half": lambda m: copy.deepcopy(m).half().float(),
}


@pytest.mark.parametrize("way", COPIES)
def test_copies_know(way: str) -> None:
    layer, x = layer_and_input()
    with pytest.raises(NotInitializedError):
        COPIES[way](layer)(x)
    layer.initialize(x)
    torch.testing.assert_close(COPIES[way](layer)(x), layer(x), rtol=0.01, atol=0.01)


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("earlier", [False, True])
def test_states_know(assign: bool, earlier: bool) -> None:
    """Loaded in place or assigned, into a fresh layer or an initialised one, with the flag as a
    float or, as earlier versions had it, a bool."""
    (layer, x), fresh = drawn(), EILinear(6, 4)
    states = [copy.deepcopy(m.state_dict()) for m in (layer, fresh)]
    if earlier:
        for state in states:
            state["initialized"] = state["initialized"].bool()
    fresh.load_state_dict(states[0], assign=assign)
    assert torch.equal(fresh(x), layer(x))
    assert fresh.initialized.is_floating_point()
    fresh.load_state_dict(states[1], assign=assign)
    with pytest.raises(NotInitializedError):
        fresh(x)


def test_a_partial_state_leaves_the_flag() -> None:
    (layer, x), fresh = drawn(), EILinear(6, 4)
    state = layer.state_dict()
    del state["initialized"]
    with pytest.raises(RuntimeError, match="initialized"):
        fresh.load_state_dict(state)
    fresh.load_state_dict(state, strict=False)
    with pytest.raises(NotInitializedError):
        fresh(x)


@pytest.mark.parametrize("write", ["copy_", "fill_", "data", "replaced", "foreach"])
def test_whoever_writes_to_the_buffer(write: str) -> None:
    layer, x = drawn()
    for value in (0.0, 1.0):
        new = torch.tensor(value)
        if write == "copy_":
            layer.initialized.copy_(new)
        elif write == "fill_":
            layer.initialized.fill_(value)
        elif write == "data":
            layer.initialized = new.data
        elif write == "replaced":
            layer._buffers["initialized"] = new
        else:
            torch._foreach_lerp_([layer.initialized], [new], 1.0)
        if value:
            assert layer(x).isfinite().all()
        else:
            with pytest.raises(NotInitializedError):
                layer(x)


def test_meta() -> None:
    """Emptied memory is no initialisation, whatever lies there; a state or E-I Init is one."""
    layer, x = drawn()
    with torch.device("meta"):
        skeleton = EILinear(6, 4)
    assert skeleton(x.to("meta")).shape == (T, B, 4)
    empty = copy.deepcopy(skeleton).to_empty(device="cpu")
    for emptied in (empty, copy.deepcopy(layer).to("meta").to_empty(device="cpu")):
        with pytest.raises(NotInitializedError):
            emptied(x)
    empty.load_state_dict(layer.state_dict())
    assert torch.equal(empty(x), layer(x))
    skeleton.load_state_dict(layer.state_dict(), assign=True)
    assert torch.equal(skeleton(x), layer(x))
    again = EILinear(6, 4).to("meta").to_empty(device="cpu")
    again.initialize(x)
    assert again(x).isfinite().all()


def test_the_buffer_is_not_read_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading waits for a device."""
    layer, x = drawn()
    layer(x)
    monkeypatch.setattr(Tensor, "__float__", lambda self: pytest.fail("read"))
    for _ in range(3):
        layer(x).sum().backward()
        project_(layer)


def test_functional_call_takes_the_state_that_it_is_given() -> None:
    (layer, x), fresh = drawn(), EILinear(6, 4)
    state = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
    assert torch.equal(torch.func.functional_call(fresh, state, x), layer(x))
    with pytest.raises(NotInitializedError):
        fresh(x)
    empty = {**dict(fresh.named_parameters()), **dict(fresh.named_buffers())}
    with pytest.raises(NotInitializedError):
        torch.func.functional_call(layer, empty, x)
    assert layer(x).isfinite().all()


def test_inference_mode() -> None:
    layer, x = layer_and_input()
    with torch.inference_mode():
        layer.initialize(x)
        made = EILinear(6, 4)
        with pytest.raises(NotInitializedError):
            made(x)
        made.initialize(x)
        assert made(x).isfinite().all()
    layer(x).sum().backward()
    assert layer.weight_ee.grad is not None
