"""A small reader of NIR graphs, in numpy alone: nodes run in order, inputs of a node are summed."""

from __future__ import annotations

from typing import Any

import numpy as np


def run(graph: Any, images: np.ndarray) -> np.ndarray:
    """Return outputs [T, n] of one sample's inputs [T, ...] at steps of length 1."""
    order = sort(graph)
    state: dict[str, np.ndarray] = {}
    outputs = []
    for image in images:
        values: dict[str, np.ndarray] = {}
        for name in order:
            sources = [values[a] for a, b in graph.edges if b == name]
            x = image if not sources else sum(sources[1:], start=sources[0])
            values[name] = step(graph.nodes[name], x, state, name)
        outputs.append(values["output"])
    return np.stack(outputs)


def sort(graph: Any) -> list[str]:
    """Return the names of nodes, each after those that feed it."""
    left, order = dict(graph.nodes), []
    while left:
        ready = [n for n in left if all(a not in left for a, b in graph.edges if b == n)]
        order += ready
        for name in ready:
            del left[name]
    return order


def step(node: Any, x: np.ndarray, state: dict[str, np.ndarray], name: str) -> np.ndarray:
    kind = type(node).__name__
    if kind in ("Input", "Output"):
        return x
    if kind == "Affine":
        return node.weight @ x + node.bias
    if kind == "Conv2d":
        return convolve(x, node)
    if kind == "AvgPool2d":
        (kh, kw), (sh, sw) = node.kernel_size, node.stride
        windows = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), axis=(1, 2))
        return windows[:, ::sh, ::sw].mean((3, 4))
    if kind == "Flatten":
        return x.reshape(-1)
    assert kind == "LIF", kind
    v = state.get(name, np.zeros_like(x))
    v = v + ((node.v_leak - v) + node.r * x) / node.tau
    spikes = v > node.v_threshold
    state[name] = np.where(spikes, node.v_reset, v)
    return spikes.astype(x.dtype)


def convolve(x: np.ndarray, node: Any) -> np.ndarray:
    (ph, pw), (sh, sw) = node.padding, node.stride
    padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw)))
    kernel = node.weight.shape[2:]
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(1, 2))[:, ::sh, ::sw]
    return np.einsum("chwij,ocij->ohw", windows, node.weight) + node.bias[:, None, None]
