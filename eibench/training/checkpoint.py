"""The state of a run between two epochs, saved whole and read back safely.

All randomness of training is derived from seed and epoch, except what a network itself may draw
from torch's global generators; their states are saved too.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from eibench.results.store import write_atomic
from eibench.training.build import Experiment
from eibench.training.fit import Progress


def save(path: Path, experiment: Experiment, progress: Progress) -> None:
    """Write the state after an epoch; the file is complete or absent, never half."""
    state: dict[str, Any] = {
        "model": experiment.model.state_dict(),
        "optimizer": experiment.optimizer.state_dict(),
        "progress": vars(progress),
        "cpu_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(path, buffer.getvalue())


def restore(path: Path, experiment: Experiment) -> Progress:
    """Put the saved state into `experiment`; returns how far it had come.

    Raises:
        ValueError: the file is damaged or belongs to another network.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        experiment.model.load_state_dict(state["model"])
        experiment.optimizer.load_state_dict(state["optimizer"])
        progress = Progress(**state["progress"])
    except Exception as error:  # a damaged file fails in many ways; all mean the same here
        raise ValueError(f"{path}: not a checkpoint of this run ({error})") from error
    torch.set_rng_state(state["cpu_rng"])
    if torch.cuda.is_available() and state["cuda_rng"]:
        torch.cuda.set_rng_state_all(state["cuda_rng"])
    return progress
