"""Methods without activity statistics: their initial weights, effects of `prepare`, and
refusals."""

import pytest
import torch
from scipy.stats import norm

from eibench.methods.initializers import (
    spike_deviation,
    spikeinit_membrane,
    spikeinit_sharpness,
)
from eibench.methods.spikeinit import SpikeInitOptions
from eibench.methods.weight_standardization import WeightStandardizationOptions
from eibench.methods.without_norm import NoNormOptions, WTAOptions
from eibench.models.chain import PlainOptions, plain
from eibench.nn import ASLIF, LIF, KWinners, WSConv2d
from eibench.plan import options
from eibench.plan.options import METHODS

FLUCTUATION = NoNormOptions(init="fluctuation")
SPIKEINIT = NoNormOptions(init="spikeinit")
STANDARDIZED = WeightStandardizationOptions()
COMPLETE = SpikeInitOptions()
PREPARED = pytest.mark.parametrize(
    "choice", [FLUCTUATION, SPIKEINIT, COMPLETE, STANDARDIZED], ids=lambda c: c.label
)


def make(choice, timesteps=4, **neuron):
    lif = options.NeuronOptions(**neuron).model_dump()
    return METHODS.build(choice, lif=lif, timesteps=timesteps)


def network(method, image=(2, 12, 12), depth=2, width=400, seed=0):
    torch.manual_seed(seed)
    return plain(method, image, 3, PlainOptions(depth=depth, width=width, pools=0))


def images(seed=2):
    """[T, B, 2, 12, 12] in [0, 1], dim, the same at each step."""
    generator = torch.Generator().manual_seed(seed)
    return 0.4 * torch.rand(5, 2, 12, 12, generator=generator).expand(4, 5, 2, 12, 12)


def prepare(method, model, batch):
    method.prepare(model, batch, torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("init", "neuron", "gain"),
    [
        ("kaiming", {}, 2**0.5),
        ("xavier", {}, (2 * 64 / (64 + 256)) ** 0.5),  # 2 n / (fan-in + fan-out)
        ("fluctuation", {}, 2.511),
        ("fluctuation", {"threshold": 0.5, "tau": 1.0, "reset": "hard"}, 1.800),
        ("spikeinit", {}, 2.578),
        ("spikeinit", {"threshold": 0.5}, 1.289),
        ("spikeinit", {"tau": 1.0}, 0.1**-0.5 / norm.isf(0.1)),
    ],
)
def test_drawn_weights(init, neuron, gain):
    torch.manual_seed(0)
    conv = make(NoNormOptions(init=init), **neuron).conv(64, 256, 3).module
    assert (conv.bias == 0).all()
    weights = conv.weight.detach()
    assert weights.std().item() == pytest.approx(gain / (64 * 9) ** 0.5, rel=0.01)
    assert (weights / weights.std()).mean().abs().item() < 4 / weights.numel() ** 0.5
    kurtosis = (weights / weights.std()).pow(4).mean().item()
    assert kurtosis == pytest.approx(3, abs=0.1)  # a normal law


@pytest.mark.parametrize("choice", [FLUCTUATION, SPIKEINIT], ids=lambda c: c.label)
def test_summed_branches_count_as_fan_in(choice):
    stds = []
    for branches in (1, 2):
        torch.manual_seed(0)
        stds.append(make(choice).conv(8, 8, 3, branches=branches).module.weight.std().item())
    assert stds[1] == pytest.approx(stds[0] / 2**0.5, rel=1e-5)


@pytest.mark.parametrize(("choice", "deviation"), [(FLUCTUATION, 1.0), (SPIKEINIT, 0.571)])
def test_first_layer_is_rescaled_by_the_first_batch(choice, deviation):
    """Away from the padding, its current has the derived deviation; other layers are as drawn."""
    method = make(choice)
    model, untouched = network(method), network(method)
    prepare(method, model, images())
    with torch.no_grad():
        current = model.conv0(images())[..., 1:-1, 1:-1]
    assert current.square().mean().sqrt().item() == pytest.approx(deviation, rel=0.05)
    power = images().square().mean().item()
    std = model.conv0.module.weight.std().item()
    assert std == pytest.approx(deviation / (18 * power) ** 0.5, rel=0.03)
    later = [name for name in model.state_dict() if not name.startswith("conv0")]
    assert all(torch.equal(model.state_dict()[k], untouched.state_dict()[k]) for k in later)


@pytest.mark.parametrize("init", ["kaiming", "xavier"])
def test_nothing_to_prepare(init):
    method = make(NoNormOptions(init=init))
    model, untouched = network(method, width=6), network(method, width=6)
    prepare(method, model, torch.zeros_like(images()))
    assert all(map(torch.equal, model.state_dict().values(), untouched.state_dict().values()))


def test_gains_of_weight_standardization():
    method = make(STANDARDIZED)
    model = network(method, width=40)
    gains = [v for k, v in model.state_dict().items() if k.endswith("gain")]
    assert [g.item() for g in gains] == pytest.approx([2.764] * 2, abs=1e-3)
    assert method.conv(2, 8, 3, branches=2).module.gain.item() == pytest.approx(
        2.764 / 2**0.5, 1e-3
    )
    prepare(method, model, images())
    first = [p for name, p in model.named_children() if name.startswith("conv")]
    assert first[0](images()).std().item() == pytest.approx(1, rel=1e-4)
    assert first[1].module.gain.item() == pytest.approx(2.764, abs=1e-3)
    once = first[0].module.gain.item()
    prepare(method, model, images())
    assert first[0].module.gain.item() == pytest.approx(once, rel=1e-5)


def test_below_a_second_fixed_point_the_deviation_of_theory_dies_out():
    """f(s) of the default neuron, whose spikes under N(0, s^2) are those of threshold 1/s under
    N(0, 1); an average of four independent values has half of their deviation."""
    gain = 1 / spike_deviation(2.0, 1.0, "soft", 4)

    def after(s):
        return gain * spike_deviation(2.0, 1 / s, "soft", 4)

    assert after(1.0) == pytest.approx(1.0)
    assert after(0.9) > 0.9 and after(0.6) > 0.6
    assert after(0.54) > 0.54 and after(0.535) < 0.535
    s = 0.5
    for _ in range(5):
        s = after(s)
    assert s < 0.01


@pytest.mark.parametrize("gain", ["theory", "measured", "learned"])
def test_measured_gains_carry_activity_past_poolings(gain):
    """Deviations of the currents of eight layers, pooled after the second and the fifth."""
    method = make(WeightStandardizationOptions(gain=gain))
    torch.manual_seed(0)
    model = plain(method, (2, 12, 12), 3, PlainOptions(depth=8, width=12, pools=3))
    prepare(method, model, images())
    found = []
    convs = [m for m in model.modules() if isinstance(m, WSConv2d)]
    for conv in convs:
        conv.register_forward_hook(lambda m, i, out: found.append(out.std(correction=0).item()))
    model(images())
    assert len(found) == 8
    if gain == "theory":
        assert found[-1] < 0.3
    else:
        assert found == pytest.approx([1.0] * 8, rel=1e-3)
    trained = {name.rpartition(".")[2] for name, _ in model.named_parameters()}
    assert ("gain" in trained) == (gain == "learned")
    assert {conv.gain.shape for conv in convs} == {(12,) if gain == "learned" else ()}


@pytest.mark.parametrize(
    "neuron", [{}, {"reset": "hard", "threshold": 0.5}, {"tau": 1.0}, {"tau": 8.0}], ids=str
)
def test_standardized_kernels_keep_a_current_at_unit_deviation(neuron):
    """N(0, 1) at each step, the neuron, and the next layer's current away from the padding."""
    method = make(STANDARDIZED, **neuron)
    torch.manual_seed(0)
    conv, current = method.conv(32, 64, 3), torch.randn(4, 16, 32, 10, 10)
    with torch.no_grad():
        after = conv(method.neuron(32)(current))[..., 1:-1, 1:-1]
    assert after.std().item() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("summed", [1, 2, 4])
def test_standardized_kernels_keep_sums_of_spikes_at_unit_deviation(summed):
    """The spikes of `summed` neurons, each under N(0, 1), added up as along residual blocks."""
    method = make(STANDARDIZED)
    torch.manual_seed(0)
    conv = method.conv(32, 64, 3, summed=summed)
    currents = torch.randn(summed, 4, 16, 32, 10, 10)
    with torch.no_grad():
        activity = sum(method.neuron(32)(current) for current in currents)
        after = conv(activity)[..., 1:-1, 1:-1]
    assert after.std().item() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("summed", [1, 2, 4])
@pytest.mark.parametrize(
    ("choice", "rate"), [(FLUCTUATION, norm.sf(1.0)), (SPIKEINIT, 0.1)], ids=["fluct", "spikeinit"]
)
def test_weights_of_theory_give_sums_of_spikes_the_same_current(choice, rate, summed):
    """At the rate that the theory assumes, its root mean square is that of single spikes."""
    torch.manual_seed(0)
    conv = make(choice).conv(64, 512, 3, summed=summed)
    spikes = (torch.rand(summed, 4, 8, 64, 6, 6) < rate).float().sum(0)
    with torch.no_grad():
        current = conv(spikes)[..., 1:-1, 1:-1]
    expected = {FLUCTUATION: 1.0, SPIKEINIT: 2.578 * rate**0.5}[choice]
    assert current.square().mean().sqrt().item() == pytest.approx(expected, rel=0.03)


@PREPARED
def test_what_prepare_sets_is_in_the_state(choice):
    method = make(choice)
    model, fresh = network(method, width=6), network(method, width=6, seed=1)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    prepare(method, model, images())
    changed = [k for k, v in model.state_dict().items() if not torch.equal(v, before[k])]
    assert changed == ["conv0.module.gain" if choice == STANDARDIZED else "conv0.module.weight"]
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh(images()), model(images()))


@PREPARED
def test_a_silent_first_batch_is_refused(choice):
    method = make(choice)
    with pytest.raises(ValueError, match="needs a first batch that is not silent"):
        prepare(method, network(method, width=6), torch.zeros_like(images()))


@PREPARED
@pytest.mark.parametrize("neuron", [{"tau": 1.0}, {"tau": 20.0}, {"threshold": 0.05}], ids=str)
@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_other_neurons(choice, neuron, reset):
    method = make(choice, reset=reset, **neuron)
    model = network(method, width=6)
    prepare(method, model, images())
    assert model(images()).isfinite().all()


@pytest.mark.parametrize("choice", [FLUCTUATION, STANDARDIZED], ids=lambda c: c.label)
def test_a_neuron_out_of_reach_is_refused(choice):
    with pytest.raises(ValueError, match=r"does not reach a threshold of 50\.0"):
        make(choice, threshold=50.0)


def test_complete_spikeinit_is_its_initialisation_with_its_own_neuron():
    """Weights are those of the initialisation alone; no bias, but a map of the membrane. Of the
    comparison's neuron tau, threshold and detached reset remain."""
    options = {"tau": 3.0, "threshold": 0.5, "reset": "soft", "detach_reset": False}
    complete, alone = (make(choice, **options) for choice in (COMPLETE, SPIKEINIT))
    models = [network(method, width=6) for method in (complete, alone)]
    for method, model in zip((complete, alone), models, strict=True):
        prepare(method, model, images())
    ours, theirs = (model.state_dict() for model in models)
    convs = [name for name, m in models[0].named_modules() if isinstance(m, torch.nn.Conv2d)]
    assert {k for k in theirs if k not in ours} == {f"{name}.bias" for name in convs}
    assert all(torch.equal(v, ours[k]) for k, v in theirs.items() if k in ours)
    neuron = complete.neuron(6)
    assert isinstance(neuron, ASLIF)
    assert (neuron.tau, neuron.threshold, neuron.reset) == (3.0, 0.5, "hard")
    assert not neuron.detach_reset
    (_, s), a = spikeinit_membrane(3.0, 0.5, 0.1), spikeinit_sharpness(3.0, 0.5, 0.1)
    assert (neuron.sharpness, neuron.deviation) == (a, s)


def test_a_quarter_of_the_channels_competes_for_the_neurons():
    """The neuron fires where its current alone is among the largest and reaches the threshold."""
    neuron = make(WTAOptions(), timesteps=1).neuron(8)
    assert [type(m) for m in neuron] == [KWinners, LIF]
    current = torch.randn(1, 5, 8, 3, 3) + 2
    second = current.sort(2, descending=True).values[:, :, 1:2]
    assert torch.equal(neuron(current), ((current >= second) & (current >= 1)).float())


def test_no_competition_is_no_norm_to_the_bit():
    outputs = []
    for choice in (WTAOptions(share=1.0), NoNormOptions()):
        model = network(make(choice), width=6)
        logits = model(3 * images())
        logits.square().sum().backward()
        outputs.append((logits, [p.grad for p in model.parameters()]))
    assert torch.equal(outputs[0][0], outputs[1][0])
    assert all(map(torch.equal, outputs[0][1], outputs[1][1]))
