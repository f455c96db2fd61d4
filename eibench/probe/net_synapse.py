"""Net synapse of a layer: the means of its rows, and what the next optimizer step changes.

The net synapse N [n, ...] of a synapse has a row of d weights for each neuron (output channel):

    E-I layer                   W_EE - W_EI W_IE, without g_E; W_EE where nothing is subtracted;
                                its rows balanced and scaled as the layer does (`Balance`)
    WSConv2d                    the standardised kernel
    convolutions and matrices   the weight

It is the layer's response to its input where inhibitory cells are linear, and its definition where
they are not. Of a row r let mean(r) be the mean, c = r - mean(r) and std(r) = |c| / sqrt(d):

    net_mean       sqrt(mean over rows of (mean(r) / std(r))^2); rows that do not vary are left out

The update U of N is the difference that one optimizer step makes: the step of training that comes
next, with its batch, learning rate, momentum, clipping, weight decay and Dale's law. With u the row
of U that belongs to r:

    update_mean    sum over rows of d mean(u)^2, over |U|^2: all weights of a neuron move together
    update_scale   sum over rows of (u . c)^2 / |c|^2, over |U|^2: a row grows or shrinks about its
                   mean; 0 for rows that do not vary
    update_size    |U| / |N|

Both directions of a row are orthogonal, so that the shares add up to 1 at most. The rest is the
share that changes which inputs a neuron answers to. A layer that adds several currents has the rows
of all its synapses. Values are None where they do not exist: where no row varies, where U (for the
shares) or N (for the size) is zero, and after the last step of training. All sums are in float64.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from eibench.nn import EILayer, WSConv2d
from eibench.training.build import Experiment
from eibench.training.fit import train_step

TrainingStep = tuple[tuple[Tensor, Tensor], float, int]
"""A batch of images and labels, and the learning rate."""


@torch.no_grad()
def net_synapse(synapse: nn.Module) -> Tensor:
    """Return the net synapse [n, d] of a convolution, a matrix or an E-I layer, in float64."""
    exact = copy.deepcopy(synapse).double()
    weight: Tensor | nn.Module
    if isinstance(exact, EILayer):
        weight = exact.net_synapse()
    else:
        weight = exact.standardized() if isinstance(exact, WSConv2d) else exact.weight
    assert isinstance(weight, Tensor)
    return weight.detach().flatten(1)


def step_on_copy(experiment: Experiment, step: TrainingStep) -> nn.Module:
    """Return a copy of the network after one optimizer step; `experiment` stays as it is."""
    model, optimizer = copy.deepcopy((experiment.model, experiment.optimizer))
    train_step(replace(experiment, model=model.train(), optimizer=optimizer), *step)
    return model


def net_synapse_metrics(
    synapses: Mapping[str, nn.Module], stepped: nn.Module | None
) -> dict[str, float | None]:
    """Return the metrics of a layer's `synapses`, which are given by their names in the network.

    `stepped` is the network one step later, None after the last step of training.
    """
    nets = [net_synapse(synapse) for synapse in synapses.values()]
    metrics = {"net_mean": relative_mean(nets)}
    if stepped is None:
        return {**metrics, **dict.fromkeys(("update_mean", "update_scale", "update_size"))}
    later = [net_synapse(stepped.get_submodule(name)) for name in synapses]
    return {**metrics, **update_metrics(nets, later)}


def relative_mean(nets: Sequence[Tensor]) -> float | None:
    """Return `net_mean` of the rows of all `nets` [n, d]."""
    rows = [(net.mean(1), net.std(1, correction=0)) for net in nets]
    ratios = [(mean / deviation)[deviation != 0] for mean, deviation in rows]
    found = torch.cat(ratios) if ratios else torch.empty(0)
    return found.square().mean().sqrt().item() if len(found) else None


def update_metrics(before: Sequence[Tensor], after: Sequence[Tensor]) -> dict[str, float | None]:
    """Return `update_mean`, `update_scale` and `update_size` of net synapses [n, d]."""
    size = mean = scale = total = 0.0
    for net, later in zip(before, after, strict=True):
        update, centred = later - net, net - net.mean(1, keepdim=True)
        size += net.square().sum().item()
        total += update.square().sum().item()
        mean += (update.mean(1).square().sum() * update.shape[1]).item()
        along, norm = (update * centred).sum(1), centred.square().sum(1)
        scale += torch.where(norm == 0, 0.0, along.square() / norm).sum().item()
    return {
        "update_mean": None if total == 0 else mean / total,
        "update_scale": None if total == 0 else scale / total,
        "update_size": None if size == 0 else (total / size) ** 0.5,
    }
