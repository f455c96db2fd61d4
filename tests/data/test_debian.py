"""Fashion-MNIST from Debian's package: found by itself, verified by its contents, never written."""

import dataclasses
import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
import tiny_files
from torchvision.datasets import FashionMNIST

from eibench.data import SOURCES, DataError, debian, load
from eibench.data.sources import acquire
from eibench.plan.options.data import FashionMNISTOptions

NAME = "fashion_mnist"
REAL = Path("/usr/share/datasets/fashion-mnist")
IMAGES = "t10k-images-idx3-ubyte.gz"


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """The tiny set as it is fetched."""
    return tiny_files.make(NAME, tmp_path / "datasets", monkeypatch)


@pytest.fixture
def package(fetched, tmp_path, monkeypatch):
    """The same in the package's folder, compressed otherwise, beside the fetched set."""
    folder = tmp_path / "system" / "fashion-mnist"
    folder.mkdir(parents=True)
    known = {}
    for path in sorted(fetched.rglob("*-ubyte")):
        known[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1, mtime=9))
    assert known.keys() == debian.SHA256.keys()
    monkeypatch.setattr(debian, "SHA256", known)
    return folder


@pytest.fixture
def alone(package, fetched):
    """The package's folder, where nothing was fetched."""
    fetched.rename("elsewhere")
    return package


def digest(**options):
    return load(FashionMNISTOptions(validation_share=0.2, **options)).digest


def test_the_same_data_as_fetched(package, fetched):
    fetched_digests = digest(), digest(train_images=50, test_images=10)
    fetched.rename("elsewhere")
    before = {path: path.read_bytes() for path in package.iterdir()}
    assert (digest(), digest(train_images=50, test_images=10)) == fetched_digests
    assert {path: path.read_bytes() for path in package.iterdir()} == before
    assert not Path("datasets", NAME).exists()


def test_images_and_labels_by_hand(alone):
    content = gzip.decompress((alone / IMAGES).read_bytes())
    labels = gzip.decompress((alone / IMAGES.replace("images-idx3", "labels-idx1")).read_bytes())
    test = load(FashionMNISTOptions(validation_share=0.2)).test
    expected = np.frombuffer(content[16:], np.uint8).reshape(20, 1, 28, 28)
    assert np.array_equal(test.images.numpy(), expected)
    assert test.labels.tolist() == list(labels[8:])


def test_a_fetched_set_is_used_first(package, fetched):
    (package / IMAGES).unlink()
    assert digest()
    next(fetched.rglob("train-images-idx3-ubyte")).unlink()
    with pytest.raises(DataError, match=f"^{fetched}/FashionMNIST/raw/train-images"):
        digest()


def changed(path):
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[-1] ^= 1
    path.write_bytes(gzip.compress(bytes(content)))


def no_file(path):
    path.unlink()
    path.mkdir()


DAMAGES = {
    "gone": (Path.unlink, "missing"),
    "changed": (changed, "damaged, its content's SHA-256 is "),
    "cut": (
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        "damaged (Compressed file ended before ",
    ),
    "empty": (lambda path: path.write_bytes(b""), "damaged, its content's SHA-256 is e3b0c4429"),
    "another": (lambda path: path.write_bytes(b"<html>"), "damaged (Not a gzipped file "),
    "flipped": (lambda path: path.write_bytes(path.read_bytes()[:12] + b"\xff" * 99), "damaged ("),
    "folder": (no_file, "unreadable (Is a directory)"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_and_nothing_is_loaded(alone, damage):
    change, problem = DAMAGES[damage]
    change(alone / IMAGES)
    (found,) = SOURCES[NAME].problems(alone)
    assert found.startswith(f"{alone / IMAGES}: {problem}")
    with pytest.raises(DataError) as caught:
        digest()
    assert str(caught.value) == f"{found}; `eibench data fetch fashion_mnist` fetches it again"


def test_a_whole_package_needs_no_download(alone, monkeypatch, cli):
    monkeypatch.setattr(FashionMNIST, "mirrors", [])
    assert acquire(NAME, SOURCES[NAME]) is False
    done = cli("data", "fetch", NAME)
    assert (done.code, done.out) == (0, f"{NAME}: already present and verified: {alone}\n")
    assert not Path("datasets", NAME).exists()


def test_a_damaged_package_is_replaced_by_a_download(alone, monkeypatch, cli):
    changed(alone / IMAGES)
    done = cli("data", "verify", NAME)
    assert done.code == 1 and done.out.startswith(f"{alone / IMAGES}: damaged, ")

    def fetch(folder):
        Path("elsewhere/FashionMNIST").rename(folder / "FashionMNIST")

    monkeypatch.setitem(SOURCES, NAME, dataclasses.replace(SOURCES[NAME], fetch=fetch))
    assert cli("data", "fetch", NAME).out.startswith(f"{NAME}: fetched and verified: ")
    assert digest()


def test_the_command_line_says_where_it_is_from(alone, cli, project):
    place = f"{alone} (package dataset-fashion-mnist)"
    assert f"files       {place}\n" in cli("data", "show", NAME).out
    assert cli("data", "verify", NAME).out == f"{NAME}: complete\n"
    told = f"/datasets: none (`eibench data fetch NAME`); {NAME} in {place}"
    assert any(line.endswith(told) for line in cli("doctor").out.splitlines())
    path = project.suite(base={"data": {"name": NAME, "validation_share": 0.2}}, grid={})
    assert "random images" not in cli("run", path, "--dry-run").out


@pytest.mark.skipif(not REAL.is_dir(), reason="dataset-fashion-mnist is not installed")
def test_the_real_package(monkeypatch):
    """Sizes and moments are those that are published."""
    monkeypatch.setattr("eibench.data.sources.SYSTEM_DATA", REAL.parent)
    data = load(FashionMNISTOptions())
    assert data.digest == "6ee6ecf9e64708f8"
    assert tuple(len(split) for split in data.splits.values()) == (54_000, 6_000, 10_000)
    assert data.test.labels.bincount().tolist() == [1_000] * 10
    pixels = np.concatenate([s.images.numpy().ravel() for s in (data.train, data.validation)])
    assert (pixels.mean() / 255, pixels.std() / 255) == pytest.approx((0.2860, 0.3530), abs=5e-5)
