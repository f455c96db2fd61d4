"""Downloads from a local server with tiny data sets in the distributors' archives: everything is
verified, and incomplete files are never accepted."""

import functools
import http.server
import shutil
import socket
import threading
from pathlib import Path

import pytest
import tiny_files
from tiny_files import KINDS, NAMES

from eibench.data import SOURCES, DataError, DataSource
from eibench.data.sources import acquire
from eibench.plan.options import DATASETS

EACH = pytest.mark.parametrize("name", NAMES)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Tests do not print."""


@pytest.fixture
def address(tmp_path, monkeypatch):
    """Address of a server of `tmp_path / "served"`."""
    (tmp_path / "served").mkdir()
    monkeypatch.setenv("no_proxy", "*")
    handler = functools.partial(_Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def served(name, tmp_path, address, monkeypatch):
    """The set `name` on the server alone; the folder that is served, and the set's digest."""
    folder = tiny_files.make(name, tmp_path / "datasets", monkeypatch)
    digest = DATASETS.build(DATASETS[name](validation_share=0.2)).digest
    tiny_files.pack(name, folder, tmp_path / "served", address, monkeypatch)
    assert not folder.exists()
    return tmp_path / "served", digest


def get(name):
    return acquire(name, SOURCES[name])


def failure(name):
    with pytest.raises(DataError) as caught:
        get(name)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def left():
    return sorted(path.name for path in Path("datasets").iterdir())


@EACH
def test_fetched_is_whole_and_the_same(name, served):
    assert get(name) is True
    assert SOURCES[name].problems(Path("datasets", name)) == []
    assert DATASETS.build(DATASETS[name](validation_share=0.2)).digest == served[1]
    assert left() == [name]


@EACH
def test_archives_are_kept_only_where_they_tell_of_damage(name, served):
    get(name)
    kept = {path.name for path in Path("datasets").rglob("*") if path.suffix in (".gz", ".zip")}
    assert kept == ({file for file, _ in KINDS[name].resources} if "mnist" in name else set())


@EACH
def test_what_is_whole_is_not_fetched_again(name, served):
    get(name)
    shutil.rmtree(served[0])
    assert get(name) is False


@EACH
def test_a_damaged_set_is_replaced(name, served):
    get(name)
    victim = next(p for p in sorted(Path("datasets").rglob("*")) if p.suffix != ".gz" and _big(p))
    victim.write_bytes(victim.read_bytes()[:-100])
    assert SOURCES[name].problems(Path("datasets", name))
    assert get(name) is True
    assert DATASETS.build(DATASETS[name](validation_share=0.2)).digest == served[1]
    assert left() == [name]


def _big(path):
    return path.is_file() and path.stat().st_size > 200


@EACH
@pytest.mark.parametrize("what", ["cut", "other", "gone"])
def test_a_download_that_fails_leaves_nothing_that_passes(name, what, served):
    for archive in served[0].iterdir():
        content = archive.read_bytes()
        archive.unlink()
        if what != "gone":
            archive.write_bytes(content[: len(content) // 2] if what == "cut" else b"<html>")
    folder = Path.cwd() / "datasets" / name
    assert failure(name).startswith(f"{folder}: cannot be fetched: ")
    assert not folder.exists()
    with pytest.raises(DataError, match="no such folder; get it with"):
        DATASETS.build(DATASETS[name](validation_share=0.2))


@EACH
def test_no_network(name, served, monkeypatch):
    def unreachable(*_, **__):
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    assert "Temporary failure in name resolution" in failure(name)
    assert left() == [f".{name}.partial"]


@pytest.mark.parametrize("name", ["mnist"])
def test_an_interrupted_download_goes_on(name, served):
    last = served[0] / "t10k-labels-idx1-ubyte.gz"
    last.rename(served[0].parent / "aside")
    failure(name)
    (served[0].parent / "aside").rename(last)
    for other in served[0].glob("*.gz"):
        if other != last:
            other.unlink()
    assert get(name) is True
    assert DATASETS.build(DATASETS[name](validation_share=0.2)).digest == served[1]


@pytest.mark.parametrize("name", ["mnist"])
def test_an_interrupted_unpacking_begins_anew(name, served):
    """torchvision takes a file that is there for whole."""
    partial = Path("datasets/.mnist.partial/MNIST/raw")
    partial.mkdir(parents=True)
    for file, _ in KINDS[name].resources:
        (partial / file).with_suffix("").write_bytes(b"\0\0\x08\x03 half")
    assert get(name) is True
    assert DATASETS.build(DATASETS[name](validation_share=0.2)).digest == served[1]


def test_what_arrives_damaged_is_thrown_away():
    """Kept, it would be what the next download goes on from."""
    source = DataSource(
        lambda folder: Path(folder, "x").touch(), lambda folder: [f"{folder}/x: empty"]
    )
    with pytest.raises(DataError, match=r"what was fetched is damaged: .*x: empty"):
        acquire("thing", source)
    assert left() == []


@pytest.mark.parametrize("name", ["cifar10"])
def test_a_link_is_replaced_and_not_followed(name, served):
    """The link's target may be shared with other programs."""
    Path("elsewhere").mkdir()
    Path("elsewhere/precious").write_text("mine")
    Path("datasets", name).symlink_to(Path("elsewhere").absolute())
    assert get(name) is True
    assert Path("elsewhere/precious").read_text() == "mine"
    assert not Path("datasets", name).is_symlink()


@pytest.mark.parametrize("name", ["cifar10"])
def test_a_file_where_the_folder_belongs(name, served):
    Path("datasets", name).write_text("mine")
    assert "cannot be fetched: " in failure(name)
    assert Path("datasets", name).read_text() == "mine"


@pytest.mark.parametrize("name", ["cifar10"])
def test_a_data_folder_that_cannot_be(name, served, monkeypatch):
    Path("file").write_text("mine")
    monkeypatch.setenv("EIBENCH_DATA", "file")
    assert failure(name).startswith("file/cifar10: cannot be fetched: ")
