"""Contracts of methods."""

from __future__ import annotations

import torch
from torch import nn

from eibench.contracts.base import Broken, copied, differing, require
from eibench.contracts.networks import (
    CLASSES,
    IMAGE,
    MODEL_VARIANTS,
    Branches,
    Spy,
    activity,
    loss,
    make,
    make_method,
    neurons,
    prepared,
    settings,
)
from eibench.errors import error_line, shorten_list
from eibench.methods.without_norm import NoNormOptions
from eibench.plan.options import MODELS, MethodOptions, ModelOptions, NeuronOptions
from eibench.plan.validate import validate

DECAY = 0.5


def parts_have_their_shapes(choice: MethodOptions) -> None:
    """Check that `conv`, `neuron` and `readout` give the shapes that a model relies on."""
    for timesteps in (1, 4):
        method = make_method(choice, timesteps=timesteps)
        network = Branches(method)
        method.prepare(network, activity(timesteps), torch.Generator().manual_seed(1))
        for batch in (1, 3):
            network(activity(timesteps, batch))


def gradients_are_finite(choice: MethodOptions) -> None:
    """Check that logits are [T, B, classes], and every parameter has a finite gradient."""
    for model, timesteps, batch in settings():
        where = f"in {model.label} with T = {timesteps} and B = {batch}"
        _, network = prepared(choice, activity(timesteps), model=model, timesteps=timesteps)
        logits = network(activity(timesteps, batch))
        require(
            tuple(logits.shape) == (timesteps, batch, CLASSES),
            f"logits are {list(logits.shape)} and not {[timesteps, batch, CLASSES]} {where}",
        )
        require(bool(logits.isfinite().all()), f"logits are not finite {where}")
        logits.mean(0).logsumexp(1).sum().backward()
        _require_finite_gradients(network, where)


def _require_finite_gradients(network: nn.Module, where: str, hint: str = "") -> None:
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    unused = [name for name, p in trained if p.grad is None]
    require(
        not unused,
        f"no gradient for {shorten_list(unused, 3)} {where}: unused, or cut off by detach",
    )
    broken = [name for name, p in trained if p.grad is not None and not p.grad.isfinite().all()]
    require(not broken, f"no finite gradient for {shorten_list(broken, 3)} {where}{hint}")


def gradient_reaches_the_first_layer(choice: MethodOptions) -> None:
    """Check that the loss has a gradient at the first layer's weights."""
    _, network = prepared(choice, activity())
    loss(network, activity()).backward()
    name, first = next((name, p) for name, p in network.named_parameters() if p.dim() > 1)
    reached = first.grad is not None and bool(first.grad.abs().sum() > 0)
    require(reached, f"the gradient of {name} is zero: nothing before the loss depends on it")


def evaluation_leaves_no_trace(choice: MethodOptions) -> None:
    """Check that in evaluation mode equal inputs give equal outputs, and nothing in the network
    changes."""
    _, network = prepared(choice, activity())
    network.eval()
    before = copied(network.state_dict())
    first, second = network(activity()), network(activity())
    changed = differing(before, network.state_dict())
    require(
        not changed,
        f"{shorten_list(changed, 3)} changed in evaluation mode: update buffers only "
        "`if self.training`",
    )
    require(
        torch.equal(first, second),
        "two passes over one input differ in evaluation mode: something is drawn or remembered",
    )


def state_dict_holds_everything(choice: MethodOptions) -> None:
    """Check that a fresh network with the saved state, preparation included, gives the same
    outputs."""
    _, network = prepared(choice, activity())
    network(activity())
    _, fresh = make(choice)
    try:
        fresh.load_state_dict(copied(network.state_dict()))
    except RuntimeError as error:
        text = error_line(error)
        raise Broken(
            f"a fresh network does not take the saved state ({text}): create every parameter and "
            "buffer in the constructor, with its final shape"
        ) from None
    require(
        torch.equal(fresh.eval()(activity()), network.eval()(activity())),
        "a fresh network with the saved state gives other outputs, so a run could not resume from "
        "its checkpoint: what `prepare` or a forward pass sets must be a parameter or a buffer "
        "(register_buffer), not a plain attribute",
    )


def param_groups_are_a_partition(choice: MethodOptions) -> None:
    """Check that `param_groups` has each trained parameter once; matrices and kernels decay,
    vectors not."""
    method, network = make(choice)
    names = {id(p): name for name, p in network.named_parameters() if p.requires_grad}
    groups = method.param_groups(network, weight_decay=DECAY)
    given = [id(p) for group in groups for p in group["params"]]
    missing = [name for key, name in names.items() if key not in given]
    require(not missing, f"{shorten_list(missing, 3)} is in no group, so it would not be trained")
    twice = [name for key, name in names.items() if given.count(key) > 1]
    require(not twice, f"{shorten_list(twice, 3)} is in more than one place")
    require(len(given) == len(names), "a group holds something other than trained parameters")
    for group in groups:
        for p in group["params"]:
            wanted = DECAY if p.dim() > 1 else 0.0
            require(
                group.get("weight_decay") == wanted,
                f"{names[id(p)]}, of {p.dim()} dimensions, has the weight decay "
                f"{group.get('weight_decay')} where {wanted} is asked of every method",
            )


def project_is_idempotent(choice: MethodOptions) -> None:
    """Check that `project` a second time changes nothing."""
    method, network = prepared(choice, activity())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.sub_(0.05)
    method.project(network)
    once = copied(network.state_dict())
    method.project(network)
    changed = differing(once, network.state_dict())
    require(
        not changed,
        f"`project` twice is not `project` once: {shorten_list(changed, 3)} changed again. It must "
        "bring parameters to where a rule holds, and leave those that keep it",
    )


def silence_gives_no_nan(choice: MethodOptions) -> None:
    """Check that silent input gives finite logits and gradients, in training and in evaluation."""
    for training in (True, False):
        _, network = prepared(choice, activity())
        mode = "training" if training else "evaluation"
        where = f"for an input of zeros in {mode} mode"
        logits = network.train(training)(torch.zeros_like(activity()))
        finite = bool(logits.isfinite().all())
        hint = ": add a small number to what divides"
        require(finite, f"logits are not finite {where}{hint}")
        logits.sum().backward()
        _require_finite_gradients(network, where, hint)


def neurons_are_the_same(choice: MethodOptions) -> None:
    """Check that a network has as many neurons, of the same shapes, as under any other method."""
    for model in MODEL_VARIANTS:
        found, wanted = _spikes(choice, model), _spikes(NoNormOptions(), model)
        require(
            found == wanted,
            f"{model.label} has neurons of {found} where other methods have {wanted} (T, B, ...): "
            "the neuron is `neuron`, and `conv` must not hold another",
        )


def _spikes(choice: MethodOptions, model: ModelOptions) -> list[list[int]]:
    """Return the sorted output shapes of a network's neurons."""
    method = make_method(choice)
    spy = Spy(method)
    network = MODELS.build(model, spy, IMAGE, CLASSES)
    method.prepare(network, activity(), torch.Generator().manual_seed(1))
    seen: list[list[int]] = []
    for neuron in neurons(spy, network):
        neuron.register_forward_hook(lambda m, i, out: seen.append(list(out.shape)))
    network(activity())
    return sorted(seen)


def builds_without_memory(choice: MethodOptions) -> None:
    """Check that networks can be built on the `meta` device, which is how a suite is tried
    before it runs."""
    for model in MODEL_VARIANTS:
        with torch.device("meta"):
            make(choice, model)


def same_as_tells_the_truth(choice: MethodOptions) -> None:
    """Check that the method that `same_as` names gives the same logits."""
    for timesteps in (1, 4):
        other = choice.same_as(MODEL_VARIANTS[0], validate(NeuronOptions, {}), timesteps)
        x = activity(timesteps)
        _, network = prepared(choice, x, timesteps=timesteps)
        _, simpler = prepared(other, x, timesteps=timesteps)
        require(
            torch.allclose(network(x), simpler(x), atol=1e-5),
            f"`same_as` says that it computes what {other.label} does (at T = {timesteps}), and "
            "their logits differ",
        )


METHOD_CONTRACTS = (
    parts_have_their_shapes,
    gradients_are_finite,
    gradient_reaches_the_first_layer,
    evaluation_leaves_no_trace,
    state_dict_holds_everything,
    param_groups_are_a_partition,
    project_is_idempotent,
    silence_gives_no_nan,
    neurons_are_the_same,
    builds_without_memory,
    same_as_tells_the_truth,
)
