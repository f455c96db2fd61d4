"""Plain NumPy float64 reference for the layers: the equations, forward and backward, by hand.

Section numbers refer to the description of the E-I circuit: 1 the excitatory neuron, 2 one E-I
layer, 3 E-I Init, 4 E-I Prop. Batch norms follow their textbook definition. Arrays are
`[T, B, ...]`; inside a layer the T*B samples are one axis n, and every layer is a product over
columns `[n, d, P]` of fan-in d at P positions (a linear layer has P = 1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Parameters = dict[str, Array]


# --- Section 1: the excitatory neuron --------------------------------------------------------


def surrogate(x: Array, kind: str) -> Array:
    """Section 1, derivative of the spike at x = u - threshold."""
    if kind == "sigmoid":
        s = 1.0 / (1.0 + np.exp(-4.0 * x))
        return 4.0 * s * (1.0 - s)
    assert kind == "atan", kind
    return 2.0 / (2.0 * (1.0 + (np.pi / 2.0 * 2.0 * x) ** 2))


def lif_forward(current: Array, tau: float, threshold: float, reset: str) -> tuple[Array, Array]:
    """Section 1: spikes s and charged potentials u, both [T, ...]; v[-1] = 0."""
    u, s = np.zeros_like(current), np.zeros_like(current)
    v = np.zeros(current.shape[1:])
    for t in range(len(current)):
        u[t] = (1.0 - 1.0 / tau) * v + current[t]
        s[t] = (u[t] >= threshold).astype(np.float64)
        v = u[t] - threshold * s[t] if reset == "soft" else u[t] * (1.0 - s[t])
    return s, u


def lif_reset_slope(
    u: Array, s: Array, ds_du: Array, threshold: float, reset: str, detach: bool
) -> Array:
    """Section 1: dv/du of one step; a detached reset takes the spike as a constant."""
    path = 0.0 * ds_du if detach else ds_du
    if reset == "soft":
        return 1.0 - threshold * path
    return (1.0 - s) - u * path


def lif_backward(
    grad: Array,
    current: Array,
    tau: float,
    threshold: float,
    reset: str,
    kind: str,
    detach: bool,
) -> Array:
    """Section 1 backward in time: g_u[t] = grad[t] ds/du + (1 - 1/tau) g_u[t+1] dv/du."""
    s, u = lif_forward(current, tau, threshold, reset)
    g_current, g_v = np.zeros_like(current), np.zeros(current.shape[1:])
    for t in reversed(range(len(current))):
        ds_du = surrogate(u[t] - threshold, kind)
        dv_du = lif_reset_slope(u[t], s[t], ds_du, threshold, reset, detach)
        g_current[t] = grad[t] * ds_du + g_v * dv_du
        g_v = (1.0 - 1.0 / tau) * g_current[t]
    return g_current


# --- Columns of a convolution ----------------------------------------------------------------


def unfold(x: Array, kernel: int, stride: int, padding: int) -> tuple[Array, tuple[int, int]]:
    """Columns [n, C k k, P] of images [n, C, H, W] under zero padding, and the output's H, W."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    n, c, height, width = x.shape
    h, w = (height - kernel) // stride + 1, (width - kernel) // stride + 1
    columns = np.zeros((n, c, kernel, kernel, h, w))
    for i in range(kernel):
        for j in range(kernel):
            columns[:, :, i, j] = x[:, :, i : i + stride * h : stride, j : j + stride * w : stride]
    return columns.reshape(n, c * kernel * kernel, h * w), (h, w)


def fold(
    columns: Array,
    shape: tuple[int, ...],
    out: tuple[int, int],
    kernel: int,
    stride: int,
    padding: int,
) -> Array:
    """The adjoint of `unfold`: every column entry is added back to the pixel it came from."""
    (n, c, height, width), (h, w) = shape, out
    x = np.zeros((n, c, height + 2 * padding, width + 2 * padding))
    columns = columns.reshape(n, c, kernel, kernel, h, w)
    for i in range(kernel):
        for j in range(kernel):
            x[:, :, i : i + stride * h : stride, j : j + stride * w : stride] += columns[:, :, i, j]
    return x[:, :, padding : padding + height, padding : padding + width]


# --- Sections 2 and 4: one E-I layer on columns ----------------------------------------------


@dataclass
class Circuit:
    """Section 2: the currents of one layer, [n, channels, P]."""

    i_ee: Array  # excitation
    s_i: Array  # inhibitory cells
    slope: Array  # their derivative
    i_sub: Array  # subtractive inhibition
    i_div: Array  # divisive inhibition, before stabilisation
    stable: Array  # S, after stabilisation
    current: Array  # the integrated current


def channels(weight: Array, activity: Array) -> Array:
    """W a at every sample and position: [m, k] x [n, k, P] -> [n, m, P]."""
    return np.einsum("mk,nkp->nmp", weight, activity)


def outer(grad: Array, activity: Array) -> Array:
    """Gradient of W in `channels`, summed over samples and positions."""
    return np.einsum("nmp,nkp->mk", grad, activity)


def stabilise(i_div: Array) -> Array:
    """Section 4: exact zeros become the smallest positive value of the same sample; of one that
    has none, infinity."""
    stable = i_div.copy()
    for n in range(len(i_div)):
        positive = i_div[n][i_div[n] > 0.0]
        stable[n][i_div[n] == 0.0] = positive.min() if positive.size else np.inf
    return stable


def lawful(p: Parameters) -> bool:
    """Section 2: whether a layer's parameters keep Dale's law, under which its cells are linear."""
    return all((v >= 0.0).all() for name, v in p.items() if name != "bias")


def cells(x: Array, p: Parameters) -> tuple[Array, Array]:
    """Section 2: inhibitory cells and their derivative, on columns x. Linear under Dale's law,
    else rectifiers of slope 0 at zero."""
    z_i = channels(p["weight_ie"], x)
    if lawful(p):
        return z_i, np.ones_like(z_i)
    return np.maximum(z_i, 0.0), (z_i > 0.0).astype(np.float64)


def circuit(x: Array, p: Parameters) -> Circuit:
    """Section 2 on columns x [n, d, P]; every weight in p is a matrix here."""
    i_ee = channels(p["weight_ee"], x)
    s_i, slope = cells(x, p)
    i_sub = channels(p["weight_ei"], s_i)
    i_div = channels(p["weight_ei"], p["gain_i"][:, None] * s_i)
    stable = stabilise(i_div)
    current = p["gain_e"][:, None] * (i_ee - i_sub) / stable + p["bias"][:, None]
    return Circuit(i_ee, s_i, slope, i_sub, i_div, stable, current)


def circuit_backward(grad: Array, x: Array, p: Parameters, f: Circuit) -> tuple[Array, Parameters]:
    """Section 4: E-I Prop. Gradients of the columns and of every parameter.

    dI/dN = g_E / S and dI/dS = -g_E N / S^2 at the stabilised S, and dS/dI_div = 1 everywhere.
    """
    net, g = f.i_ee - f.i_sub, p["gain_e"][:, None] * grad
    d_net, d_div = g / f.stable, -g * net / f.stable**2
    gated = p["gain_i"][:, None] * f.s_i
    to_sub, to_div = channels(p["weight_ei"].T, -d_net), channels(p["weight_ei"].T, d_div)
    d_z = (to_sub + p["gain_i"][:, None] * to_div) * f.slope
    grads = {
        "weight_ee": outer(d_net, x),
        "weight_ie": outer(d_z, x),
        "weight_ei": (outer(-d_net, f.s_i) + outer(d_div, gated)) / x.shape[1],
        "gain_i": (to_div * f.s_i).sum((0, 2)),
        "gain_e": (grad * net / f.stable).sum((0, 2)),
        "bias": grad.sum((0, 2)),
    }
    return channels(p["weight_ee"].T, d_net) + channels(p["weight_ie"].T, d_z), grads


def readout(x: Array, p: Parameters) -> Circuit:
    """Section 2, the last layer: I_EE - I_sub and nothing else."""
    i_ee = channels(p["weight_ee"], x)
    s_i, slope = cells(x, p)
    i_sub = channels(p["weight_ei"], s_i)
    none = np.zeros_like(i_sub)
    return Circuit(i_ee, s_i, slope, i_sub, none, none, i_ee - i_sub)


def readout_backward(grad: Array, x: Array, p: Parameters, f: Circuit) -> tuple[Array, Parameters]:
    """The readout's gradients; that of W_EI is scaled by 1/d as in any layer (section 4)."""
    d_z = channels(p["weight_ei"].T, -grad) * f.slope
    grads = {
        "weight_ee": outer(grad, x),
        "weight_ie": outer(d_z, x),
        "weight_ei": outer(-grad, f.s_i) / x.shape[1],
    }
    return channels(p["weight_ee"].T, grad) + channels(p["weight_ie"].T, d_z), grads


# --- The same layer as a user sees it --------------------------------------------------------


@dataclass(frozen=True)
class Geometry:
    """Which layer: a convolution (kernel > 0) or a linear layer (kernel 0), perhaps the last."""

    kernel: int = 0
    stride: int = 1
    padding: int = 0
    readout: bool = False


def columns_of(x: Array, geometry: Geometry) -> tuple[Array, tuple[int, ...]]:
    """Activity [T, B, ...] as columns [T*B, d, P], and the positions' shape."""
    merged = x.reshape(-1, *x.shape[2:])
    if geometry.kernel == 0:
        return merged[:, :, None], ()
    return unfold(merged, geometry.kernel, geometry.stride, geometry.padding)


def columns_back(columns: Array, shape: tuple[int, ...], geometry: Geometry) -> Array:
    """The adjoint of `columns_of`, for an activity of that shape."""
    if geometry.kernel == 0:
        return columns.reshape(shape)
    g, merged = geometry, (shape[0] * shape[1], *shape[2:])
    out = tuple((n + 2 * g.padding - g.kernel) // g.stride + 1 for n in shape[3:])
    return fold(columns, merged, (out[0], out[1]), g.kernel, g.stride, g.padding).reshape(shape)


def matrices(p: Parameters) -> Parameters:
    """Convolution kernels [n, C, k, k] flattened to [n, d]; everything else as it is."""
    return {
        k: v.reshape(len(v), -1) if k in ("weight_ee", "weight_ie") else v for k, v in p.items()
    }


def layer_forward(x: Array, p: Parameters, geometry: Geometry) -> tuple[Array, Circuit]:
    """Section 2: the current [T, B, n_E, ...] of an activity [T, B, ...], and the circuit."""
    columns, positions = columns_of(x, geometry)
    f = (readout if geometry.readout else circuit)(columns, matrices(p))
    return f.current.reshape(*x.shape[:2], -1, *positions), f


def layer_backward(
    grad: Array, x: Array, p: Parameters, geometry: Geometry
) -> tuple[Array, Parameters]:
    """Section 4: the gradients of x and of every parameter, in the shapes of x and p."""
    columns, _ = columns_of(x, geometry)
    f = layer_forward(x, p, geometry)[1]
    backward = readout_backward if geometry.readout else circuit_backward
    d_columns, grads = backward(grad.reshape(f.current.shape), columns, matrices(p), f)
    d_x = columns_back(d_columns, x.shape, geometry)
    return d_x, {k: v.reshape(p[k].shape) for k, v in grads.items()}


def layer_magnitudes(
    grad: Array, x: Array, p: Parameters, geometry: Geometry
) -> tuple[Array, Parameters]:
    """What the gradients of `layer_backward` would be if no two terms of their sums cancelled: the
    sums of the terms' absolute values, which rounding errors are to be held against.

    For parameters >= 0. With grad < 0 and I_EE + I_sub for I_EE - I_sub every term of a sum has the
    same sign.
    """
    columns, _ = columns_of(x, geometry)
    f = layer_forward(x, p, geometry)[1]
    added = replace(f, i_sub=-f.i_sub)
    d_columns, grads = circuit_backward(
        -np.abs(grad).reshape(f.current.shape), columns, matrices(p), added
    )
    d_x = columns_back(np.abs(d_columns), x.shape, geometry)
    return d_x, {k: np.abs(v).reshape(p[k].shape) for k, v in grads.items()}


# --- Section 3: E-I Init ---------------------------------------------------------------------


def init_statistics(x: Array) -> tuple[float, float, float]:
    """Section 3: m, q and V of an activity [T, B, ...]."""
    samples = x.reshape(x.shape[0] * x.shape[1], -1)
    spread = ((samples - samples.mean(0)) ** 2).sum(0) / (len(samples) - 1)
    return float(samples.mean()), float((samples**2).mean()), float(spread.mean())


def init_scales(x: Array, fan_in: int) -> tuple[float, float]:
    """Section 3: the weights' mean lambda and the gain g_I."""
    m, q, v = init_statistics(x)
    return float(np.sqrt(v / (fan_in * (q + v)))), float(np.sqrt((q + v) / fan_in) / m)


# --- Batch norms -----------------------------------------------------------------------------

EPS, MOMENTUM = 1e-5, 0.1


def channel(v: Array) -> Array:
    """A per-channel vector, shaped to meet [n, C, H, W]."""
    return v[None, :, None, None]


def batch_norm(x: Array, weight: Array, bias: Array, scale: float = 1.0) -> Array:
    """y = weight scale (x - mean) / sqrt(var + eps) + bias over n, H, W of [n, C, H, W]."""
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
    x_hat = (x - channel(mean)) / np.sqrt(channel(var) + EPS)
    return channel(weight) * scale * x_hat + channel(bias)


def batch_norm_backward(
    grad: Array, x: Array, weight: Array, scale: float = 1.0
) -> tuple[Array, Array, Array]:
    """Gradients of x, weight and bias; the batch's mean and variance depend on x."""
    axes = (0, 2, 3)
    sigma = np.sqrt(channel(x.var(axes)) + EPS)
    x_hat = (x - channel(x.mean(axes))) / sigma
    centred = grad - channel(grad.mean(axes)) - x_hat * channel((grad * x_hat).mean(axes))
    d_weight = scale * (grad * x_hat).sum(axes)
    return channel(weight) * scale * centred / sigma, d_weight, grad.sum(axes)


def running_update(mean: Array, var: Array, x: Array) -> tuple[Array, Array]:
    """Running mean and (unbiased) variance after one batch [n, C, H, W]."""
    axes, count = (0, 2, 3), x.size // x.shape[1]
    new_mean, new_var = x.mean(axes), x.var(axes) * count / (count - 1)
    return (
        (1.0 - MOMENTUM) * mean + MOMENTUM * new_mean,
        (1.0 - MOMENTUM) * var + MOMENTUM * new_var,
    )


def batch_norm_eval(
    x: Array, mean: Array, var: Array, weight: Array, bias: Array, scale: float = 1.0
) -> Array:
    """The same map with running statistics, for [..., C, H, W]."""
    shape = (-1, 1, 1)
    x_hat = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + EPS)
    return weight.reshape(shape) * scale * x_hat + bias.reshape(shape)
