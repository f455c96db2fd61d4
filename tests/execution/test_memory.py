"""Memory between steps: kept where the system's C library lets it, and nothing fails elsewhere."""

from types import SimpleNamespace

import torch

from eibench.execution import memory


def test_windows_has_no_library_without_a_name(monkeypatch):
    def refuse(name):
        raise TypeError("as ctypes does there")

    monkeypatch.setattr(memory, "os", SimpleNamespace(name="nt"))
    monkeypatch.setattr(memory, "ctypes", SimpleNamespace(CDLL=refuse))
    memory.keep_freed_memory()
    memory.reset_peak(torch.device("cpu"))


def test_a_library_may_lack_the_functions(monkeypatch):
    monkeypatch.setattr(memory, "ctypes", SimpleNamespace(CDLL=lambda name: object()))
    memory.keep_freed_memory()
    memory.reset_peak(torch.device("cpu"))


def test_here_both_settings_reach_the_library(monkeypatch):
    asked = []
    library = SimpleNamespace(mallopt=lambda *words: asked.append(words))
    monkeypatch.setattr(memory, "ctypes", SimpleNamespace(CDLL=lambda name: library))
    memory.keep_freed_memory()
    assert asked == [(-3, 2**31 - 1), (-1, 2**31 - 1)]
