"""Signal propagation: activity forward and gradients backward, layer by layer.

A layer is a neuron (`LIF`) in the order of the forward pass, with the synapses that feed it: the
convolutions, matrices and E-I layers that were called since the neuron before it. Of each layer,
on one batch, with the network in training mode:

    firing_rate    spikes per neuron and time step
    silent_share   share of neurons that never fire on the batch
    current_std    standard deviation of the neuron's input current, over all its entries
    signal_share   share of the current's variance that the input drives
    current_mean_spread  deviation of the current's mean between neurons, over that between samples
    class_signal   variance of rates between classes over that within; 1 is chance
    balance        |mean(I_EE) - mean(I_sub)| / std(I_EE) over all entries, of an E-I layer (of the
                   last one called, where the currents of several are added)
    balance_drift  how far the same, neuron by neuron, has moved since initialisation: root mean
                   square over neurons of the difference, signs kept
    gradient       norm of the loss's gradient over norm of the weights, of the synapses' matrices
                   and kernels (biases and gains are left out: biases start at zero)
    net_mean, update_mean, update_scale, update_size
                   mean of the net synapse, and the next optimizer step's change of it

The last are defined in `net_synapse`, signal, spread and drift in `balance`.

A number that does not exist is None (the balance of other synapses); one that is not finite is None
too, and its name stands in `non_finite`. A gradient of exactly zero is 0.0. Sums are in float64;
gradients themselves are those of training, and vanish where float32 does.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from eibench.nn import LIF, EILayer
from eibench.probe.balance import (
    class_signal,
    drift,
    imbalances,
    mean_spread,
    signal_share,
)
from eibench.probe.net_synapse import TrainingStep, net_synapse_metrics, step_on_copy
from eibench.training.build import Experiment, first_batch
from eibench.training.fit import loss_on, scheduled, train_step

SYNAPSES = (_ConvNd, nn.Linear, EILayer)


def advance(experiment: Experiment, steps: int) -> TrainingStep | None:
    """Make the first `steps` optimizer steps of training; return the next one, None at the end."""
    experiment.model.train()
    epochs = range(1, experiment.spec.train.epochs + 1)
    batches = itertools.chain.from_iterable(scheduled(experiment, epoch) for epoch in epochs)
    for step in itertools.islice(batches, steps):
        train_step(experiment, *step)
    return next(batches, None)


@torch.no_grad()
def imbalances_of(experiment: Experiment) -> list[Tensor | None]:
    """Return `imbalances` of each layer's neurons on the first training batch.

    None for layers without inhibition. It leaves no trace in the network.
    """
    return [layer.imbalances for layer in _trace(copy.deepcopy(experiment.model), experiment)[1]]


def measure(
    experiment: Experiment,
    before: Sequence[Tensor | None] | None = None,
    following: TrainingStep | None = None,
) -> tuple[float, list[dict[str, Any]]]:
    """Return the loss on the first training batch, and the values of every layer in forward order.

    All methods under one seed are measured on the same batch. The network is copied, so that
    measuring leaves no trace in it. Drift is counted from `before`, what `imbalances_of` gave at
    initialisation; None: this is the initialisation. `following` is the step whose update of the
    net synapses is measured.
    """
    loss, layers = _trace(copy.deepcopy(experiment.model), experiment)
    loss.backward()
    stepped = step_on_copy(experiment, following) if following else None
    starts = [layer.imbalances for layer in layers] if before is None else before
    return loss.item(), [
        _record(i, {**layer.values, **_after_backward(layer, start, stepped)})
        for i, (layer, start) in enumerate(zip(layers, starts, strict=True), start=1)
    ]


def _trace(model: nn.Module, experiment: Experiment) -> tuple[Tensor, list[_LayerTrace]]:
    """Return the loss of `model` in training mode on the first training batch, and its layers."""
    batch = first_batch(experiment, experiment.spec.train.batch_size)
    with _Tracer(model.train(), labels=batch[1]) as tracer:
        loss, _ = loss_on(model, batch, experiment.spec.timesteps)
    return loss, tracer.layers


def _after_backward(
    layer: _LayerTrace, start: Tensor | None, stepped: nn.Module | None
) -> dict[str, float | None]:
    """Return the values of a layer that need its weights, their gradients or its `start`."""
    synapses = list(layer.synapses.values())
    return {
        "balance_drift": drift(start, layer.imbalances),
        "gradient": _relative_gradient(synapses),
        **net_synapse_metrics(layer.synapses, stepped),
    }


def summarize(layers: Sequence[dict[str, Any]]) -> dict[str, float | int | None]:
    """Summarize a network's layers in a few numbers.

    `gradient_decades` is log10 of the greatest over the least relative gradient, and None where the
    least is zero.
    """
    gradients = [layer["gradient"] for layer in layers if layer["gradient"] is not None]
    rates = [layer["firing_rate"] for layer in layers]
    least, greatest = min(gradients), max(gradients)
    neurons = sum(layer["neurons"] for layer in layers)
    return {
        "gradient_decades": math.log10(greatest / least) if least > 0 else None,
        "gradient_min": least,
        "gradient_max": greatest,
        "dead_gradient_layers": gradients.count(0.0),
        "live_layers": sum(rate > 0 for rate in rates),
        "rate_min": min(rates),
        "rate_last": rates[-1],
        "current_std_last": layers[-1]["current_std"],
        "silent_share": sum(layer["silent_share"] * layer["neurons"] for layer in layers) / neurons,
    }


class _LayerTrace(NamedTuple):
    """The values of a layer that the forward pass gives."""

    values: dict[str, Any]
    synapses: dict[str, nn.Module]
    imbalances: Tensor | None


class _Tracer:
    """A context that records each neuron's activity and the synapses called since the last one."""

    def __init__(self, model: nn.Module, labels: Tensor) -> None:
        self.labels = labels
        self.modules = {module: name for name, module in model.named_modules()}
        self.layers: list[_LayerTrace] = []
        self.synapses: dict[str, nn.Module] = {}
        self.balance: float | None = None
        self.imbalances: Tensor | None = None

    def __enter__(self) -> Self:
        neurons = [m for m in self.modules if isinstance(m, LIF)]
        synapses = [m for m in self.modules if isinstance(m, SYNAPSES)]
        self.hooks = [
            *(neuron.register_forward_hook(self._note_neuron) for neuron in neurons),
            *(synapse.register_forward_hook(self._note_synapse) for synapse in synapses),
        ]
        return self

    def __exit__(self, *error: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def _note_synapse(self, module: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        self.synapses[self.modules[module]] = module
        currents = module.currents(inputs[0]) if isinstance(module, EILayer) else None
        if currents is not None:
            self.balance, self.imbalances = balance(*currents), imbalances(*currents)

    @torch.no_grad()
    def _note_neuron(self, neuron: LIF, inputs: tuple[Tensor, ...], spikes: Tensor) -> None:
        current = inputs[0]
        layer = {
            "name": self.modules[neuron],
            "neurons": spikes[0, 0].numel(),
            "firing_rate": spikes.mean(dtype=torch.float64).item(),
            "silent_share": (spikes.sum((0, 1)) == 0).double().mean().item(),
            "current_std": current.double().std(correction=0).item(),
            "signal_share": signal_share(current),
            "current_mean_spread": mean_spread(current),
            "class_signal": class_signal(spikes, self.labels),
            "balance": self.balance,
        }
        self.layers.append(_LayerTrace(layer, self.synapses, self.imbalances))
        self.synapses, self.balance, self.imbalances = {}, None, None


def balance(i_ee: Tensor, i_sub: Tensor) -> float | None:
    """Return |mean(I_EE) - mean(I_sub)| / std(I_EE) over all entries; None if I_EE is constant."""
    excitation = i_ee.double()
    deviation = excitation.std(correction=0).item()
    net = (excitation.mean() - i_sub.double().mean()).abs().item()
    return None if deviation == 0 else net / deviation


def _relative_gradient(synapses: list[nn.Module]) -> float | None:
    """Return norm of gradients over norm of weights, for all matrices and kernels of `synapses`.

    None where there are none that learn.
    """
    learned = [
        (p.detach().double(), p.grad.double())
        for synapse in synapses
        for p in synapse.parameters()
        if p.dim() > 1 and p.grad is not None
    ]
    if not learned:
        return None
    weights, gradients = (
        torch.stack([x.square().sum() for x in tensors]).sum()
        for tensors in zip(*learned, strict=True)
    )
    return (gradients / weights).sqrt().item()


def _record(index: int, values: dict[str, Any]) -> dict[str, Any]:
    """Return a layer as it is written: numbers that are not finite become None and are named."""
    numbers = {key: value for key, value in values.items() if isinstance(value, float)}
    infinite = [key for key, value in numbers.items() if not math.isfinite(value)]
    return {"layer": index, **values, **dict.fromkeys(infinite), "non_finite": infinite}
