"""Files in DeepEISNN's format with random weights, and the network's equations in plain float64.

Nothing here uses eibench: names and order of tensors follow the description of the format in
docs/weights.md, the forward pass the equations of the paper.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import avg_pool2d, batch_norm, conv2d, linear

P = "P"
VGG: dict[int, list[Any]] = {
    8: [8, P, 12, P, 8, P, 16, P, 12, P],
    11: [8, P, 12, P, 8, 8, P, 12, 12, P, 12, 16, P],
    16: [8, 8, P, 12, 12, P, *[8] * 3, P, *[12] * 3, P, 16, 16, 12, P],
    19: [8, 8, P, 12, 12, P, *[8] * 4, P, *[12] * 4, P, 16, 16, 16, 12, P],
}
"""The paper's layouts at small widths."""
STAGES = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3]}
T, RATIO, CLASSES, IMAGE = 3, 4, 10, (3, 32, 32)


@dataclass
class Fake:
    """One network: its configuration, its tensors, and what it computes."""

    kind: str
    depth: int
    seed: int = 0
    width: int = 8
    tau: float = 2.0
    threshold: float = 1.0
    state: dict[str, Tensor] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = torch.Generator().manual_seed(self.seed)
        self.forward = self._vgg() if self.depth in VGG else self._resnet()

    @property
    def inhibits(self) -> bool:
        return self.kind == "EI-SNN"

    @property
    def config(self) -> dict[str, Any]:
        return {
            "dataset": "CIFAR10",
            "data_path": "/data",
            "type": self.kind,
            "arch": "VGG" if self.depth in VGG else "ResNet",
            "num_layers": self.depth,
            "T": T,
            **({"ei_ratio": RATIO} if self.inhibits else {}),
            "light_classifier": True,
            "dropout": 0.0,
            "neuron": {"tau": self.tau, "v_threshold": self.threshold},
            "learning_rate": "1e-3",
        }

    def logits(self, images: Tensor) -> Tensor:
        """Logits [B, classes] of images [B, C, H, W], the same at every step."""
        self.rates = []
        samples = images.repeat(T, *[1] * (images.dim() - 1))
        return self.forward(samples).unflatten(0, (T, -1)).mean(0)

    # --- Tensors ---------------------------------------------------------------------------------

    def random(self, *shape: int) -> Tensor:
        return torch.rand(shape, dtype=torch.float64, generator=self.draw)

    def exponential(self, *shape: int) -> Tensor:
        return -torch.log(1 - self.random(*shape))

    def add(self, name: str, tensor: Tensor) -> Tensor:
        self.state[name] = tensor
        return tensor

    def inhibition(self, at: str, n: int, fan_in: int, one_axis: bool) -> list[Tensor]:
        """W_EI, g_I, g_E and b_E as a convolution [n, 1, 1] or a dense layer [1, n] has them."""
        n_i = n // RATIO
        weight = self.add(f"{at}.weight_ei", 2 * self.random(n, n_i) / n_i)

        def gain(name: str, values: Tensor) -> Tensor:
            self.add(f"{at}.{name}", values.view(1, -1) if one_axis else values.view(-1, 1, 1))
            return values

        gains = [
            gain("gain_i", (0.8 + 0.4 * self.random(n_i)) / (0.35 * fan_in**0.5)),
            gain("gain_e", 0.8 + 0.6 * self.random(n)),
            gain("bias", self.random(n) - 0.2),
        ]
        return [weight, *gains]

    # --- Layers ----------------------------------------------------------------------------------

    def conv(
        self, synapse: str, circuit: str, c_in: int, n: int, k: int = 3, stride: int = 1
    ) -> Callable[[Tensor], Tensor]:
        """A convolution with its circuit and its neuron, samples [T * B, ...] to spikes."""
        fan_in = c_in * k * k
        if not self.inhibits:
            weight = (2 * self.random(n, c_in, k, k) - 1) * (6 / fan_in) ** 0.5
            self.add(f"{synapse}.conv.weight", weight)
            parts = {
                "weight": 0.8 + 0.4 * self.random(n),
                "bias": self.random(n),
                "running_mean": 0.2 * self.random(n),
                "running_var": 0.3 + self.random(n),
            }
            gamma, beta, mean, var = (
                self.add(f"{circuit}.bn.{name}", value) for name, value in parts.items()
            )
            self.add(f"{circuit}.bn.num_batches_tracked", torch.tensor(7))

            def normalized(x: Tensor) -> Tensor:
                y = conv2d(x, weight, stride=stride, padding=k // 2)
                return self.lif(batch_norm(y, mean, var, gamma, beta, eps=1e-5))

            return normalized
        w_ee = self.add(f"{synapse}.conv_ee.weight", self.exponential(n, c_in, k, k) / fan_in)
        w_ie = self.exponential(n // RATIO, c_in, k, k) / fan_in
        clamped = c_in // 3
        w_ie[:, :clamped] = 0  # receptive fields without inhibition
        w_ie *= c_in / (c_in - clamped)
        self.add(f"{synapse}.conv_ie.weight", w_ie)
        w_ei, g_i, g_e, b_e = self.inhibition(circuit, n, fan_in, one_axis=False)

        def inhibited(x: Tensor) -> Tensor:
            i_ee, s_i = (conv2d(x, w, stride=stride, padding=k // 2) for w in (w_ee, w_ie))
            i_sub = torch.einsum("ei,nihw->nehw", w_ei, s_i)
            i_div = torch.einsum("ei,nihw->nehw", w_ei, g_i.view(-1, 1, 1) * s_i)
            for sample in i_div:  # adaptive stabilisation
                positive = sample[sample > 0]
                sample[sample == 0] = positive.min() if len(positive) else torch.inf
            current = g_e.view(-1, 1, 1) * (i_ee - i_sub) / i_div + b_e.view(-1, 1, 1)
            return self.lif(current)

        return inhibited

    def readout(self, synapse: str, circuit: str, features: int) -> Callable[[Tensor], Tensor]:
        if not self.inhibits:
            weight = self.add(f"{synapse}.linear.weight", self.random(CLASSES, features) - 0.5)
            bias = self.add(f"{synapse}.linear.bias", self.random(CLASSES))
            return lambda x: linear(x, weight, bias)
        w_ee = self.add(f"{synapse}.weight_ee", self.exponential(CLASSES, features))
        w_ie = self.add(f"{synapse}.weight_ie", self.exponential(CLASSES // RATIO, features))
        w_ei = self.inhibition(circuit, CLASSES, features, one_axis=True)[0]
        return lambda x: x @ w_ee.T - x @ w_ie.T @ w_ei.T

    def lif(self, current: Tensor) -> Tensor:
        """Section 1 of the paper: charge, fire, subtract."""
        steps = current.unflatten(0, (T, -1))
        v, spikes = torch.zeros_like(steps[0]), []
        for step in steps:
            u = (1 - 1 / self.tau) * v + step
            s = (u >= self.threshold).to(u.dtype)
            v = u - self.threshold * s
            spikes.append(s)
        self.rates.append(torch.stack(spikes).mean().item())
        return torch.cat(spikes)

    # --- Networks --------------------------------------------------------------------------------

    def _vgg(self) -> Callable[[Tensor], Tensor]:
        """One sequence: two parts that add and merge time, then conv, circuit, split, neuron,
        (dropout with E-I circuits,) merge; a pooling is one part; flatten; the readout."""
        at, channels, layers = 2, IMAGE[0], []
        for width in VGG[self.depth]:
            if width == P:
                layers.append(lambda x: avg_pool2d(x, 2))
                at += 1
                continue
            layers.append(self.conv(f"layers.{at}", f"layers.{at + 1}", channels, width))
            channels, at = width, at + (6 if self.inhibits else 5)
        at += 1
        layers += [lambda x: x.flatten(1)]
        layers += [self.readout(f"layers.{at}", f"layers.{at + 1}", channels)]
        return lambda x: _through(layers, x)

    def _resnet(self) -> Callable[[Tensor], Tensor]:
        norm = "norm" if self.inhibits else "bn"
        channels = self.width
        layers = [self.conv("conv1", f"{norm}1", IMAGE[0], channels)]
        for stage, count in enumerate(STAGES[self.depth]):
            width = self.width * 2**stage
            for block in range(count):
                at, stride = f"layer{stage + 1}.{block}", 2 if stage and not block else 1
                layers.append(self._block(at, norm, channels, width, stride))
                channels = width
        readout = self.readout("fc", "final_ei_norm", channels)
        return lambda x: readout(_through(layers, x).mean((2, 3)))

    def _block(
        self, at: str, norm: str, c_in: int, width: int, stride: int
    ) -> Callable[[Tensor], Tensor]:
        first = self.conv(f"{at}.conv1", f"{at}.{norm}1", c_in, width, stride=stride)
        second = self.conv(f"{at}.conv2", f"{at}.{norm}2", width, width)
        if stride == 1:
            return lambda x: second(first(x)) + x
        side = self.conv(f"{at}.downsample.0", f"{at}.downsample.1", c_in, width, 1, stride)
        return lambda x: second(first(x)) + side(x)

    # --- Files -----------------------------------------------------------------------------------

    def shuffled(self) -> dict[str, Tensor]:
        keys = list(self.state)
        random.Random(self.seed).shuffle(keys)
        return {key: self.state[key] for key in keys}

    def checkpoint(self) -> dict[str, Any]:
        """The content of a training checkpoint."""
        return {
            "next_epoch": 8,
            "model_state_dict": self.shuffled(),
            "optimizer_state_dict": [{"state": {}, "param_groups": [{"lr": 0.1}]}],
            "best_val_acc": 12.5,
            "config": self.config,
            "rng_state": torch.get_rng_state(),
            "cuda_rng_state": [],
            "np_rng_state": np.random.get_state(),
            "py_rng_state": random.getstate(),
        }


def _through(layers: list[Callable[[Tensor], Tensor]], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


NETWORKS = [(kind, depth) for kind in ("EI-SNN", "BN-SNN") for depth in (*VGG, *STAGES)]
"""Every kind of file that is read."""


def release(fake: Fake, folder: Path) -> Path:
    """Write the released form."""
    folder.mkdir()
    save_file({k: v.clone() for k, v in fake.shuffled().items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(fake.config))
    return folder
