"""BNTT, TEBN, TAB, group norm and membrane norm against NumPy in float64, written from the papers'
equations: values, gradients, running statistics, training and evaluation."""

import numpy as np
import pytest
import torch

from eibench.nn import MPBNLIF, BNTT2d, GroupNorm2d, TAB2d, TEBatchNorm2d

T, B, C, H, W = 3, 2, 4, 2, 3
MOMENTUM = 0.1
rng = np.random.default_rng(0)
X = rng.normal(size=(T, B, C, H, W)) * np.array([1.0, 3.0, 0.5])[:, None, None, None, None] + 0.3
OUT = rng.normal(size=X.shape)  # the gradient that arrives from above
SPACE = (0, 2, 3)


def wide(v):
    """[C] over [N, C, H, W]."""
    return v[None, :, None, None]


def normalize(x, pool, eps):
    return (x - wide(pool.mean(SPACE))) / np.sqrt(wide(pool.var(SPACE)) + eps)


def updated(mean, var, pool):
    n = pool.size / pool.shape[1]
    new_mean = (1 - MOMENTUM) * mean + MOMENTUM * pool.mean(SPACE)
    return new_mean, (1 - MOMENTUM) * var + MOMENTUM * pool.var(SPACE) * n / (n - 1)


def bntt(x, p):
    return np.stack([wide(p["weight"][t]) * normalize(x[t], x[t], 1e-4) for t in range(T)])


def tebn(x, p):
    flat = x.reshape(-1, *x.shape[2:])
    y = wide(p["weight"]) * normalize(flat, flat, 1e-5) + wide(p["bias"])
    return y.reshape(x.shape) * p["p"][:, None, None, None, None]


def tab(x, p):
    steps = []
    for t in range(T):
        pool = x[: t + 1].reshape(-1, *x.shape[2:])
        affine = wide(p["weight"][t]) * normalize(x[t], pool, 1e-5) + wide(p["bias"][t])
        steps.append(p["p"][t] ** 2 * affine)
    return np.stack(steps)


def groupnorm(x, p, groups=2):
    y = np.empty_like(x)
    for t in range(T):
        for b in range(B):
            for group in np.split(np.arange(C), groups):
                part = x[t, b, group]
                y[t, b, group] = (part - part.mean()) / np.sqrt(part.var() + 1e-5)
    return y * p["weight"][:, None, None] + p["bias"][:, None, None]


LAYERS = {
    "bntt": (lambda: BNTT2d(C, T), bntt),
    "tebn": (lambda: TEBatchNorm2d(C, T), tebn),
    "tab": (lambda: TAB2d(C, T), tab),
    "groupnorm": (lambda: GroupNorm2d(C, 2), groupnorm),
}


def make(name):
    """A layer in float64 with parameters away from their start, and the same as NumPy arrays."""
    layer = LAYERS[name][0]().double()
    generator = np.random.default_rng(1)
    for parameter in layer.parameters():
        parameter.data.copy_(torch.from_numpy(generator.uniform(0.5, 1.5, parameter.shape)))
    return layer, {k: v.detach().numpy().copy() for k, v in layer.named_parameters()}


def numeric(function, at, step=1e-6):
    """Central differences of the scalar `function` at the array `at`."""
    gradient = np.empty_like(at)
    for index in np.ndindex(at.shape):
        up, down = at.copy(), at.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


@pytest.mark.parametrize("name", LAYERS)
def test_training_values_and_gradients(name):
    layer, parameters = make(name)
    oracle = LAYERS[name][1]
    x = torch.from_numpy(X).requires_grad_()
    y = layer(x)
    y.backward(torch.from_numpy(OUT))
    np.testing.assert_allclose(y.detach().numpy(), oracle(X, parameters), rtol=1e-10, atol=1e-10)
    by_x = numeric(lambda v: (oracle(v, parameters) * OUT).sum(), X)
    np.testing.assert_allclose(x.grad.numpy(), by_x, rtol=1e-6, atol=1e-7)
    for key, parameter in layer.named_parameters():
        changed = numeric(
            lambda v, key=key: (oracle(X, {**parameters, key: v}) * OUT).sum(), parameters[key]
        )
        np.testing.assert_allclose(parameter.grad.numpy(), changed, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("name", "eps"), [("bntt", 1e-4), ("tab", 1e-5)])
def test_running_statistics_and_evaluation_of_each_step(name, eps):
    layer, parameters = make(name)
    layer(torch.from_numpy(X))
    y = layer.eval()(torch.from_numpy(X)).detach().numpy()
    for t in range(T):
        pool = X[t] if name == "bntt" else X[: t + 1].reshape(-1, C, H, W)
        mean, var = updated(np.zeros(C), np.ones(C), pool)
        np.testing.assert_allclose(layer.running_mean[t].numpy(), mean, rtol=1e-12)
        np.testing.assert_allclose(layer.running_var[t].numpy(), var, rtol=1e-12)
        by_hand = wide(parameters["weight"][t]) * (X[t] - wide(mean)) / np.sqrt(wide(var) + eps)
        if name == "tab":
            by_hand = parameters["p"][t] ** 2 * (by_hand + wide(parameters["bias"][t]))
        np.testing.assert_allclose(y[t], by_hand, rtol=1e-10)


def test_running_statistics_and_evaluation_of_tebn():
    layer, parameters = make("tebn")
    layer(torch.from_numpy(X))
    mean, var = updated(np.zeros(C), np.ones(C), X.reshape(-1, C, H, W))
    y = layer.eval()(torch.from_numpy(X)).detach().numpy()
    for t in range(T):
        normalized = (X[t] - wide(mean)) / np.sqrt(wide(var) + 1e-5)
        affine = wide(parameters["weight"]) * normalized + wide(parameters["bias"])
        np.testing.assert_allclose(y[t], parameters["p"][t] * affine, rtol=1e-10)


def test_group_norm_is_the_same_in_evaluation_and_takes_a_fitting_number_of_groups():
    layer, _ = make("groupnorm")
    x = torch.from_numpy(X)
    assert torch.equal(layer(x), layer.eval()(x))
    wished = {(32, 8): 8, (6, 4): 3, (7, 4): 1, (5, 5): 5}
    assert {k: GroupNorm2d(*k).num_groups for k in wished} == wished
    assert (GroupNorm2d(4, 2, scale=0.5).weight == 0.5).all()


def test_by_hand():
    """Channel of one pixel, batch 2, steps (1, 3) and (5, 5): BNTT normalises the first to -1, 1
    and the second to 0; TAB's second step has mean 3.5 and
    variance (6.25 + 0.25 + 2 * 2.25) / 4."""
    x = torch.tensor([[1.0, 3.0], [5.0, 5.0]], dtype=torch.float64).view(2, 2, 1, 1, 1)
    by_bntt = BNTT2d(1, 2).double()(x).flatten().tolist()
    assert by_bntt == pytest.approx([-1, 1, 0, 0], abs=1e-4)
    second = 1.5 / (11 / 4) ** 0.5
    by_tab = TAB2d(1, 2).double()(x).flatten().tolist()
    assert by_tab == pytest.approx([-1, 1, second, second], abs=1e-4)


@pytest.mark.parametrize("make_layer", [BNTT2d, TAB2d, TEBatchNorm2d])
def test_another_number_of_steps_is_refused(make_layer):
    name = make_layer.__name__
    with pytest.raises(ValueError, match=f"{name} was made for 3 time steps, the activity has 2"):
        make_layer(C, 3)(torch.zeros(2, B, C, H, W))
    with pytest.raises(ValueError, match=f"{name} was made for 2 time steps, the state to load is"):
        torch.nn.Sequential(make_layer(C, 2)).load_state_dict(
            torch.nn.Sequential(make_layer(C, 3)).state_dict()
        )


def bump(x):
    s = 1 / (1 + np.exp(-4 * x))
    return 4 * s * (1 - s)


def membrane_forward(current, weight, bias, tau, theta, hard):
    """u, normalised u, its spread, and spikes of each step; statistics of each step alone."""
    v, trace = np.zeros_like(current[0]), []
    for step in current:
        u = (1 - 1 / tau) * v + step
        normalized = normalize(u, u, 1e-5)
        m = wide(weight) * normalized + wide(bias)
        s = (m >= theta).astype(float)
        trace.append((u, normalized, np.sqrt(u.var(SPACE) + 1e-5), m, s))
        v = u * (1 - s) if hard else u - theta * s
    return trace


def membrane_backward(trace, out, weight, tau, theta, hard, detach):
    """dL/dI, dL/dweight and dL/dbias by the chain rule, from the last step to the first."""
    grad_v = np.zeros_like(out[0])
    grads, grad_weight, grad_bias = [], 0.0, 0.0
    for (u, normalized, spread, m, s), grad_s in zip(trace[::-1], out[::-1], strict=True):
        through_reset = 0.0 if detach else -(u if hard else theta) * grad_v
        grad_m = (grad_s + through_reset) * bump(m - theta)
        grad_weight = grad_weight + (grad_m * normalized).sum(SPACE)
        grad_bias = grad_bias + grad_m.sum(SPACE)
        g = grad_m * wide(weight)
        centred = g - wide(g.mean(SPACE)) - normalized * wide((g * normalized).mean(SPACE))
        grad_u = centred / wide(spread) + grad_v * ((1 - s) if hard else 1.0)
        grads.append(grad_u)
        grad_v = (1 - 1 / tau) * grad_u
    return np.stack(grads[::-1]), grad_weight, grad_bias


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("detach", [True, False])
def test_membrane_norm(reset, detach):
    tau, theta = 3.0, 0.7
    neuron = MPBNLIF(C, tau=tau, threshold=theta, reset=reset, detach_reset=detach).double()
    generator = np.random.default_rng(2)
    weight, bias = generator.uniform(0.5, 1.5, C), generator.normal(size=C) * 0.2
    neuron.norm.weight.data.copy_(torch.from_numpy(weight))
    neuron.norm.bias.data.copy_(torch.from_numpy(bias))
    current = torch.from_numpy(X).requires_grad_()
    spikes = neuron(current)
    spikes.backward(torch.from_numpy(OUT))
    hard = reset == "hard"
    trace = membrane_forward(X, weight, bias, tau, theta, hard)
    expected = np.stack([s for *_, s in trace])
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(spikes.detach().numpy(), expected)
    by_current, by_weight, by_bias = membrane_backward(trace, OUT, weight, tau, theta, hard, detach)
    np.testing.assert_allclose(current.grad.numpy(), by_current, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(neuron.norm.weight.grad.numpy(), by_weight, rtol=1e-9)
    np.testing.assert_allclose(neuron.norm.bias.grad.numpy(), by_bias, rtol=1e-9)
    mean, var = np.zeros(C), np.ones(C)
    for u, *_ in trace:  # one set of running statistics, updated at every step
        mean, var = updated(mean, var, u)
    np.testing.assert_allclose(neuron.norm.running_mean.numpy(), mean, rtol=1e-10)
    np.testing.assert_allclose(neuron.norm.running_var.numpy(), var, rtol=1e-10)
