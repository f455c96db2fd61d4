"""Checkpoints of a run between two epochs; a checkpoint is restored completely or not at all.

All randomness of training derives from seed and epoch, except draws of a network from torch's
global generators; their states are saved.

A checkpoint is used only if the rest of the run would equal that of an uninterrupted one. Spec,
data digest, code of eibench and plugins, torch version and device type must be those it was saved
with. The number of CPU threads may differ, and rounding with it.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import eibench
from eibench.errors import error_line
from eibench.results.store import write_atomic
from eibench.training.build import Experiment
from eibench.training.fit import Progress
from eibench.training.seeds import stream_seed

VERSION = 3
"""Version of the file format."""
MOST_VALUES = 1_000_000
"""Tensors and other values of a state."""
DIGEST = hashlib.sha256().digest_size
"""Bytes of the digest with which a file begins."""
CODE = ("data", "methods", "models", "nn", "training")
"""Packages of eibench whose code determines a run's numbers."""
CHANGED = {
    "version": "it was saved by another version of eibench",
    "eibench": "eibench's code has changed since it was saved",
    "torch": "it was saved under another version of torch",
    "device": "it was saved on another kind of device",
    "data": "the data set has changed since it was saved",
    "spec": "it is of a run with other settings",
}
"""Message for each dependency that differs; the first that differs is shown."""
SHOWN = 300
"""Number of characters of an error that are shown."""


class Unusable(ValueError):
    """Error of a checkpoint from which the run cannot continue; its text says why."""


def save(path: Path, experiment: Experiment, progress: Progress) -> None:
    """Write the state after an epoch, atomically."""
    state: dict[str, Any] = {
        "depends": dependencies(experiment),
        **_trained(experiment, progress),
        "cpu_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(path, _digest(buffer.getvalue()) + buffer.getvalue())


def _trained(experiment: Experiment, progress: Progress) -> dict[str, Any]:
    """Return what training has changed."""
    return {
        "model": experiment.model.state_dict(),
        "optimizer": experiment.optimizer.state_dict(),
        "progress": vars(progress),
    }


def share(experiment: Experiment, progress: Progress) -> None:
    """Give all processes of an experiment the state of the first, prepared or restored.

    Draws of a network from torch's global generators differ between processes, as their images do.
    """
    ranks, buffer = experiment.ranks, io.BytesIO()
    if ranks is None:
        return
    torch.save({} if ranks.rank else _trained(experiment, progress), buffer)
    content = ranks.from_first(buffer.getvalue())
    if ranks.rank:
        saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        vars(progress).update(_restore_trained(saved, experiment))
        epoch = len(progress.history)
        torch.manual_seed(stream_seed(experiment.spec.seed, "rank", ranks.rank, epoch))


def _restore_trained(saved: Mapping[str, Any], experiment: Experiment) -> dict[str, Any]:
    """Load the state of network and optimizer; return the progress."""
    experiment.model.load_state_dict(saved["model"])
    experiment.optimizer.load_state_dict(saved["optimizer"])
    return dict(saved["progress"])


def restore(path: Path, experiment: Experiment) -> Progress:
    """Load the saved state into `experiment`, and return its progress.

    Raises:
        Unusable: the file is damaged, or a dependency has changed. The experiment may be partly
            overwritten, so the caller must build it again.
    """
    try:
        return _restored(path, experiment)
    except (MemoryError, torch.OutOfMemoryError):  # which says nothing of the file
        raise
    except Exception as error:  # a damaged file fails in many ways; all mean the same here
        text = error_line(error)[:SHOWN]
        raise Unusable(f"{path}: not a checkpoint of this run ({text})") from error


def _restored(path: Path, experiment: Experiment) -> Progress:
    if path.is_symlink() or not path.is_file():
        raise ValueError("not a file")
    content = path.read_bytes()
    digest, content = content[:DIGEST], content[DIGEST:]
    if digest != _digest(content):
        raise ValueError("damaged, or saved by another version of eibench")
    saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    _check_size(saved)
    known = saved.get("depends")
    if not isinstance(known, Mapping) or known.get("version") != VERSION:
        raise ValueError(CHANGED["version"])
    now = dependencies(experiment)
    for key, words in CHANGED.items():
        if known.get(key) != now[key]:
            raise ValueError(words)
    progress = Progress(**_restore_trained(saved, experiment))
    torch.set_rng_state(saved["cpu_rng"])
    if torch.cuda.is_available() and saved["cuda_rng"]:
        seen = torch.cuda.device_count()  # a worker sees fewer GPUs than a process that is alone
        torch.cuda.set_rng_state_all(saved["cuda_rng"][:seen])
    return progress


def dependencies(experiment: Experiment) -> dict[str, Any]:
    """Return everything else that the rest of a run depends on, as plain values."""
    spec = experiment.spec
    return {
        "version": VERSION,
        "eibench": CODE_DIGEST,
        "torch": ".".join(torch.__version__.split(".")[:2]),
        "device": experiment.data.train.labels.device.type,
        "data": experiment.data.digest,
        "spec": json.dumps({**spec.determining(), **spec.sources()}, sort_keys=True),
    }


def _source_digest() -> str:
    """Return a SHA-256 over the version and the sources of `CODE`."""
    root = Path(eibench.__file__).parent
    hasher = hashlib.sha256(eibench.__version__.encode())
    for path in sorted(path for name in CODE for path in (root / name).rglob("*.py")):
        hasher.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return hasher.hexdigest()


CODE_DIGEST = _source_digest()
"""Computed at import, before the files can be edited."""


def _check_size(saved: Any) -> None:
    """Refuse endless many values, which a small file can have: parts that are shared."""
    left = [saved]
    for _ in range(MOST_VALUES):
        if not left:
            return
        value = left.pop()
        inner = value.values() if isinstance(value, Mapping) else value
        left += inner if isinstance(value, Mapping | list | tuple) else ()
    raise ValueError(f"has more than {MOST_VALUES} values")


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
