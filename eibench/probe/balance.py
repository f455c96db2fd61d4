"""Balance and signal of one layer, in numbers that explain why deep E-I networks stop learning.

They are: drift of the balance, share of the current that carries signal, spread of the neurons'
mean currents, information on classes in the spikes. All sums are in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor


def imbalances(i_ee: Tensor, i_sub: Tensor) -> Tensor | None:
    """Return (mean(I_EE) - mean(I_sub)) / std(I_EE), with its sign, for each neuron [n_E].

    Means are a neuron's (channel's), over time, batch and positions of [T, B, n_E, ...]; the
    deviation is that of all entries. None where I_EE does not vary.
    """
    others = [dim for dim in range(i_ee.dim()) if dim != 2]
    excitation = i_ee.double()
    deviation = excitation.std(correction=0)
    if deviation == 0:
        return None
    return (excitation.mean(others) - i_sub.double().mean(others)) / deviation


def drift(before: Tensor | None, now: Tensor | None) -> float | None:
    """Return the root mean square over neurons of the change of imbalance; None without both.

    It counts changes of a layer as a whole and changes between its neurons.
    """
    if before is None or now is None:
        return None
    return (now - before).square().mean().sqrt().item()


def signal_share(current: Tensor) -> float | None:
    """Return the share of the variance of `current` [T, B, C, ...] that the input drives.

    The variance between the batch's samples at one neuron, position and time step, averaged over
    these, over the variance of all entries; between 0 and 1. At a fixed place and time nothing but
    the sample differs: what every sample shares carries no signal, be it the offset of a neuron, a
    pattern over positions (borders see padding) or one over time (membranes start at zero). The
    mean is taken of variances and not of shares, so that nearly constant neurons do not count
    like the others. None where nothing varies.
    """
    current = current.double()
    total = current.var(correction=0)
    if total == 0:
        return None
    return (current.var(dim=1, correction=0).mean() / total).item()


def mean_spread(current: Tensor) -> float | None:
    """Return the deviation of the neurons' means of `current` [T, B, C, ...], over its signal.

    The means are each neuron's (channel's), over time, batch and positions. The signal is the
    deviation between samples at one neuron, position and time step: the root mean square over
    these, which is the deviation of all entries times the root of `signal_share`. None where
    samples do not differ.
    """
    current = current.double()
    signal = current.var(dim=1, correction=0).mean().sqrt()
    if signal == 0:
        return None
    means = current.mean([dim for dim in range(current.dim()) if dim != 2])
    return (means.std(correction=0) / signal).item()


def class_signal(spikes: Tensor, labels: Tensor) -> float | None:
    """Return how well rates of `spikes` [T, B, C, ...] separate the classes `labels` [B].

    The F ratio of an analysis of variance, of rates over time, summed over neurons and positions:
    variance between classes over that within, each over its degrees of freedom. About 1 where a
    layer knows nothing of the classes, whatever its activity. None with fewer than two classes,
    without two samples of any, or where rates do not vary within classes.
    """
    rates = spikes.double().mean(0).flatten(1)
    found, members = labels.unique(return_inverse=True)
    classes, samples = len(found), len(labels)
    if not 1 < classes < samples:
        return None
    counts = torch.bincount(members, minlength=classes).to(rates)[:, None]
    sums = rates.new_zeros(classes, rates.shape[1]).index_add_(0, members, rates)
    means = sums / counts
    within = (rates - means[members]).square().sum() / (samples - classes)
    between = (counts * (means - rates.mean(0)).square()).sum() / (classes - 1)
    return None if within == 0 else (between / within).item()
