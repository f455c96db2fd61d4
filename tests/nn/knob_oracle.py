"""The E-I circuit with its knobs in plain NumPy float64, forward and backward by hand.

Beside the equations of `oracle` (sections 2 and 4) these are new. S with a constant epsilon, with a
constant added, or no S at all. Without the straight-through rule dS/dI_div is 0 where S replaced a
zero, and what reaches the replacements of `adaptive` goes to the sample's smallest positive I_div,
in equal shares where several are equally small. Without Dale's law the cells are rectifiers, whose
slope is 0 at and below zero.
Spiking inhibitory cells: s_I = theta_I LIF(W_IE x / theta_I).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from oracle import (
    Array,
    Geometry,
    Parameters,
    channels,
    columns_back,
    columns_of,
    lif_backward,
    lif_forward,
    matrices,
    outer,
    stabilise,
)


@dataclass(frozen=True)
class Knobs:
    """The circuit's knobs, by the names of the options; `theta` is theta_I."""

    subtractive: bool = True
    divisive: bool = True
    stabilization: str = "adaptive"
    epsilon: float = 1e-6
    leak: float = 0.5
    straight_through: bool = True
    kappa: float = 1.0
    dale: bool = True
    inhibitory_cell: str = "rectifier"
    inhibitory_tau: float = 2.0
    theta: float = 1.0


@dataclass
class Currents:
    """What one layer computes, [n, channels, P]; empty where a part is off."""

    net: Array
    z_i: Array  # the inhibitory cells' drive
    s_i: Array
    i_div: Array
    stable: Array
    current: Array


def parts(k: Knobs, geometry: Geometry) -> tuple[bool, bool]:
    """Whether the layer subtracts and whether it divides: a readout never divides."""
    return k.subtractive, k.divisive and not geometry.readout


def names(k: Knobs, geometry: Geometry) -> set[str]:
    """The parameters that a layer has."""
    subtracts, divides = parts(k, geometry)
    return {
        "weight_ee",
        *({"weight_ie", "weight_ei"} if subtracts or divides else ()),
        *({"gain_i"} if divides else ()),
        *(() if geometry.readout else {"gain_e", "bias"}),
    }


def cells(z: Array, k: Knobs, steps: int) -> Array:
    """s_I of the drive z [n, n_I, P], n being time-major: sample t * B + b."""
    if k.inhibitory_cell == "rectifier":
        return z if k.dale else np.maximum(z, 0.0)
    drive = z.reshape(steps, -1, *z.shape[1:]) / k.theta
    spikes = lif_forward(drive, k.inhibitory_tau, 1.0, "soft")[0]
    return k.theta * spikes.reshape(z.shape)


def cells_backward(grad: Array, z: Array, k: Knobs, steps: int) -> Array:
    """The gradient of z; a spiking cell's theta_I in front and behind cancel."""
    if k.inhibitory_cell == "rectifier":
        return grad if k.dale else np.where(z > 0.0, grad, 0.0)
    timed = (steps, -1, *z.shape[1:])
    drive, g = z.reshape(timed) / k.theta, grad.reshape(timed) * k.theta
    back = lif_backward(g, drive, k.inhibitory_tau, 1.0, "soft", "sigmoid", True)
    return back.reshape(z.shape) / k.theta


def stable_of(i_div: Array, k: Knobs) -> Array:
    """S(I_div)."""
    if k.stabilization == "adaptive":
        return stabilise(i_div)
    if k.stabilization == "epsilon":
        return np.where(i_div == 0.0, k.epsilon, i_div)
    return i_div + k.leak if k.stabilization == "leak" else i_div


def stable_backward(grad: Array, i_div: Array, k: Knobs) -> Array:
    """The gradient of I_div, given that of S."""
    if k.straight_through or k.stabilization in ("leak", "none"):
        return grad
    zero = i_div == 0.0
    out = np.where(zero, 0.0, grad)
    if k.stabilization == "adaptive":
        for n in range(len(i_div)):
            positive = i_div[n][i_div[n] > 0.0]
            if positive.size:
                smallest = i_div[n] == positive.min()
                out[n][smallest] += grad[n][zero[n]].sum() / smallest.sum()
    return out


def knob_circuit(x: Array, p: Parameters, k: Knobs, geometry: Geometry, steps: int) -> Currents:
    """The layer on columns x [n, d, P]; every weight in p is a matrix here."""
    subtracts, divides = parts(k, geometry)
    i_ee = channels(p["weight_ee"], x)
    z = s = i_div = np.zeros((len(x), 0, x.shape[2]))
    if subtracts or divides:
        z = channels(p["weight_ie"], x)
        s = cells(z, k, steps)
    net = i_ee - channels(p["weight_ei"], s) if subtracts else i_ee
    stable = np.ones_like(net)
    if divides:
        i_div = channels(p["weight_ei"], p["gain_i"][:, None] * s)
        stable = stable_of(i_div, k)
    with np.errstate(invalid="ignore", divide="ignore"):
        out = net / stable
    if not geometry.readout:
        out = p["gain_e"][:, None] * out + p["bias"][:, None]
    return Currents(net, z, s, i_div, stable, out)


def knob_backward(
    grad: Array, x: Array, p: Parameters, k: Knobs, geometry: Geometry, steps: int
) -> tuple[Array, Parameters]:
    """Gradients of the columns and of every parameter that the layer has."""
    f = knob_circuit(x, p, k, geometry, steps)
    subtracts, divides = parts(k, geometry)
    grads: Parameters = {}
    if not geometry.readout:
        grads["gain_e"] = (grad * f.net / f.stable).sum((0, 2))
        grads["bias"] = grad.sum((0, 2))
        grad = p["gain_e"][:, None] * grad
    d_net = grad / f.stable
    grads["weight_ee"] = outer(d_net, x)
    d_x = channels(p["weight_ee"].T, d_net)
    if not (subtracts or divides):
        return d_x, grads
    d_s, d_ei = np.zeros_like(f.s_i), np.zeros_like(p["weight_ei"])
    if subtracts:
        d_s += channels(p["weight_ei"].T, -d_net)
        d_ei += outer(-d_net, f.s_i)
    if divides:
        d_div = stable_backward(-grad * f.net / f.stable**2, f.i_div, k)
        gated = channels(p["weight_ei"].T, d_div)
        d_s += p["gain_i"][:, None] * gated
        d_ei += outer(d_div, p["gain_i"][:, None] * f.s_i)
        grads["gain_i"] = (gated * f.s_i).sum((0, 2))
    d_z = cells_backward(d_s, f.z_i, k, steps)
    grads["weight_ie"] = outer(d_z, x)
    grads["weight_ei"] = d_ei / x.shape[1] ** k.kappa
    return d_x + channels(p["weight_ie"].T, d_z), grads


def knob_forward(x: Array, p: Parameters, k: Knobs, geometry: Geometry) -> tuple[Array, Currents]:
    """The current [T, B, n_E, ...] of an activity [T, B, ...], and what it is made of."""
    columns, positions = columns_of(x, geometry)
    f = knob_circuit(columns, matrices(p), k, geometry, len(x))
    return f.current.reshape(*x.shape[:2], -1, *positions), f


def knob_gradients(
    grad: Array, x: Array, p: Parameters, k: Knobs, geometry: Geometry
) -> tuple[Array, Parameters]:
    """The gradients of x and of every parameter, in the shapes of x and p."""
    columns, positions = columns_of(x, geometry)
    flat = grad.reshape(len(columns), -1, int(np.prod(positions)))
    d_columns, grads = knob_backward(flat, columns, matrices(p), k, geometry, len(x))
    d_x = columns_back(d_columns, x.shape, geometry)
    return d_x, {name: v.reshape(p[name].shape) for name, v in grads.items()}
