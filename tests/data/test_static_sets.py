"""MNIST, Fashion-MNIST, CIFAR and Tiny ImageNet from tiny files in their real formats: content,
splits, and damage, which is named and never read."""

import gzip
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tiny_files
import torch
from PIL import Image
from tiny_files import KINDS, NAMES, TEST, TRAIN, WNIDS, cifar_arrays
from torchvision.datasets import CIFAR10

from eibench.contracts import CONTRACTS
from eibench.data import SOURCES, DataError
from eibench.plan.options import DATASETS
from eibench.training.build import draw_splits

CLASSES = {"cifar100": 100, "tiny_imagenet": len(WNIDS)}
SIZES = {"mnist": (1, 28, 28), "fashion_mnist": (1, 28, 28), "tiny_imagenet": (3, 64, 64)}
EACH = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def made(name, tmp_path, monkeypatch):
    """The tiny set `name`, where eibench looks for it; its folder."""
    return tiny_files.make(name, tmp_path / "datasets", monkeypatch)


def load(name, share=0.2):
    return DATASETS.build(DATASETS[name](validation_share=share))


def splits(data):
    return data.train, data.validation, data.test


# ------------------------------------------------------------------------------ reading


@EACH
def test_sizes_classes_and_form(name, made):
    data = load(name)
    classes = CLASSES.get(name, 10)
    assert len(data.classes) == classes
    assert data.image == SIZES.get(name, (3, 32, 32))
    assert [len(split) for split in splits(data)] == [
        classes * TRAIN * 8 // 10,
        classes * TRAIN * 2 // 10,
        classes * TEST,
    ]
    for split in splits(data):
        assert split.images.dtype == torch.uint8
        assert split.images.is_contiguous()
        assert split.labels.dtype == torch.int64


@EACH
def test_validation_is_stratified_and_nothing_is_lost(name, made):
    data = load(name)
    classes = CLASSES.get(name, 10)
    assert data.validation.labels.bincount().tolist() == [TRAIN * 2 // 10] * classes
    assert data.train.labels.bincount().tolist() == [TRAIN * 8 // 10] * classes
    images = {image.numpy().tobytes() for s in splits(data) for image in s.images}
    assert len(images) == classes * (TRAIN + TEST)


@EACH
def test_the_shape_is_known_without_files(name, made):
    shape = DATASETS[name]().shape()
    assert shape is not None
    assert shape.image == load(name).image
    assert shape.classes == {"cifar100": 100, "tiny_imagenet": 200}.get(name, 10)


@EACH
@pytest.mark.parametrize("contract", CONTRACTS["data"], ids=lambda c: c.__name__)
def test_contract(name, made, contract):
    contract(DATASETS[name]())


@EACH
def test_loading_again_elsewhere_gives_the_same(name, made, tmp_path, monkeypatch):
    first = load(name).digest
    torch.manual_seed(1)
    np.random.seed(1)
    made.parent.rename(tmp_path / "moved")
    monkeypatch.setenv("EIBENCH_DATA", str(tmp_path / "moved"))
    assert load(name).digest == first


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_pixels_of_mnist(name, made):
    """An idx file is a header of 16 bytes, then images row by row."""
    raw = made / KINDS[name].__name__ / "raw"
    content = (raw / "t10k-images-idx3-ubyte").read_bytes()[16:]
    test = load(name).test
    assert test.images.numpy().tobytes() == content
    assert bytes(test.labels.tolist()) == (raw / "t10k-labels-idx1-ubyte").read_bytes()[8:]


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_compressed_files_are_not_needed(name, made):
    before = load(name).digest
    for archive in made.rglob("*.gz"):
        archive.unlink()
    assert load(name).digest == before


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_pixels_of_cifar(name, made):
    """Value 1024 c + 32 y + x of a row is channel c at (y, x)."""
    kind = KINDS[name]
    rows, labels = cifar_arrays(kind, kind.test_list[0][0])
    test = load(name).test
    assert test.labels.tolist() == labels
    for n, c, y, x in [(0, 0, 0, 0), (3, 1, 0, 31), (5, 2, 31, 0), (7, 1, 17, 4)]:
        assert test.images[n, c, y, x] == rows[n, 1024 * c + 32 * y + x]
    assert test.images.sum() == rows.sum()


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_labels_of_cifar_go_with_their_images(name, made):
    kind, known = KINDS[name], {}
    for part, _ in kind.train_list:
        rows, labels = cifar_arrays(kind, part)
        known |= {row.tobytes(): label for row, label in zip(rows, labels, strict=True)}
    data = load(name)
    for split in (data.train, data.validation):
        for image, label in zip(split.images, split.labels, strict=True):
            assert known[image.numpy().tobytes()] == label


@pytest.mark.parametrize("name", ["tiny_imagenet"])
def test_pixels_and_labels_of_tiny_imagenet(name, made):
    base, data = made / "tiny-imagenet-200", load(name)
    known = {}
    for label, wnid in enumerate(sorted(WNIDS)):
        for path in (base / "train" / wnid / "images").iterdir():
            known[pixels(path)] = label
    for line in (base / "val/val_annotations.txt").read_text().splitlines():
        file, wnid, *_ = line.split("\t")
        known[pixels(base / "val/images" / file)] = sorted(WNIDS).index(wnid)
    for split in splits(data):
        for image, label in zip(split.images, split.labels, strict=True):
            assert known[image.numpy().tobytes()] == label


@pytest.mark.parametrize("name", ["tiny_imagenet"])
@pytest.mark.parametrize("size", [1, 32, 63])
def test_tiny_imagenet_of_another_size(name, made, size):
    """As Pillow resizes, to a level: the same images in the same splits, under another digest."""
    whole, data = load(name), DATASETS.build(DATASETS[name](validation_share=0.2, size=size))
    assert data.image == DATASETS[name](size=size).shape().image == (3, size, size)
    assert data.digest != whole.digest
    for split, originals in zip(splits(data), splits(whole), strict=True):
        assert torch.equal(split.labels, originals.labels)
        for image, original in zip(split.images[:4], originals.images[:4], strict=True):
            picture = Image.fromarray(original.permute(1, 2, 0).numpy())
            theirs = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))
            assert np.abs(image.permute(1, 2, 0).numpy().astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("name", ["tiny_imagenet"])
def test_tiny_imagenet_of_its_own_size_is_as_it_was(name, made):
    assert DATASETS.build(DATASETS[name](validation_share=0.2, size=64)).digest == load(name).digest


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1).tobytes()


def test_class_names(tmp_path, monkeypatch):
    """Readable, in the order of the labels; words.txt calls two classes crane."""
    for name in NAMES:
        tiny_files.make(name, tmp_path / "datasets", monkeypatch)
    assert load("mnist").classes == tuple("0123456789")
    assert load("fashion_mnist").classes[:3] == ("T-shirt/top", "Trouser", "Pullover")
    assert load("cifar10").classes == tuple(f"class {i}" for i in range(10))
    assert load("tiny_imagenet").classes == (
        "goldfish",
        "crane (n02012849)",
        "Egyptian cat",
        "crane (n03126707)",
    )


@EACH
def test_training_and_validation_are_drawn_by_seed(name, made):
    """The published test split stays."""
    options = DATASETS[name](validation_share=0.2, splits="by_seed")
    whole = load(name)
    one, other = (draw_splits(whole, options, seed) for seed in (0, 1))
    assert one.test is other.test is whole.test
    assert len({data.digest for data in (whole, one, other)}) == 3
    for data in (one, other):
        assert (
            data.validation.labels.bincount().tolist()
            == whole.validation.labels.bincount().tolist()
        )


@EACH
@pytest.mark.parametrize("share", [0.001, 0.999])
def test_a_share_that_leaves_a_class_out(name, made, share):
    message = refusal(name, share)
    assert message.startswith(f"{made}: cannot set {share:g} aside: ")


# ------------------------------------------------------------------------------- damage


def refusal(name, share=0.2):
    with pytest.raises(DataError) as caught:
        load(name, share)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def files_of(name):
    """Every file that the set `name` needs, below its folder."""
    if name == "tiny_imagenet":
        base = Path("tiny-imagenet-200")
        texts = [base / "wnids.txt", base / "words.txt", base / "val/val_annotations.txt"]
        train = base / "train/n02124075/images/n02124075_3.JPEG"
        return [*texts, train, base / "val/images/val_5.JPEG"]
    kind = KINDS[name]
    if "mnist" in name:
        raw = Path(kind.__name__, "raw")
        files = ["images-idx3", "labels-idx1"]
        return [raw / f"{part}-{file}-ubyte" for part in ("train", "t10k") for file in files]
    parts = [part for part, _ in (*kind.train_list, *kind.test_list)]
    return [Path(kind.base_folder, part) for part in (*parts, kind.meta["filename"])]


FILES = [(name, file) for name in NAMES for file in files_of(name)]
EVERY_FILE = pytest.mark.parametrize(("name", "file"), FILES, ids=lambda x: Path(x).name)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-40])


def emptied(path):
    path.write_bytes(b"")


def zeros(path):
    """File of the right length but no content, as a crash of the machine may leave."""
    path.write_bytes(bytes(path.stat().st_size))


def folder_in_its_place(path):
    path.unlink()
    path.mkdir()


def missing(path):
    path.unlink()


DAMAGES = [missing, truncated, emptied, zeros, folder_in_its_place]


@EVERY_FILE
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda f: f.__name__)
def test_damage_is_named_and_nothing_is_loaded(name, file, damage, made):
    damage(made / file)
    problems = SOURCES[name].problems(made)
    assert any(str(named(made, file)) in problem for problem in problems), problems
    assert str(made) in refusal(name)


def named(made, file):
    """The file that a problem names: of a missing training image, the folder that should hold it;
    what a text of Tiny ImageNet lacks may be missed elsewhere."""
    path = made / file
    if path.suffix == ".txt" and path.exists():
        return made
    return path.parent if path.suffix == ".JPEG" and not path.is_file() else path


@pytest.mark.parametrize(
    ("name", "file"),
    [(name, file) for name, file in FILES if name != "tiny_imagenet"],
    ids=lambda x: Path(x).name,
)
@pytest.mark.parametrize("place", [0, 1, 7, 0.5, 0.99])
def test_a_flipped_byte_anywhere_is_found(name, file, place, made):
    """By the md5 of CIFAR's files; by those of MNIST's compressed ones, which lie beside."""
    content = bytearray((made / file).read_bytes())
    content[place if isinstance(place, int) else int(place * len(content))] ^= 1
    (made / file).write_bytes(content)
    assert refusal(name).startswith(f"{made / file}: ")


@pytest.mark.parametrize("name", ["mnist"])
def test_a_flipped_byte_of_a_compressed_file(name, made):
    archive = made / "MNIST/raw/train-images-idx3-ubyte.gz"
    content = bytearray(archive.read_bytes())
    content[1000] ^= 1
    archive.write_bytes(content)
    assert refusal(name).startswith(f"{archive}: damaged, its md5 is ")


@pytest.mark.parametrize("name", ["mnist"])
@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("train-labels-idx1-ubyte", np.arange(99) % 10, "99 labels for 100 images"),
        ("train-labels-idx1-ubyte", np.arange(100) % 11, "damaged, a label 10 among 10 classes"),
        ("t10k-images-idx3-ubyte", np.zeros((20, 28, 27)), "damaged, its header says 20x28x27"),
        ("t10k-images-idx3-ubyte", np.zeros((0, 28, 28)), "damaged, its header says 0x28x28"),
        ("t10k-labels-idx1-ubyte", np.zeros((20, 1)), "damaged, no idx header of 1 dimensions"),
    ],
)
def test_wrong_counts_of_mnist(name, made, file, content, problem):
    """Without the compressed files, headers, sizes and labels must still agree."""
    raw = made / "MNIST/raw"
    for archive in raw.glob("*.gz"):
        archive.unlink()
    (raw / file).write_bytes(tiny_files.idx(content))
    assert refusal(name).startswith(f"{raw / file}: {problem}; ")


@pytest.mark.parametrize("name", ["mnist"])
def test_a_file_beside_another_archive(name, made):
    """Both whole, and not of one set."""
    raw = made / "MNIST/raw"
    labels = raw / "t10k-labels-idx1-ubyte"
    labels.write_bytes(tiny_files.idx(np.zeros(20)))
    assert refusal(name).startswith(f"{labels}: damaged, it is not what {labels.name}.gz holds")


@pytest.mark.parametrize("name", ["mnist"])
def test_files_that_torchvision_once_made_are_not_read(name, made):
    old = made / "MNIST/processed"
    old.mkdir()
    for file in ("training.pt", "test.pt"):
        torch.save((torch.zeros(3, 28, 28).byte(), torch.zeros(3).long()), old / file)
    assert refusal(name).startswith(f"{old / 'test.pt'}: from an old torchvision")


class _Trap:
    """A pickle that runs code when it is read."""

    def __reduce__(self):
        return (Path.touch, (Path("sprung"),))


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_a_foreign_pickle_is_never_opened(name, made):
    for path in (made / KINDS[name].base_folder).iterdir():
        path.write_bytes(pickle.dumps(_Trap()))
    refusal(name)
    assert SOURCES[name].problems(made)
    assert not Path("sprung").exists()


@pytest.mark.parametrize("name", ["cifar10"])
def test_one_message_counts_the_others(name, made):
    for part in ("data_batch_2", "data_batch_4", "test_batch"):
        (made / CIFAR10.base_folder / part).unlink()
    assert refusal(name) == (
        f"{made / CIFAR10.base_folder / 'data_batch_2'}: missing (and 2 more: `eibench data verify "
        "cifar10`); `eibench data fetch cifar10` fetches it again"
    )


def changed_text(old, new):
    def change(path):
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    change.__name__ = f"{old.strip()}_{new.strip()}"
    return change


@pytest.mark.parametrize("name", ["tiny_imagenet"])
@pytest.mark.parametrize(
    ("file", "change", "problem"),
    [
        ("wnids.txt", changed_text("n03126707\n", ""), "wnids.txt: 3 classes, not 4"),
        ("wnids.txt", changed_text("n03126707", "n02124075"), "wnids.txt: 3 classes, not 4"),
        ("words.txt", changed_text("n03126707", "n0"), "words.txt: no words for n03126707"),
        (
            "val/val_annotations.txt",
            changed_text("val_2.JPEG\tn01443537", "val_2.JPEG\tn01443530"),
            "val/val_annotations.txt: val_2.JPEG is of class n01443530, not in wnids.txt",
        ),
        (
            "val/val_annotations.txt",
            changed_text("val_3.JPEG", "val_2.JPEG"),
            "val/val_annotations.txt: 8 lines on 7 images, not 8",
        ),
        (
            "val/val_annotations.txt",
            changed_text("val_3.JPEG", "val_33.JPEG"),
            "val/images/val_33.JPEG: missing, but annotated",
        ),
        (
            "val/val_annotations.txt",
            changed_text("val_3.JPEG", "val_33.JPEG"),
            "val/images/val_3.JPEG: not annotated",
        ),
        ("val/images/val_1.JPEG", missing, "val/images/val_1.JPEG: missing, but annotated"),
        (
            "train/n03126707/images/n03126707_0.JPEG",
            missing,
            "train/n03126707/images: 9 images, not 10",
        ),
        (
            "train/n03126707/images/n03126707_0.JPEG",
            lambda path: tiny_files.jpeg(path, [1], (32, 64)),
            "train/n03126707/images/n03126707_0.JPEG: is 32x64, not 64x64",
        ),
        (
            "val/images/val_1.JPEG",
            truncated,
            "val/images/val_1.JPEG: not a readable image",
        ),
    ],
)
def test_misfits_of_tiny_imagenet(name, made, file, change, problem):
    base = made / "tiny-imagenet-200"
    change(base / file)
    problems = SOURCES[name].problems(made)
    assert any(found.startswith(f"{base / problem}") for found in problems), problems
    assert str(base) in refusal(name)


@pytest.mark.parametrize("name", ["tiny_imagenet"])
def test_every_damaged_image_is_listed(name, made):
    images = sorted((made / "tiny-imagenet-200").rglob("*_[34].JPEG"))
    for path in images:
        truncated(path)
    found = Counter(problem.partition(": ")[0] for problem in SOURCES[name].problems(made))
    assert found == Counter(map(str, images))


# ------------------------------------------------------------------------------- absent


@EACH
def test_absent(name, tmp_path):
    folder = tmp_path / "datasets" / name
    package = " or `apt-get install dataset-fashion-mnist`" * (name == "fashion_mnist")
    assert refusal(name) == (
        f"{folder}: no such folder; get it with `eibench data fetch {name}`{package}, or name the "
        f"folder that holds {name}/ with --data-dir or EIBENCH_DATA"
    )


@EACH
def test_an_empty_folder_is_not_a_data_set(name, tmp_path):
    folder = tmp_path / "datasets" / name
    folder.mkdir(parents=True)
    assert refusal(name).startswith(f"{folder}/")
    assert SOURCES[name].problems(folder)


def test_the_home_of_nobody(monkeypatch):
    monkeypatch.setenv("EIBENCH_DATA", "~nobody-of-that-name/data")
    assert refusal("mnist").startswith("~nobody-of-that-name/data/mnist: no such folder")


def test_gzip_says_the_crc_where_it_is_read(tmp_path):
    """RFC 1952: the last 8 bytes are CRC32 and size of the content, little-endian."""
    import zlib

    content = b"a few bytes" * 9
    trailer = gzip.compress(content)[-8:]
    assert trailer[:4] == zlib.crc32(content).to_bytes(4, "little")
    assert trailer[4:] == len(content).to_bytes(4, "little")
