"""The batch-norm network made of another library's parts, to be timed beside ours.

SpikingJelly's neuron with torch's convolutions, batch norm and pooling, as its documentation puts
them together; T and B are merged for what has no memory. It is an optional extra.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from eibench.errors import UserError
from eibench.nn import LIF, BatchNorm2d, Current, TimeDistributed
from eibench.profile.subjects import LEARNING_RATE, Subject, whole
from eibench.training.build import Experiment

PEER = "SpikingJelly LIF + torch batch norm"
INSTALL = "pip install 'spikingjelly>=2.0'"


def peer_subject(experiment: Experiment) -> Subject:
    """Return a training step of the peer of a batch-norm `experiment`, with weights of its own.

    Raises:
        UserError: SpikingJelly is not installed.
    """
    try:
        from spikingjelly.activation_based import functional, layer, neuron, surrogate
    except ImportError:
        text = f"--peer: SpikingJelly is not installed; {INSTALL}"
        raise UserError(text) from None

    def lif(ours: LIF) -> Any:
        kind = {"sigmoid": surrogate.Sigmoid(alpha=4.0), "atan": surrogate.ATan(alpha=2.0)}
        return neuron.LIFNode(
            tau=ours.tau,
            decay_input=False,
            v_threshold=ours.threshold,
            v_reset=0.0 if ours.reset == "hard" else None,
            surrogate_function=kind[ours.surrogate],
            detach_reset=ours.detach_reset,
            step_mode="m",
        )

    model = _translate(copy.deepcopy(experiment.model), lif, layer.SeqToANNContainer)
    subject = _subject(experiment, model, functional.reset_net)
    subject.neuron = neuron.LIFNode
    return subject


def _translate(
    model: nn.Module, lif: Callable[[LIF], Any], over_time: Callable[..., nn.Module]
) -> nn.Module:
    """Return `model` with its parts replaced, from the outside in."""
    for name, part in model.named_children():
        if isinstance(part, LIF):
            setattr(model, name, lif(part))
        elif isinstance(part, Current):
            conv, norm = part
            assert isinstance(conv, TimeDistributed)
            assert isinstance(norm, BatchNorm2d)
            setattr(model, name, over_time(conv.module, nn.BatchNorm2d(norm.num_features)))
        elif isinstance(part, TimeDistributed):
            setattr(model, name, over_time(_plain(part.module)))
        else:
            _translate(part, lif, over_time)
    return model


def _plain(module: nn.Module) -> nn.Module:
    """Return torch's own pooling in place of ours."""
    if isinstance(module, nn.AvgPool2d):
        return nn.AvgPool2d(module.kernel_size)
    return module


def _subject(experiment: Experiment, model: nn.Module, reset: Callable[[Any], None]) -> Subject:
    train, steps = experiment.spec.train, experiment.spec.timesteps
    images, labels = whole(experiment)
    model.to(labels.device).train()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=LEARNING_RATE, momentum=train.momentum, weight_decay=5e-4
    )
    parameters = list(model.parameters())

    def step() -> None:
        logits: Tensor = model(images.expand(steps, *images.shape)).mean(0)
        loss = nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if train.clip_norm is not None:
            nn.utils.clip_grad_norm_(parameters, train.clip_norm)
        optimizer.step()
        reset(model)

    step()
    momenta = [s["momentum_buffer"] for s in optimizer.state.values() if "momentum_buffer" in s]
    held = [*parameters, *model.buffers(), *momenta, images, labels]
    return Subject(PEER, step, model, held, len(labels))
