"""Downloaded archives: verified before unpacking, and unpacked into one folder only."""

import hashlib
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from eibench.data import DataError, archives
from eibench.data.archives import check_sha256, unpack
from eibench.data.sources import FAILURES


@pytest.fixture
def into():
    folder = Path("into")
    folder.mkdir()
    return folder


def tar(*members):
    """An archive of (TarInfo, content)."""
    path = Path("a.tar.gz")
    with tarfile.open(path, "w:gz") as file:
        for info, content in members:
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def packed(*members):
    path = Path("a.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def outside():
    return sorted(p.name for p in Path().iterdir() if p.name not in ("into", "a.zip", "a.tar.gz"))


def test_what_is_whole_is_unpacked(into):
    unpack(packed(("x/a.txt", "one"), ("x/b.txt", "two")), into)
    unpack(tar((member("y/c.txt"), b"three")), into)
    assert {p.name: p.read_text() for p in into.rglob("*.txt")} == {
        "a.txt": "one",
        "b.txt": "two",
        "c.txt": "three",
    }


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "..\\evil", "C:\\evil"])
@pytest.mark.parametrize("form", ["tar", "zip"])
def test_names_that_lead_out(name, form, into):
    path = tar((member(name), b"x")) if form == "tar" else packed((name, "x"))
    with pytest.raises(DataError, match="lies outside of it"):
        unpack(path, into)
    assert not list(into.iterdir()) and not outside()


@pytest.mark.parametrize(
    "info",
    [
        member("link", tarfile.SYMTYPE, "../secret"),
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("link", tarfile.LNKTYPE, "../secret"),
        member("pipe", tarfile.FIFOTYPE),
        member("disk", tarfile.BLKTYPE),
        member("tty", tarfile.CHRTYPE),
    ],
    ids=lambda info: f"{info.name}-{info.linkname}",
)
def test_links_that_lead_out_and_devices(info, into):
    with pytest.raises(FAILURES):
        unpack(tar((info, b"")), into)
    assert not list(into.iterdir())


def test_a_link_of_a_zip_is_a_plain_file(into):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    unpack(packed((link, "/etc/passwd")), into)
    assert not (into / "link").is_symlink()


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_bombs_are_measured_before_they_are_unpacked(form, into):
    content = bytes(20_000_000)
    path = tar((member("big"), content)) if form == "tar" else packed(("big", content))
    with pytest.raises(DataError, match=r"holds more than 1 files of 20,000,000 bytes"):
        unpack(path, into)
    assert not list(into.iterdir())


def test_too_many_files(into, monkeypatch):
    monkeypatch.setattr(archives, "MOST_FILES", 3)
    path = packed(*((f"{i}", "x") for i in range(5)))
    with pytest.raises(DataError, match="holds more than 4 files"):
        unpack(path, into)


@pytest.mark.parametrize("path", ["a.zip", "a.tar.gz"])
def test_damage(path, into):
    Path(path).write_bytes(b"PK\3\4 nothing of the kind")
    with pytest.raises(FAILURES):
        unpack(Path(path), into)


def test_another_file_with_the_same_md5(monkeypatch):
    """A file with the published MD5 but another SHA-256 is neither unpacked nor kept."""
    path = packed(("a", "x"))
    content = path.read_bytes()
    monkeypatch.setitem(archives.SHA256, "published", hashlib.sha256(content).hexdigest())
    check_sha256(path, "published")
    path.write_bytes(content + b"0")
    with pytest.raises(DataError, match="its SHA-256 is "):
        check_sha256(path, "published")
    assert not path.exists()
    check_sha256(Path("absent"), "of which no other sum is known")
