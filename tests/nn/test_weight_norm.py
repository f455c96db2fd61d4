"""Standardised kernels and k winners against NumPy loops in float64."""

import numpy as np
import pytest
import torch

from eibench.nn import KWinners, WSConv2d, before_first_use, first_input

rng = np.random.default_rng(0)
GAIN = 1.7


def correlate(x, kernel, bias):
    """[N, C, H, W] with [O, C, 3, 3], one zero of padding, stride 1."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y = np.zeros((len(x), len(kernel), *x.shape[2:])) + bias[:, None, None]
    for i in range(3):
        for j in range(3):
            part = padded[:, :, i : i + x.shape[2], j : j + x.shape[3]]
            y += np.einsum("nchw,oc->nohw", part, kernel[:, :, i, j])
    return y


def kernel_gradient(x, grad):
    """dL/dkernel of `correlate`, given dL/dy."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    out = np.zeros((grad.shape[1], x.shape[1], 3, 3))
    for i in range(3):
        for j in range(3):
            part = padded[:, :, i : i + x.shape[2], j : j + x.shape[3]]
            out[:, :, i, j] = np.einsum("nchw,nohw->oc", part, grad)
    return out


def input_gradient(kernel, grad):
    """dL/dx: the correlation with the flipped kernel."""
    flipped = kernel[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    return correlate(grad, flipped, np.zeros(len(flipped)))


def standardize(w):
    """W^ and the root it is divided by, channel by channel."""
    out, roots = np.empty_like(w), np.empty(len(w))
    for i, row in enumerate(w):
        n = row.size
        roots[i] = np.sqrt(n * ((row - row.mean()) ** 2).sum() / (n - 1) + 1e-4)
        out[i] = GAIN * (row - row.mean()) / roots[i]
    return out, roots


def standardize_backward(w, grad):
    """With z = W - mean and r = sqrt(a z.z + eps), a = n / (n - 1): dL/dz = gain (g / r
    - a z (g.z) / r^3), from which the mean is taken."""
    _, roots = standardize(w)
    out = np.empty_like(w)
    for i, (row, g) in enumerate(zip(w, grad, strict=True)):
        z, a = row - row.mean(), row.size / (row.size - 1)
        by_z = GAIN * (g / roots[i] - a * z * (g * z).sum() / roots[i] ** 3)
        out[i] = by_z - by_z.mean()
    return out


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_ws_values_and_gradients(scale):
    """Also for kernels so small that eps counts."""
    x, w, bias = rng.normal(size=(3, 2, 4, 5)), rng.normal(size=(6, 2, 3, 3)), rng.normal(size=6)
    w = scale * (w + 0.5)
    conv = WSConv2d(2, 6, 3, padding=1, gain=GAIN).double()
    conv.gain.fill_(GAIN)  # free of the rounding of 32-bit floats
    conv.weight.data.copy_(torch.from_numpy(w))
    conv.bias.data.copy_(torch.from_numpy(bias))
    image = torch.from_numpy(x).requires_grad_()
    y = conv(image)
    kernel, _ = standardize(w)
    np.testing.assert_allclose(y.detach().numpy(), correlate(x, kernel, bias), rtol=1e-10)
    grad = rng.normal(size=y.shape)
    y.backward(torch.from_numpy(grad))
    by_weight = standardize_backward(w, kernel_gradient(x, grad))
    np.testing.assert_allclose(conv.weight.grad.numpy(), by_weight, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(conv.bias.grad.numpy(), grad.sum((0, 2, 3)), rtol=1e-10)
    np.testing.assert_allclose(
        image.grad.numpy(), input_gradient(kernel, grad), rtol=1e-9, atol=1e-11
    )


def test_ws_kernels_have_no_sum_and_a_known_square():
    torch.manual_seed(0)
    conv = WSConv2d(4, 7, 3, gain=2.0).double()
    kernel = conv.standardized().detach().numpy()
    n = 4 * 9
    np.testing.assert_allclose(kernel.sum((1, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose((kernel**2).sum((1, 2, 3)), 4 * (n - 1) / n, rtol=1e-3)
    assert conv.weight.std().item() == pytest.approx((2 / n) ** 0.5, rel=0.1)
    assert (conv.bias == 0).all()
    assert dict(conv.named_parameters()).keys() == {"weight", "bias"}
    assert conv.state_dict()["gain"] == 2.0


def test_a_learned_gain_of_each_channel():
    """dL/dgain of a channel is the sum of the gradient times the current without gain and bias."""
    conv = WSConv2d(2, 6, 3, padding=1, gain=GAIN, learned=True).double()
    gains = torch.from_numpy(rng.uniform(0.5, 2.0, 6))
    conv.gain.data.copy_(gains)
    x = torch.from_numpy(rng.normal(size=(3, 2, 4, 5)))
    kernel, _ = standardize(conv.weight.detach().numpy())
    plain = correlate(x.numpy(), kernel / GAIN, np.zeros(6))
    y, grad = conv(x), rng.normal(size=(3, 6, 4, 5))
    np.testing.assert_allclose(
        y.detach().numpy(), plain * gains.numpy()[:, None, None], rtol=1e-10, atol=1e-12
    )
    y.backward(torch.from_numpy(grad))
    np.testing.assert_allclose(conv.gain.grad.numpy(), (grad * plain).sum((0, 2, 3)), rtol=1e-9)


@pytest.mark.parametrize("learned", [False, True])
def test_a_measured_gain(learned):
    """The current of the batch gets the deviation; a silent batch leaves the gain."""
    conv = WSConv2d(2, 6, 3, learned=learned, deviation=0.5)
    assert not conv.measure_gain(torch.zeros(3, 2, 4, 5))
    assert (conv.gain == 1).all()
    x = torch.from_numpy(rng.normal(size=(3, 2, 4, 5))).float()
    assert conv.measure_gain(x)
    assert conv(x).std(correction=0).item() == pytest.approx(0.5, rel=1e-5)
    assert conv.gain.unique().numel() == 1


def test_ws_by_hand():
    """Weights 0 and 2: mean 1, unbiased variance 2, root sqrt(4), so -1/2 and 1/2 without gain."""
    conv = WSConv2d(2, 1, 1)
    conv.weight.data.copy_(torch.tensor([0.0, 2.0]).view(1, 2, 1, 1))
    assert conv.standardized().flatten().tolist() == pytest.approx([-0.5, 0.5], abs=1e-4)


def test_ws_of_a_single_weight_is_refused():
    with pytest.raises(ValueError, match="at least 2 weights"):
        WSConv2d(1, 4, 1)


@pytest.mark.parametrize(("share", "k"), [(0.25, 2), (0.4, 3), (0.01, 1), (1.0, 8)])
def test_winners_values_and_gradients(share, k):
    """Each position alone: the k largest are kept and get the gradient; the rest is zero."""
    x, grad = rng.normal(size=(3, 2, 8, 2, 3)), rng.normal(size=(3, 2, 8, 2, 3))
    expected, expected_grad = np.zeros_like(x), np.zeros_like(x)
    for t, b, h, w in np.ndindex(3, 2, 2, 3):
        for c in sorted(range(8), key=lambda c: x[t, b, c, h, w])[-k:]:
            expected[t, b, c, h, w] = x[t, b, c, h, w]
            expected_grad[t, b, c, h, w] = grad[t, b, c, h, w]
    current = torch.from_numpy(x).requires_grad_()
    y = KWinners(8, share)(current)
    y.backward(torch.from_numpy(grad))
    np.testing.assert_array_equal(y.detach().numpy(), expected)
    np.testing.assert_array_equal(current.grad.numpy(), expected_grad)


def test_exactly_k_win_a_tie():
    current = torch.ones(2, 1, 8, 3, 3, requires_grad=True)
    y = KWinners(8, 0.4)(current)
    assert (y.sum(2) == 3).all()
    y.sum().backward()
    assert torch.equal(current.grad, y.detach())


def test_a_loser_is_zero_even_beside_infinity():
    y = KWinners(2, 0.5)(torch.tensor([float("inf"), -float("inf")]).view(1, 1, 2, 1, 1))
    assert y.flatten().tolist() == [float("inf"), 0]


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match="share must be above 0 and at most 1, not"):
        KWinners(4, share)


class Backwards(torch.nn.Module):
    """Its parts are used in another order than they are registered in."""

    def __init__(self):
        super().__init__()
        self.last, self.first = torch.nn.Linear(3, 2), torch.nn.Linear(4, 3)

    def forward(self, x):
        return self.last(self.first(2 * x))


def test_modules_are_acted_on_in_forward_order_before_their_use():
    """Each once, on the input that those before it make after they were acted on."""
    shared, unused = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    model = torch.nn.Sequential(shared, torch.nn.ReLU(), torch.nn.Linear(2, 2), shared)
    model.unused = unused
    model.forward = lambda x: shared(model[2](shared(x)))
    seen = []

    def act(layer, x):
        seen.append((layer, x.clone()))
        layer.weight.data.copy_(torch.eye(2))
        layer.bias.data.fill_(1.0)

    x = torch.tensor([[1.0, 2.0]])
    before_first_use(model, x, torch.nn.Linear, act)
    assert [layer for layer, _ in seen] == [shared, model[2]]
    assert [value.tolist() for _, value in seen] == [[[1, 2]], [[2, 3]]]
    assert not any(layer._forward_pre_hooks for layer in (shared, model[2], unused))


def test_first_input_follows_the_batch_and_leaves_no_hook():
    model, x = Backwards(), torch.rand(2, 4)
    layer, seen = first_input(model, x, torch.nn.Linear)
    assert layer is model.first
    assert torch.equal(seen, 2 * x)
    assert not any(m._forward_pre_hooks for m in model.modules())
    with pytest.raises(ValueError, match="the model has no Conv2d that its input reaches"):
        first_input(model, x, torch.nn.Conv2d)
