"""Memory between steps: kept where the C library allows it, and no error elsewhere."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from eibench.execution import device as memory


def test_windows_has_no_library_without_a_name(monkeypatch):
    def refuse(name):
        raise TypeError("as ctypes does there")

    monkeypatch.setattr(memory, "os", SimpleNamespace(name="nt"))
    monkeypatch.setattr(memory, "ctypes", SimpleNamespace(CDLL=refuse))
    memory.keep_freed_memory()
    memory.PeakMemory(torch.device("cpu"))


def test_a_library_may_lack_the_functions(monkeypatch):
    monkeypatch.setattr(memory, "ctypes", SimpleNamespace(CDLL=lambda name: object()))
    memory.keep_freed_memory()
    memory.PeakMemory(torch.device("cpu"))


def test_here_both_settings_reach_the_library(monkeypatch):
    asked = []
    library = SimpleNamespace(mallopt=lambda *words: asked.append(words))
    monkeypatch.setattr(memory, "ctypes", SimpleNamespace(CDLL=lambda name: library))
    memory.keep_freed_memory()
    assert asked == [(-3, 2**31 - 1), (-1, 2**31 - 1)]


CPU = torch.device("cpu")
LINUX = Path("/proc/self/clear_refs").exists()


@pytest.mark.skipif(not LINUX, reason="needs /proc")
def test_a_peak_is_the_runs_own():
    """64 MiB of an earlier run, and 32 MiB that were there before, are not those of the next."""
    earlier = memory.PeakMemory(CPU)
    block = torch.ones(16 * memory.MIB)
    assert 64 <= earlier.mib() < 96
    del block
    kept = torch.ones(8 * memory.MIB)
    later = memory.PeakMemory(CPU)
    assert later.mib() < 8
    block = torch.ones(4 * memory.MIB)
    del block
    assert 15 <= later.mib() < 32
    assert kept[0] == 1


def test_a_peak_that_cannot_be_reset_is_not_told(monkeypatch):
    """It would be that of an earlier run."""

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(Path, "write_text", refuse)
    assert memory.PeakMemory(CPU).mib() is None
