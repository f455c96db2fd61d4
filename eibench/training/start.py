"""Where training starts: weights that the method draws, or those of another run."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import nn

from eibench.errors import UserError
from eibench.files import read_bytes
from eibench.plan.options import InitOptions
from eibench.plan.options.init_from import KEEP_THEM, LARGEST_WEIGHTS, WEIGHTS
from eibench.results.paths import member
from eibench.training.build import Experiment, prepare
from eibench.training.weights import copy_weights, read_weights

READOUT = "readout"
"""Name of the last layer in every network of eibench."""
NEW_READOUT = "; `init_from.readout: new` draws one for other classes or image sizes"


def set_first_weights(experiment: Experiment) -> None:
    """Give the network its first weights: by the method's initialization, or of `init_from`.

    Raises:
        UserError: the weights are missing, have changed since the run was planned, or do not fit.
    """
    chosen = experiment.spec.init_from
    if chosen is None or chosen.readout == "new":
        prepare(experiment)
    if chosen is not None:
        load_start(experiment.model, chosen)


def check_start(network: nn.Module, options: InitOptions) -> None:
    """Raise `UserError` as `set_first_weights` would, for a `network` on the meta device."""
    load_start(network.to_empty(device="cpu"), options)


def load_start(network: nn.Module, options: InitOptions) -> None:
    """Copy the weights of `options` into `network`; see `set_first_weights`."""
    path = member(Path(options.run), WEIGHTS)
    state, about = read_weights(_checked(path, options.sha256))
    new = [READOUT] if options.readout == "new" else []
    if new and not hasattr(network, READOUT):
        raise UserError(f"init_from.readout: the network has no part called {READOUT}")
    try:
        with torch.no_grad():
            copy_weights(network, state, without=new)
    except UserError as error:
        text = f"{path}: the weights of {about.get('run_id')} do not fit the network: {error}"
        raise UserError(text + NEW_READOUT * (f"{READOUT}." in str(error))) from None


def _checked(path: Path, digest: str | None) -> Path:
    """Return `path`; raise `UserError` unless it is the file that was planned with."""
    try:
        found = hashlib.sha256(read_bytes(path, LARGEST_WEIGHTS)).hexdigest()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {KEEP_THEM}") from None
    if found != digest:
        text = f"has other weights than {str(digest)[:8]}..., those that the run starts from"
        raise UserError(f"{path}: {text}")
    return path
