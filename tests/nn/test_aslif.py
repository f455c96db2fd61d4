"""The neuron of SpikeInit against NumPy in float64, forward and backward by hand."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from eibench.nn import ASLIF
from eibench.nn import functional as F

T, B, C, H, W = 4, 3, 2, 3, 2
TAU, THETA, SHARPNESS, DEVIATION = 3.0, 0.7, 1.3, 0.9
rng = np.random.default_rng(0)
X = rng.normal(size=(T, B, C, H, W)) * np.array([1.5, 0.01])[:, None, None] + 0.2
OUT = rng.normal(size=X.shape)  # the gradient that arrives from above
GAMMA, BETA = rng.uniform(0.5, 1.5, C), np.array([0.1, 0.4])


def wide(v):
    return v[:, None, None]


def forward(hard):
    """u and s of each step; the map acts on the decision to fire alone."""
    v, potentials, spikes = np.zeros(X.shape[1:]), [], []
    for step in X:
        u = (1 - 1 / TAU) * v + step
        s = (wide(GAMMA) * u + wide(BETA) >= THETA).astype(float)
        v = u * (1 - s) if hard else u - THETA * s
        potentials.append(u)
        spikes.append(s)
    return np.stack(potentials), np.stack(spikes)


def sharpness_of(u):
    """One for each sample and channel, from all steps and positions, unbiased."""
    out = np.empty((B, C, 1, 1))
    for b in range(B):
        for c in range(C):
            spread = u[:, b, c].std(ddof=1)
            out[b, c] = SHARPNESS * DEVIATION / max(spread, THETA / norm.isf(0.01))
    return out


def backward(u, s, a, hard, detach):
    """dL/dI, dL/dgamma and dL/dbeta by the chain rule, from the last step to the first."""
    grad_v, grads, by_gamma, by_beta = np.zeros(X.shape[1:]), [], 0.0, 0.0
    for u_t, s_t, out in zip(u[::-1], s[::-1], OUT[::-1], strict=True):
        through_reset = 0.0 if detach else -(u_t if hard else THETA) * grad_v
        distance = np.abs(wide(GAMMA) * u_t + wide(BETA) - THETA)
        grad_m = (out + through_reset) * a * np.exp(-2 * a * distance)
        by_gamma = by_gamma + (grad_m * u_t).sum((0, 2, 3))
        by_beta = by_beta + grad_m.sum((0, 2, 3))
        grad_u = grad_m * wide(GAMMA) + grad_v * ((1 - s_t) if hard else 1.0)
        grads.append(grad_u)
        grad_v = (1 - 1 / TAU) * grad_u
    return np.stack(grads[::-1]), by_gamma, by_beta


def neuron(**options):
    made = ASLIF(C, SHARPNESS, DEVIATION, TAU, THETA, **options).double()
    made.weight.data.copy_(torch.from_numpy(GAMMA))
    made.bias.data.copy_(torch.from_numpy(BETA))
    return made


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_values_and_gradients(reset, detach, training):
    """The second channel hardly varies, so that the limit of the deviation counts there."""
    u, s = forward(reset == "hard")
    adapted = sharpness_of(u)
    assert adapted[0, 1] == pytest.approx(SHARPNESS * DEVIATION * norm.isf(0.01) / THETA)
    assert (s.mean((0, 1, 3, 4)) > 0.1).all()
    made = neuron(reset=reset, detach_reset=detach).train(training)
    current = torch.from_numpy(X).requires_grad_()
    spikes = made(current)
    spikes.backward(torch.from_numpy(OUT))
    np.testing.assert_array_equal(spikes.detach().numpy(), s)
    a = adapted if training else SHARPNESS
    by_current, by_gamma, by_beta = backward(u, s, a, reset == "hard", detach)
    np.testing.assert_allclose(current.grad.numpy(), by_current, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(made.weight.grad.numpy(), by_gamma, rtol=1e-9)
    np.testing.assert_allclose(made.bias.grad.numpy(), by_beta, rtol=1e-9)


def test_maps_of_one_position_do_not_adapt():
    """As in the authors' dense layers; one step would have no deviation at all."""
    found = []
    for training in (True, False):
        current = torch.from_numpy(X[:, :, :, :1, :1]).requires_grad_()
        neuron().train(training)(current).sum().backward()
        found.append(current.grad)
    assert torch.equal(*found)
    single = torch.ones(1, 1, C, 1, 1, dtype=torch.float64, requires_grad=True)
    neuron()(single).sum().backward()
    assert single.grad.isfinite().all()


def test_it_starts_as_a_lif_that_resets_hard():
    made = ASLIF(C, 1.0, 1.0, TAU, THETA)
    assert (made.weight == 1).all() and (made.bias == 0).all()
    current = torch.from_numpy(X).float()
    options = F.LIFParameters.from_options(TAU, THETA, "hard")
    assert torch.equal(made(current), F.lif(current, options))


def test_the_surrogate_by_hand():
    """a exp(-2 a |x|): a at the threshold itself, where the neuron fires."""
    x = torch.tensor([0.0, 0.5, -0.5, 400.0, -400.0], dtype=torch.float64, requires_grad=True)
    fired = F.fire_exponential(x, 2.0)
    assert fired.tolist() == [1, 1, 0, 1, 0]
    fired.sum().backward()
    assert x.grad.tolist() == pytest.approx([2, 2 * np.exp(-2), 2 * np.exp(-2), 0, 0])


@pytest.mark.parametrize("name", ["sharpness", "deviation"])
def test_out_of_range(name):
    with pytest.raises(ValueError, match=f"{name} must be above 0, not 0"):
        ASLIF(C, **{"sharpness": 1.0, "deviation": 1.0, name: 0})
