"""Batch norms over [T, B, C, H, W]: against torch on merged axes, a loop oracle and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from oracle import (
    Array,
    batch_norm,
    batch_norm_backward,
    batch_norm_eval,
    running_update,
)
from torch import Tensor, nn
from torch.nn import functional

from eibench.nn import BatchNorm2d, BatchNormPerStep2d, TDBatchNorm2d

T, B, C, H, W = 3, 4, 2, 3, 5
STEPS = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)  # the steps differ in scale and mean
SCALES = [(1.0, 1.0), (0.5, 1.0), (1.0, 1 / math.sqrt(2)), (2.0, 0.75)]
NORMS = {
    "joint": lambda: BatchNorm2d(C),
    "per_step": lambda: BatchNormPerStep2d(C),
    "td": lambda: TDBatchNorm2d(C, threshold=0.5, alpha=0.75),
}


def draw(seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(T, B, C, H, W, generator=rng, dtype=torch.float64)
    return x * STEPS.view(T, 1, 1, 1, 1) + STEPS.view(T, 1, 1, 1, 1)


def affine(norm: nn.Module, seed: int = 0) -> nn.Module:
    """Random weight and bias, in float64."""
    norm = norm.double()
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for v in (norm.weight, norm.bias):
            v.copy_(torch.randn(v.shape, generator=rng, dtype=torch.float64))
    return norm


def answer(norm: nn.Module, x: Tensor, grad: Tensor) -> list[Tensor]:
    """Value and gradients of x, weight and bias."""
    norm.zero_grad()
    x = x.clone().requires_grad_()
    y = norm(x)
    assert y.shape == x.shape and y.dtype == x.dtype
    y.backward(grad)
    return [y.detach(), x.grad, norm.weight.grad.clone(), norm.bias.grad.clone()]


def running(norm: nn.Module) -> list[Tensor]:
    return [norm.running_mean.clone(), norm.running_var.clone()]


def same(got: list, expected: list) -> None:
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-9, atol=1e-9)


class Merged(nn.Module):
    """torch's own batch norm on [T*B, C, H, W]; `scale` multiplies its weight."""

    def __init__(self, norm: nn.Module, scale: float) -> None:
        super().__init__()
        self.running_mean = torch.zeros(C, dtype=torch.float64)
        self.running_var = torch.ones(C, dtype=torch.float64)
        self.weight = nn.Parameter(norm.weight.detach().clone())
        self.bias = nn.Parameter(norm.bias.detach().clone())
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        weight, state = self.weight * self.scale, (self.running_mean, self.running_var)
        flat = x.flatten(0, 1)
        y = functional.batch_norm(flat, *state, weight, self.bias, self.training, 0.1, 1e-5)
        return y.unflatten(0, x.shape[:2])


# --- Defaults and parameters -----------------------------------------------------------------


@pytest.mark.parametrize("name", NORMS)
def test_fresh_state(name: str) -> None:
    norm = NORMS[name]()
    assert {k: tuple(v.shape) for k, v in norm.named_parameters()} == {"weight": (C,), "bias": (C,)}
    assert (norm.weight == 1.0).all() and (norm.bias == 0.0).all()
    assert (norm.running_mean == 0.0).all() and (norm.running_var == 1.0).all()
    buffers = {k for k, v in norm.named_buffers() if v.numel() == C}
    assert buffers == {"running_mean", "running_var"}


# --- Joint statistics ------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [None, *SCALES], ids=str)
def test_joint_statistics_against_torch(scale: tuple[float, float] | None) -> None:
    """Three training batches, then evaluation: values, gradients and running statistics."""
    norm = affine(BatchNorm2d(C) if scale is None else TDBatchNorm2d(C, *scale))
    merged = Merged(norm, 1.0 if scale is None else scale[0] * scale[1])
    for seed in range(3):
        x, grad = draw(seed), draw(10 + seed)
        same(answer(norm, x, grad), answer(merged, x, grad))
        same(running(norm), running(merged))
    norm.eval()
    merged.eval()
    before = running(norm)
    x, grad = draw(3), draw(13)
    same(answer(norm, x, grad), answer(merged, x, grad))
    same(running(norm), before)


@pytest.mark.parametrize("scale", [None, *SCALES], ids=str)
def test_joint_statistics_against_the_oracle(scale: tuple[float, float] | None) -> None:
    norm = affine(BatchNorm2d(C) if scale is None else TDBatchNorm2d(C, *scale))
    factor = 1.0 if scale is None else scale[0] * scale[1]
    weight, bias = norm.weight.detach().numpy(), norm.bias.detach().numpy()
    x, grad = draw(4), draw(14)
    flat, g = x.flatten(0, 1).numpy(), grad.flatten(0, 1).numpy()
    y = batch_norm(flat, weight, bias, factor).reshape(x.shape)
    d_x, d_w, d_b = batch_norm_backward(g, flat, weight, factor)
    same(answer(norm, x, grad), [y, d_x.reshape(x.shape), d_w, d_b])
    mean, var = running_update(np.zeros(C), np.ones(C), flat)
    same(running(norm), [mean, var])
    y = batch_norm_eval(x.numpy(), mean, var, weight, bias, factor)
    same([norm.eval()(x).detach()], [y])


def test_joint_by_hand() -> None:
    # T = 2, B = 1, one channel, 1x2 pixels: 1, 3 at t = 0 and 5, 7 at t = 1. Mean 4, variance
    # (9 + 1 + 1 + 9) / 4 = 5: y = (x - 4) / sqrt(5 + 1e-5). The steps' own means stay: -+2/sqrt(5).
    # Running mean 0.1 * 4, running variance 0.9 + 0.1 * 20/3 (unbiased).
    x = torch.tensor([1.0, 3.0, 5.0, 7.0], dtype=torch.float64).reshape(2, 1, 1, 1, 2)
    y = np.array([-3.0, -1.0, 1.0, 3.0]) / math.sqrt(5 + 1e-5)
    evaluated = (np.array([1.0, 3.0, 5.0, 7.0]) - 0.4) / math.sqrt(0.9 + 2 / 3 + 1e-5)
    for norm, factor in [(BatchNorm2d(1), 1.0), (TDBatchNorm2d(1, threshold=0.5, alpha=3.0), 1.5)]:
        norm = norm.double()
        same([norm(x).detach().ravel()], [factor * y])
        same(running(norm), [[0.4], [0.9 + 2 / 3]])
        same([norm.eval()(x).detach().ravel()], [factor * evaluated])


# --- Threshold-dependent ---------------------------------------------------------------------


def test_threshold_dependent_is_joint_at_one() -> None:
    """threshold 1 and alpha 1, the defaults: equal to the last bit, in training and after."""
    for dtype in (torch.float64, torch.float32):
        joint, td = affine(BatchNorm2d(C)).to(dtype), affine(TDBatchNorm2d(C)).to(dtype)
        explicit = affine(TDBatchNorm2d(C, threshold=1.0, alpha=1.0)).to(dtype)
        for training in (True, True, False):
            x, grad = draw(5).to(dtype), draw(15).to(dtype)
            expected = answer(joint.train(training), x, grad) + running(joint)
            for other in (td, explicit):
                got = answer(other.train(training), x, grad) + running(other)
                assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_threshold_scales_the_output() -> None:
    """A fresh tdBN hands N(0, (alpha threshold)^2) to its neuron; its weight itself stays 1."""
    norm = TDBatchNorm2d(C, threshold=0.5, alpha=1 / math.sqrt(2)).double()
    y = norm(draw(6))
    assert (norm.weight == 1.0).all()
    std = y.std((0, 1, 3, 4), correction=0)
    np.testing.assert_allclose(std.detach().numpy(), 0.5 / math.sqrt(2), rtol=1e-4)
    np.testing.assert_allclose(y.mean((0, 1, 3, 4)).detach().numpy(), 0.0, atol=1e-12)


# --- Statistics at each step -----------------------------------------------------------------


def per_step(x: Array, weight: Array, bias: Array, grad: Array, state: list[Array]) -> list[Array]:
    """The loop: one batch norm per step, whose running buffers are the same two arrays."""
    y, d_x = np.zeros_like(x), np.zeros_like(x)
    d_w, d_b = np.zeros(C), np.zeros(C)
    for t in range(len(x)):
        y[t] = batch_norm(x[t], weight, bias)
        d_x[t], step_w, step_b = batch_norm_backward(grad[t], x[t], weight)
        d_w, d_b = d_w + step_w, d_b + step_b
        state[:] = running_update(state[0], state[1], x[t])
    return [y, d_x, d_w, d_b]


def test_per_step_against_the_loop() -> None:
    norm = affine(BatchNormPerStep2d(C))
    weight, bias = norm.weight.detach().numpy(), norm.bias.detach().numpy()
    state = [np.zeros(C), np.ones(C)]
    for seed in range(3):
        x, grad = draw(seed), draw(10 + seed)
        expected = per_step(x.numpy(), weight, bias, grad.numpy(), state)
        same(answer(norm, x, grad), expected)
        same(running(norm), state)
    norm.eval()
    x, grad = draw(3), draw(13)
    y, d_x, _, d_b = answer(norm, x, grad)
    same([y], [batch_norm_eval(x.numpy(), state[0], state[1], weight, bias)])
    slope = weight / np.sqrt(state[1] + 1e-5)
    same([d_x], [grad.numpy() * slope.reshape(C, 1, 1)])
    same([d_b], [grad.sum((0, 1, 3, 4))])
    same(running(norm), state)


def test_per_step_by_hand() -> None:
    # T = 2, B = 1, one channel, 1x2 pixels: 1, 3 at t = 0 and 5, 9 at t = 1.
    # Means 2 and 7, variances 1 and 4 (unbiased 2 and 8):
    # y = (-1, 1) / sqrt(1 + 1e-5), then (-2, 2) / sqrt(4 + 1e-5).
    # Running mean: 0.2, then 0.9 * 0.2 + 0.7 = 0.88.
    # Running variance: 0.9 + 0.2 = 1.1, then 0.99 + 0.8 = 1.79.
    x = torch.tensor([1.0, 3.0, 5.0, 9.0], dtype=torch.float64).reshape(2, 1, 1, 1, 2)
    norm = BatchNormPerStep2d(1).double()
    a, b = 1 / math.sqrt(1 + 1e-5), 2 / math.sqrt(4 + 1e-5)
    same([norm(x).detach().ravel()], [[-a, a, -b, b]])
    same(running(norm), [[0.88], [1.79]])
    expected = (np.array([1.0, 3.0, 5.0, 9.0]) - 0.88) / math.sqrt(1.79 + 1e-5)
    same([norm.eval()(x).detach().ravel()], [expected])


def test_per_step_accepts_any_number_of_steps() -> None:
    """The buffers belong to no step, so another T is no error and one step is a plain norm."""
    norm, plain = affine(BatchNormPerStep2d(C)), affine(nn.BatchNorm2d(C))
    x = draw(7)
    for t in range(T):
        same([norm(x[t : t + 1])[0].detach()], [plain(x[t]).detach()])
    same(running(norm), running(plain))
    other = affine(BatchNormPerStep2d(C))
    other(x)
    same(running(other), running(norm))


# --- What holds for all of them --------------------------------------------------------------


@pytest.mark.parametrize("name", NORMS)
def test_state_dict_round_trip(name: str) -> None:
    norm, fresh = affine(NORMS[name]()), NORMS[name]().double()
    norm(draw(8))
    fresh.load_state_dict(norm.state_dict())
    x = draw(9)
    assert torch.equal(fresh.eval()(x), norm.eval()(x))


@pytest.mark.parametrize("name", NORMS)
def test_memory_layout_does_not_matter(name: str) -> None:
    """An activity whose time and batch axes were swapped in memory."""
    x = draw(16)
    swapped = x.transpose(0, 1).contiguous().transpose(0, 1)
    assert not swapped.is_contiguous()
    norms = [affine(NORMS[name]()) for _ in range(2)]
    same([norms[0](swapped).detach()], [norms[1](x).detach()])
    same(running(norms[0]), running(norms[1]))


@pytest.mark.parametrize("name", NORMS)
def test_constant_channel(name: str) -> None:
    """No variance: the output is the bias, and it is finite."""
    norm = affine(NORMS[name]())
    y = norm(torch.full((T, B, C, H, W), 2.0, dtype=torch.float64))
    same([y.detach()], [norm.bias.detach().view(C, 1, 1).expand(T, B, C, H, W)])


def test_joint_and_per_step_differ() -> None:
    """On steps of different scale; otherwise the tests above could not tell them apart."""
    x = draw(17)
    joint, single = affine(BatchNorm2d(C)), affine(BatchNormPerStep2d(C))
    assert (joint(x) - single(x)).abs().max() > 0.1
    assert not torch.allclose(joint.running_var, single.running_var)
