"""Files that are no checkpoints of DeepEISNN, and files that would run code or fill the memory."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
import torch
from deepeisnn_fake import Fake, release

from eibench.errors import UserError
from eibench.interop.deepeisnn import load_checkpoint
from eibench.interop.deepeisnn_config import parse_config, read_config


class Evil:
    def __init__(self, function=print):
        self.function = function

    def __reduce__(self):
        return self.function, ("run",)


def saved(value: object, **form: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **form)
    return file.getvalue()


def as_os(content: bytes) -> bytes:
    """The same old-format file, with `os.system` under the module's public name."""
    return content.replace(b"c" + os.system.__module__.encode() + b"\n", b"cos\n")


def bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(5):
            archive.writestr(f"a/data/{i}", b"\0" * 2**20)
    whole = bytearray(file.getvalue())
    for at in range(len(whole)):  # the directory claims a gigabyte for each
        if whole[at : at + 4] == b"PK\x01\x02":
            whole[at + 24 : at + 28] = (2**30).to_bytes(4, "little")
    return bytes(whole)


def scripted() -> bytes:
    """A file with the mark of TorchScript."""
    file = io.BytesIO(saved({}))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("archive/constants.pkl", b"")
    return file.getvalue()


OLD = {"_use_new_zipfile_serialization": False}
NOT_DATA = "read safely: it holds `{}[^`]*`, which is not data$"
BAD_FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "it is no file of torch.save"),
    "text": (lambda: b"hello" * 50, "it is no file of torch.save"),
    "pickle": (lambda: pickle.dumps(Evil()), "it is no file of torch.save"),
    "code": (lambda: saved({"config": Evil()}), NOT_DATA.format(r"(builtins\.)?print")),
    "blocked": (lambda: saved({"a": Evil(os.system)}), NOT_DATA.format(r"\w+\.system")),
    "old": (lambda: as_os(saved({"a": Evil(os.system)}, **OLD)), NOT_DATA.format(r"os\.system")),
    "class": (lambda: saved({"config": argparse.Namespace()}), NOT_DATA.format("argparse.Namesp")),
    "objects": (lambda: saved({"a": np.array([{}], object)}), NOT_DATA.format(r"numpy.*Object")),
    "protocol": (lambda: saved({}, pickle_protocol=4), "refuses; save it with protocol 2"),
    "script": (scripted, "it holds more than data"),
    "list": (lambda: saved([1]), "holds a list, not a mapping"),
    "bomb": (bomb, "too large when unpacked"),
    "other": (lambda: saved({"weights": 1}), "no model_state_dict; it holds weights"),
    "values": (lambda: saved({"model_state_dict": {"a": 1}}), "not tensors: a"),
    "cut": (lambda: saved(Fake("BN-SNN", 8).checkpoint())[:-900], "read safely"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(name, tmp_path, capsys):
    content, message = BAD_FILES[name]
    (tmp_path / "a.pth").write_bytes(content())
    with pytest.raises(UserError, match=message) as caught:
        load_checkpoint(tmp_path / "a.pth", {})
    text = str(caught.value)
    assert "weights_only" not in text and "\\x1b" not in text and "\n" not in text
    assert capsys.readouterr().out == ""


def test_bad_released_folders(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_checkpoint(tmp_path / "nothing.pth")
    folder = release(Fake("EI-SNN", 8), tmp_path / "released")
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json: is not YAML"):
        load_checkpoint(folder)
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(UserError, match="is not a safetensors file"):
        load_checkpoint(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="no such file"):
        load_checkpoint(folder)


def test_a_number_of_thousands_of_digits(tmp_path):
    """Python reads it from hexadecimal digits, and writes it in none."""
    path = tmp_path / "config.yaml"
    path.write_text(f"T: 0x{'f' * 4000}")
    with pytest.raises(UserError, match="a number that is too large"):
        parse_config(read_config(path), "config.yaml")
