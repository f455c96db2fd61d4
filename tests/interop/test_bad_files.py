"""Files that are no checkpoints of DeepEISNN, and files that would run code or fill the memory."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable

import pytest
import torch
from deepeisnn_fake import Fake, release

from eibench.errors import UserError
from eibench.interop.deepeisnn import load_checkpoint


class Evil:
    def __reduce__(self):
        return print, ("run",)


def saved(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


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


BAD_FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is no checkpoint that can be read safely"),
    "text": (lambda: b"hello" * 50, "is no checkpoint that can be read safely"),
    "code": (lambda: saved({"config": Evil()}), "is no checkpoint that can be read safely"),
    "pickle": (lambda: pickle.dumps(Evil()), "is no checkpoint that can be read safely"),
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
    with pytest.raises(UserError, match=message):
        load_checkpoint(tmp_path / "a.pth", {})
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
