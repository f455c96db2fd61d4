"""`eibench doctor`: check the installation and the machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import typer

from eibench.cli.console import say


def doctor() -> None:
    """Say what this machine can do; exit code 1 if it cannot train."""
    healthy = True
    for ok, line in _findings():
        healthy = healthy and ok
        say(f"{'ok ' if ok else 'BAD'}  {line}")
    if not healthy:
        raise typer.Exit(1)


def _findings() -> Iterator[tuple[bool, str]]:
    """Yield each finding, and whether training can work with it."""
    from eibench.execution.environment import environment, source_commit

    known = environment()
    yield True, f"eibench {known['eibench']}, Python {known['python']}, {known['system']}"
    yield True, f"{known['cpu']}, {known['cores']} cores usable"
    commit = source_commit()["commit"]
    yield True, f"source commit {commit[:12]}" if commit else "installed from a package, no commit"
    missing = [name for name in ("torch", "torchvision", "scikit-learn") if not known[name]]
    if missing:
        yield False, f"not installed: {', '.join(missing)}"
        return
    yield from _devices()
    yield _writable(Path.cwd())
    yield _data_sets()
    tex = shutil.which("pdflatex")
    yield True, f"TeX: {tex or 'none found (only needed to compile LaTeX tables)'}"


def _devices() -> Iterator[tuple[bool, str]]:
    """Yield torch's devices, each tested with a training step of a small E-I network."""
    import torch

    yield True, f"torch {torch.__version__}, {torch.get_num_threads()} CPU threads"
    yield _tried(torch.device("cpu"), "CPU")
    if not torch.cuda.is_available():
        yield True, "CUDA: no device (runs use the CPU)"
    for index in range(torch.cuda.device_count()):
        yield _tried(torch.device("cuda", index), torch.cuda.get_device_name(index))


def _tried(device: object, name: str) -> tuple[bool, str]:
    """Run a forward and a backward pass on `device`; return whether it works, and a message."""
    import torch

    from eibench.nn import LIF, EIConv2d, initialize

    assert isinstance(device, torch.device)
    try:
        batch = torch.rand(2, 3, 1, 8, 8).to(device)
        layer = torch.nn.Sequential(EIConv2d(1, 4, 3, padding=1), LIF()).to(device)
        initialize(layer, batch)(batch).mean().backward()
    except Exception as error:  # the point is to report whatever is wrong with the device
        return False, f"{name}: a training step failed: {error}"
    return True, f"{name}: a training step works"


def _data_sets() -> tuple[bool, str]:
    from eibench.execution.dataset_cache import present

    folder, found = present()
    own = [name for name, place in found.items() if place == str(folder / name)]
    others = "".join(f"; {name} in {place}" for name, place in found.items() if name not in own)
    listed = f"{', '.join(own) or 'none'} (`eibench data fetch NAME`){others}"
    return True, f"data sets in {folder}: {listed}"


def _writable(folder: Path) -> tuple[bool, str]:
    import os

    ok = os.access(folder, os.W_OK)
    free = shutil.disk_usage(folder).free / 2**30
    return ok, f"{'can' if ok else 'cannot'} write here, {free:.0f} GiB free"
