"""Figure docs/figures/digits_dvs.png: a digit of each class and its recording.

`make figures` runs it.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from eibench.data.digits import digits
from eibench.data.events_from import OFF, ON
from eibench.plan.options.data import DigitsDVSOptions
from eibench.training.build import load_data

TIMESTEPS = 6
FILE = Path(__file__).parent / "figures" / "digits_dvs.png"


def coloured(frame: np.ndarray, most: int) -> np.ndarray:
    """Convert counts [2, H, W] to RGB: ON red, OFF blue, equal counts magenta, no events white."""
    on, off = (np.sqrt(frame[channel] / most) for channel in (ON, OFF))
    missing = [(off - on).clip(0), np.maximum(on, off), (on - off).clip(0)]
    return 1 - np.stack(missing, -1)


def main() -> None:
    """Draw and save the figure."""
    still = digits().test
    recorded = load_data(DigitsDVSOptions(), TIMESTEPS).test
    first = [int((still.labels == digit).nonzero()[0]) for digit in range(10)]
    most = int(recorded.images[first].max())
    size = (0.8 * (TIMESTEPS + 1.15), 8.4)
    figure, axes = plt.subplots(10, TIMESTEPS + 1, figsize=size, layout="constrained")
    for row, index in zip(axes, first, strict=True):
        row[0].imshow(np.pad(still.images[index, 0].numpy(), 2), cmap="gray", vmin=0, vmax=1)
        for axis, frame in zip(row[1:], recorded.images[index].numpy(), strict=True):
            axis.imshow(coloured(frame, most))
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_color("0.8")
    axes[0, 0].set_title("image", fontsize=9)
    for t, axis in enumerate(axes[0, 1:], 1):
        axis.set_title(f"t = {t}", fontsize=9)
    figure.savefig(FILE, dpi=120)


if __name__ == "__main__":
    main()
