"""eibench's layers against SpikingJelly's, where both implement the same equations.

Not compared, because the equations differ:

- The membrane batch norm over several steps: its MPBNLIFNode resets and carries on the normalised
  potential; eibench, like the method's authors, the raw one. They agree on a single step.
- The eps of BNTT: 1e-5 there by default, 1e-4 here, as the authors have it. It is passed here.
- tdBN in training: the factor alpha * threshold is in its weight and in front of ours, so the
  functions agree (compared) while an optimizer's steps do not.
- Bottlenecks under `iand`: there the shortcut is negated; in its basic blocks, in the paper (Fang
  et al., NeurIPS 2021) and here the body is.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peer import (
    BATCH_NORM,
    SURROGATES,
    C,
    T,
    current,
    draw,
    same,
    same_layers,
    value_and_gradient,
)
from torch import Tensor, nn

from eibench.methods.norms import BatchNorm, BatchNormOptions
from eibench.models.resnet import ResnetOptions, resnet
from eibench.nn import (
    LIF,
    MPBNLIF,
    BatchNorm2d,
    BatchNormPerStep2d,
    BNTT2d,
    GroupNorm2d,
    TDBatchNorm2d,
    TEBatchNorm2d,
)
from eibench.nn.functional import fire
from eibench.plan.options import NeuronOptions

pytest.importorskip("spikingjelly.activation_based.neuron.mpbn", reason="needs SpikingJelly 2.0")
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from spikingjelly.activation_based.model import sew_resnet

THEIRS = {"sigmoid": surrogate.Sigmoid(alpha=4.0), "atan": surrogate.ATan(alpha=2.0)}


def options(tau: float, threshold: float, reset: str, kind: str, detach: bool) -> dict:
    """Arguments of SpikingJelly's neurons for those of eibench's."""
    return {
        "tau": tau,
        "decay_input": False,
        "v_threshold": threshold,
        "v_reset": 0.0 if reset == "hard" else None,
        "surrogate_function": THEIRS[kind],
        "detach_reset": detach,
        "step_mode": "m",
    }


# --- Neurons ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SURROGATES)
def test_surrogate_derivative(kind: str) -> None:
    x = torch.cat([torch.zeros(1).double(), 2 * draw(0, 200)])
    same(value_and_gradient(lambda u: fire(u, kind), x), value_and_gradient(THEIRS[kind], x))


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("kind", SURROGATES)
@pytest.mark.parametrize("reset", ["soft", "hard"])
@settings(max_examples=25)
@given(seed=st.integers(0, 9999), tau=st.floats(1.01, 50.0), threshold=st.floats(0.1, 5.0))
def test_lif(reset: str, kind: str, detach: bool, seed: int, tau: float, threshold: float) -> None:
    given_options = (tau, threshold, reset, kind, detach)
    ours, theirs = LIF(*given_options), neuron.LIFNode(**options(*given_options))
    x = current(seed, tau, threshold, reset)
    got = value_and_gradient(ours, x)
    assert 0 < got[0].mean() < 1
    same(got, value_and_gradient(theirs, x))


@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_lif_on_the_threshold(reset: str) -> None:
    """Both fire at equality. Binary fractions: u is exactly 1 at the second step and the last."""
    x = torch.tensor([0.5, 0.75, 0.75, 0.625], dtype=torch.float64)[:, None]
    given_options = (2.0, 1.0, reset, "sigmoid", True)
    got = value_and_gradient(LIF(*given_options), x)
    assert got[0].ravel().tolist() == [0, 1, 0, 1]
    same(got, value_and_gradient(neuron.LIFNode(**options(*given_options)), x))


@pytest.mark.parametrize("kind", SURROGATES)
def test_membrane_norm_on_a_single_step(kind: str) -> None:
    theirs = neuron.MPBNLIFNode(**options(2.0, 0.5, "soft", kind, True), out_channels=C)
    ours = MPBNLIF(C, threshold=0.5, surrogate=kind)
    names = {f"norm.{name}": f"vbn.{name}" for name in BATCH_NORM}
    same_layers(ours, theirs, names, sequence(theirs), steps=1)


# --- Normalisation ---------------------------------------------------------------------------


def sequence(module: nn.Module):
    """`module` on a new sequence: its state of the last one is forgotten."""

    def forward(x: Tensor) -> Tensor:
        functional.reset_net(module)
        return module(x)

    return forward


def test_joint_batch_norm() -> None:
    same_layers(BatchNorm2d(C), layer.BatchNorm2d(C, step_mode="m"), BATCH_NORM)


def test_batch_norm_per_step() -> None:
    theirs = layer.BatchNorm2d(C, step_mode="s")
    same_layers(
        BatchNormPerStep2d(C),
        theirs,
        BATCH_NORM,
        lambda x: torch.stack([theirs(step) for step in x]),
    )


@pytest.mark.parametrize(("threshold", "alpha"), [(1.0, 1.0), (0.5, 1.0), (2.0, 0.75)])
def test_threshold_dependent_batch_norm(threshold: float, alpha: float) -> None:
    theirs = layer.ThresholdDependentBatchNorm2d(alpha, threshold, C)
    ours = TDBatchNorm2d(C, threshold, alpha)
    same_layers(ours, theirs, BATCH_NORM, scale=alpha * threshold)


def test_temporal_effective_batch_norm() -> None:
    theirs = layer.TemporalEffectiveBatchNorm2d(T, C)
    same_layers(TEBatchNorm2d(C, T), theirs, {**BATCH_NORM, "p": "scale"})


def test_batch_norm_through_time() -> None:
    theirs = layer.BatchNormThroughTime2d(T, C, eps=1e-4, step_mode="m")
    names = {name: f"bn_list.{{t}}.{name}" for name in BATCH_NORM if name != "bias"}
    same_layers(BNTT2d(C, T), theirs, names, sequence(theirs))


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_group_norm(groups: int) -> None:
    """One group is the layer norm over C, H and W."""
    theirs = layer.GroupNorm(groups, C, step_mode="m")
    same_layers(GroupNorm2d(C, groups), theirs, {"weight": "weight", "bias": "bias"})


# --- Residual blocks -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "connect"), [(18, "add"), (18, "and"), (18, "iand"), (50, "add"), (50, "and")]
)
@pytest.mark.parametrize("index", [0, 1], ids=["shortcut with synapse", "identity"])
def test_spike_element_wise_blocks(depth: int, index: int, connect: str) -> None:
    """Value and gradient of the two blocks of a second stage, over batch norm."""
    lif = NeuronOptions().model_dump()
    method = BatchNorm(options=BatchNormOptions(), lif=lif, timesteps=T)
    chosen = ResnetOptions(depth=depth, width=C, connect=connect)
    ours = resnet(method, (3, 8, 8), 10, chosen).stage2[index].double()
    theirs = their_block(depth, index, connect.upper()).double()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    functional.set_step_mode(theirs, "m")
    wide = next(ours.parameters()).shape[1]
    spikes = (draw(7, T, 3, wide, 8, 8) > 0.5).double()
    same(value_and_gradient(ours, spikes), value_and_gradient(theirs, spikes))


def their_block(depth: int, index: int, connect: str) -> nn.Module:
    """SpikingJelly's block of the second stage: 2 C wide, four times that for a bottleneck."""
    kind = sew_resnet.Bottleneck if depth == 50 else sew_resnet.BasicBlock
    out = 2 * C * kind.expansion
    arriving = C * kind.expansion if index == 0 else out
    downsample = None
    if index == 0:
        conv = layer.Conv2d(arriving, out, 1, stride=2, bias=False)
        downsample = nn.Sequential(conv, layer.BatchNorm2d(out))
    neurons = options(2.0, 1.0, "soft", "sigmoid", True)
    return kind(
        arriving,
        2 * C,
        stride=2 if index == 0 else 1,
        downsample=downsample,
        cnf=connect,
        spiking_neuron=neuron.LIFNode,
        **neurons,
    )
