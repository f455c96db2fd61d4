"""What counting a network costs: CPU time of `count_network` over that of a forward pass.

    OMP_NUM_THREADS=1 python docs/counting_time.py

One batch of 64 random images of 8x8 through 8 convolutions of width 32; medians of 7, in turns.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable

import torch

from eibench.cost.network import count_network
from eibench.data.batches import over_time
from eibench.plan.options import DataShape
from eibench.plan.spec import RunSpec
from eibench.training.build import make_method, make_network

METHODS = ("batchnorm", "ei", {"name": "ei", "preset": "blanket"})
SHAPE = DataShape((1, 8, 8), 10)
REPEATS = 7


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of this thread that `work` takes."""
    start = time.thread_time()
    work()
    return time.thread_time() - start


def main() -> None:
    """Print a line for each method."""
    model = {"name": "plain", "depth": 8, "width": 32, "pools": 2}
    images = torch.rand(64, *SHAPE.image, generator=torch.manual_seed(1))
    for named in METHODS:
        spec = RunSpec.parse({"method": named, "model": model, "data": "digits"})
        method = make_method(spec)
        network = make_network(spec, method, SHAPE)
        steps = over_time(images, spec.timesteps)
        method.prepare(network, steps, torch.manual_seed(2))
        network.eval()
        works = (
            functools.partial(network, steps),
            functools.partial(count_network, network, [images], spec.timesteps),
        )
        with torch.no_grad():
            times = [[seconds(work) for work in works] for _ in range(REPEATS)]
        forward, counted = map(statistics.median, zip(*times, strict=True))
        print(f"{spec.method.label:12} {forward:.3f} s {counted:.3f} s  {counted / forward:.1f}")


if __name__ == "__main__":
    main()
