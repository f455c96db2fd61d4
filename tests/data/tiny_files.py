"""Tiny data sets in the real form on disk, written byte by byte from what the formats say.

Each maker writes one set below `root`, as `eibench data fetch` would leave it, and sets the
published md5 and counts to those of its files. `pack` makes of it what its distributor serves.
"""

import gzip
import hashlib
import pickle
import shutil
import tarfile
import zipfile
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100, MNIST, FashionMNIST

tiny_imagenet = import_module("eibench.data.tiny_imagenet")
"""The module; the package holds the function of that name."""
KINDS = {"mnist": MNIST, "fashion_mnist": FashionMNIST, "cifar10": CIFAR10, "cifar100": CIFAR100}
NAMES = (*KINDS, "tiny_imagenet")
TRAIN, TEST = 10, 2
"""Images of each class."""
WNIDS = {
    "n02124075": "Egyptian cat",
    "n03126707": "crane",
    "n01443537": "goldfish, Carassius auratus",
    "n02012849": "crane, a bird",
}


def make(name, root, monkeypatch):
    """The set `name` in `root / name`; the folder."""
    folder = Path(root, name)
    if name == "tiny_imagenet":
        make_tiny_imagenet(folder, monkeypatch)
    else:
        maker = make_mnist if "mnist" in name else make_cifar
        maker(KINDS[name], folder, monkeypatch)
    return folder


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def drawn(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def shuffled_labels(seed, classes, of_each):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(classes), of_each))


# ------------------------------------------------------------------------------- MNIST


def idx(values):
    """An idx file: two zero bytes, 8 for unsigned bytes, the dimensions; sizes, big-endian."""
    header = bytes([0, 0, 8, values.ndim])
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return header + sizes + values.astype(np.uint8).tobytes()


def make_mnist(kind, folder, monkeypatch):
    raw = folder / kind.__name__ / "raw"
    raw.mkdir(parents=True)
    resources = []
    for seed, (part, of_each) in enumerate({"train": TRAIN, "t10k": TEST}.items()):
        labels = shuffled_labels(seed, 10, of_each)
        values = {"images-idx3": drawn(seed, len(labels), 28, 28), "labels-idx1": labels}
        for what, array in values.items():
            file = raw / f"{part}-{what}-ubyte"
            file.write_bytes(idx(array))
            archive = file.with_name(f"{file.name}.gz")
            archive.write_bytes(gzip.compress(idx(array)))
            resources.append((archive.name, md5(archive)))
    monkeypatch.setattr(kind, "resources", resources)


# ------------------------------------------------------------------------------- CIFAR


def cifar_arrays(kind, part):
    """Data [N, 3072], rows of red, green, blue planes; labels. Of one batch of `kind`."""
    classes = 10 if kind is CIFAR10 else 100
    files = [name for name, _ in (*kind.train_list, *kind.test_list)]
    batches = 1 if kind is CIFAR100 or "test" in part else 5
    of_each = TEST if "test" in part else TRAIN // batches
    seed = files.index(part)
    return drawn(seed, classes * of_each, 3072), shuffled_labels(seed, classes, of_each).tolist()


def make_cifar(kind, folder, monkeypatch):
    base = folder / kind.base_folder
    base.mkdir(parents=True)
    key = "labels" if kind is CIFAR10 else "fine_labels"
    for which in ("train_list", "test_list"):
        files = []
        for name, _ in getattr(kind, which):
            data, labels = cifar_arrays(kind, name)
            with (base / name).open("wb") as file:
                pickle.dump({"data": data, key: labels, "batch_label": name}, file)
            files.append([name, md5(base / name)])
        monkeypatch.setattr(kind, which, files)
    meta = base / kind.meta["filename"]
    names = [f"class {i}" for i in range(10 if kind is CIFAR10 else 100)]
    meta.write_bytes(pickle.dumps({kind.meta["key"]: names}))
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5(meta)})


# ----------------------------------------------------------------------- Tiny ImageNet


def make_tiny_imagenet(folder, monkeypatch):
    base = folder / "tiny-imagenet-200"
    for wnid in WNIDS:
        images = base / "train" / wnid / "images"
        images.mkdir(parents=True)
        for i in range(TRAIN):
            jpeg(images / f"{wnid}_{i}.JPEG", [*wnid.encode(), i])
        boxes = "".join(f"{wnid}_{i}.JPEG\t0\t10\t63\t58\n" for i in range(TRAIN))
        (images.parent / f"{wnid}_boxes.txt").write_text(boxes)
    (base / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in WNIDS))
    words = {**WNIDS, "n00001740": "entity"}
    (base / "words.txt").write_text("".join(f"{k}\t{v}\n" for k, v in words.items()))
    (base / "val" / "images").mkdir(parents=True)
    lines = []
    for i, wnid in enumerate(list(WNIDS) * TEST):
        jpeg(base / "val" / "images" / f"val_{i}.JPEG", [i])
        lines.append(f"val_{i}.JPEG\t{wnid}\t0\t32\t44\t62\n")
    (base / "val" / "val_annotations.txt").write_text("".join(lines))
    monkeypatch.setattr(tiny_imagenet, "CLASSES", len(WNIDS))
    monkeypatch.setattr(tiny_imagenet, "TRAIN_OF_EACH", TRAIN)
    monkeypatch.setattr(tiny_imagenet, "TESTED", TEST * len(WNIDS))


def jpeg(path, seed, size=(64, 64)):
    """A picture of large squares; every seventh is grey, as some of the real ones are."""
    squares = drawn(seed, size[0] // 8, size[1] // 8, 3).repeat(8, 0).repeat(8, 1)
    image = Image.fromarray(squares)
    (image.convert("L") if seed[-1] % 7 == 6 else image).save(path, "JPEG")


# ---------------------------------------------------------------------------- archives


def pack(name, folder, served, address, monkeypatch):
    """Moves the set out of `folder` into the archives that lie under `address` then."""
    served = Path(served)
    if name == "tiny_imagenet":
        archive = served / "tiny-imagenet-200.zip"
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(folder.rglob("*")):
                file.write(path, path.relative_to(folder))
        monkeypatch.setattr(tiny_imagenet, "URL", f"{address}{archive.name}")
        monkeypatch.setattr(tiny_imagenet, "MD5", md5(archive))
    elif "mnist" in name:
        for archive in sorted(folder.rglob("*.gz")):
            shutil.copy(archive, served)
        monkeypatch.setattr(KINDS[name], "mirrors", [address])
    else:
        kind = KINDS[name]
        with tarfile.open(served / kind.filename, "w:gz") as file:
            file.add(folder / kind.base_folder, kind.base_folder)
        monkeypatch.setattr(kind, "url", f"{address}{kind.filename}")
        monkeypatch.setattr(kind, "tgz_md5", md5(served / kind.filename))
    shutil.rmtree(folder)
