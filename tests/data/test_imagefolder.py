"""Generated image folders: content, splits, and the message for each kind of damage."""

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from eibench.data import DataError
from eibench.plan.options import DATASETS
from eibench.plan.options.data import ImageFolderOptions


def imagefolder(root, share, size=None):
    options = ImageFolderOptions(root=root, validation_share=share, size=size)
    return DATASETS.build(options)


def picture(seed, size=(4, 6)):
    """A random RGB image of `size` (height, width)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def fill(split, size=(4, 6), count=10, classes=("cat", "dog"), suffix="png", root="root"):
    """`count` images of each class; no two alike."""
    for c, name in enumerate(classes):
        folder = Path(root, split, name)
        folder.mkdir(parents=True)
        for i in range(count):
            seed = 1000 * sum(map(ord, split)) + 100 * c + i
            picture(seed, size).save(folder / f"{i:03}.{suffix}")


def pixels(split):
    return [image.numpy().tobytes() for image in split.images]


@pytest.fixture
def root():
    """Ten images of each of two classes for training, four for the test."""
    fill("train")
    fill("test", count=4)
    return "root"


# ------------------------------------------------------------------------------ reading


def test_sizes_classes_and_form(root):
    data = imagefolder(root, 0.2)
    assert data.classes == ("cat", "dog")
    assert data.image == (3, 4, 6)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [16, 4, 8]
    assert data.train.images.dtype == torch.uint8
    assert data.train.labels.dtype == torch.int64


def test_pixels_are_those_of_the_files(root):
    data = imagefolder(root, 0.2)
    for i, path in enumerate(sorted(Path(root, "test").rglob("*.png"))):
        expected = np.asarray(Image.open(path)).transpose(2, 0, 1)
        assert np.array_equal(data.test.images[i].numpy(), expected)
    assert data.test.labels.tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "bmp", "ppm", "webp", "PNG"])
def test_formats(suffix):
    fill("train", suffix=suffix)
    fill("test", suffix=suffix)
    assert imagefolder("root", 0.5).image == (3, 4, 6)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK"])
def test_every_colour_mode_becomes_rgb(root, mode):
    path = Path(root, "test/cat/000.png")
    image = picture(1).convert(mode)
    path.unlink()
    image.save(path.with_suffix(".tiff"))
    assert imagefolder(root, 0.2).test.images.shape == (8, 3, 4, 6)


def test_a_grey_image_keeps_its_values(root):
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    Image.fromarray(grey).save(Path(root, "test/cat/000.png"))
    assert np.array_equal(imagefolder(root, 0.2).test.images[0].numpy(), np.stack([grey] * 3))


def test_a_16_bit_image_is_not_clipped_silently(root):
    """Half grey in 16 bits is half grey in 8, or the file is refused; never white."""
    half = np.full((4, 6), 32768, dtype=np.uint16)
    Image.fromarray(half).save(Path(root, "test/cat/000.png"))
    with contextlib.suppress(DataError):
        assert (imagefolder(root, 0.2).test.images[0].int() - 128).abs().max() <= 1


def test_other_files_are_left_out(root):
    Path(root, "train/cat/Thumbs.db").write_text("x")
    Path(root, "train/README.md").write_text("x")
    assert len(imagefolder(root, 0.2).train) == 16


def test_home_is_understood(root, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(imagefolder("~/root", 0.2).test) == 8


# --------------------------------------------------------------------------- validation


def test_the_validation_folder_is_used_whole(root):
    fill("validation", count=3)
    data = imagefolder(root, 0.2)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [20, 6, 8]
    assert data.validation.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_carved_validation_is_stratified():
    fill("train", count=10, classes=["a"])
    fill("train", count=20, classes=["b"])
    fill("test", classes=["a", "b"])
    data = imagefolder("root", 0.3)
    assert data.validation.labels.bincount().tolist() == [3, 6]
    assert data.train.labels.bincount().tolist() == [7, 14]


def test_carved_validation_is_disjoint_and_nothing_is_lost(root):
    data = imagefolder(root, 0.3)
    assert not set(pixels(data.train)) & set(pixels(data.validation))
    files = Path(root, "train").rglob("*.png")
    originals = [np.asarray(Image.open(p)).transpose(2, 0, 1).tobytes() for p in files]
    assert sorted(pixels(data.train) + pixels(data.validation)) == sorted(originals)


def test_labels_go_with_their_images(root):
    """After carving, every image still has the class of its folder."""
    data = imagefolder(root, 0.3)
    for name, label in (("cat", 0), ("dog", 1)):
        files = Path(root, "train", name).glob("*.png")
        originals = {np.asarray(Image.open(p)).transpose(2, 0, 1).tobytes() for p in files}
        for split in (data.train, data.validation):
            found = [p for p, y in zip(pixels(split), split.labels, strict=True) if y == label]
            assert set(found) <= originals


def test_loading_again_gives_the_same(root):
    torch.manual_seed(0)
    first = imagefolder(root, 0.3).digest
    torch.manual_seed(1)
    np.random.seed(1)
    assert imagefolder(root, 0.3).digest == first


def test_the_test_folder_has_no_say_in_the_carving(root):
    before = imagefolder(root, 0.3).validation
    Path(root, "test/cat/000.png").unlink()
    assert torch.equal(imagefolder(root, 0.3).validation.images, before.images)


# ------------------------------------------------------------------------------- damage


def refusal(root="root", share=0.2):
    with pytest.raises(DataError) as caught:
        imagefolder(root, share)
    return str(caught.value)


@pytest.mark.parametrize("split", ["train", "test"])
def test_missing_split(root, split):
    Path(root, split).rename("elsewhere")
    message = (
        f"root/{split}: no such folder; an imagefolder is ROOT/train/CLASS/* and ROOT/test/CLA"
    )
    assert refusal().startswith(message)


def test_missing_root():
    assert refusal("nowhere").startswith("nowhere/train: no such folder")


def test_root_is_a_file():
    Path("root").touch()
    assert refusal().startswith("root/train: no such folder")


def test_home_of_nobody():
    assert "nobody-of-that-name" in refusal("~nobody-of-that-name/data")


def test_a_split_without_classes(root):
    for path in sorted(Path(root, "test").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert refusal().startswith("root/test: ")


def test_a_class_without_images(root):
    Path(root, "train/bird").mkdir()
    message = refusal()
    assert message.startswith("root/train: ")
    assert "bird" in message


@pytest.mark.parametrize("split", ["test", "validation"])
def test_classes_differ(root, split):
    if split == "validation":
        fill("validation", count=2)
    Path(root, split, "dog").rename(Path(root, split, "dig"))
    expected = f"root/{split}: its classes are not those of train: dig, dog"
    assert refusal() == expected


def test_sizes_differ_within_a_split(root):
    picture(1, (5, 6)).save(Path(root, "train/dog/003.png"))
    expected = (
        "root/train/dog/003.png: is 5x6, but root/train/cat/000.png is 4x6; "
        "all images must have one size, or `size` give them one"
    )
    assert refusal() == expected


@pytest.mark.parametrize("split", ["test", "validation"])
def test_sizes_differ_between_splits(root, split):
    for path in sorted(Path(root, split).rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    Path(root, split).mkdir(exist_ok=True)
    Path(root, split).rmdir()
    fill(split, size=(8, 8), count=2)
    assert refusal() == "root: splits differ in image size: 4x6 and 8x8"


def truncated(path):
    path.write_bytes(path.read_bytes()[:-30])


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("not an image")


def scrambled(path):
    content = bytearray(path.read_bytes())
    content[40:60] = bytes(20)
    path.write_bytes(content)


def dangling(path):
    path.unlink()
    path.symlink_to("nowhere.png")


def enormous(path):
    """A header that claims 200000 x 200000 pixels: what Pillow calls a decompression bomb."""
    picture(1).save(path, "BMP")
    content = bytearray(path.read_bytes())
    content[18:26] = (200_000).to_bytes(4, "little") * 2
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncated, empty, text, scrambled, dangling, enormous])
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_damaged_file_is_named(root, split, damage):
    path = Path(root, split, "dog/002.png")
    damage(path)
    message = refusal()
    assert message.startswith(f"{path}: not a readable image")
    assert len(message.splitlines()) == 1


def test_a_damaged_jpeg_is_named():
    fill("train", size=(32, 32), suffix="jpg")
    fill("test", size=(32, 32), suffix="jpg")
    truncated(Path("root/train/cat/004.jpg"))
    assert refusal().startswith("root/train/cat/004.jpg: not a readable image")


@pytest.mark.parametrize(("count", "share"), [(1, 0.5), (2, 0.1), (3, 0.99)])
def test_too_few_images_to_set_some_aside(count, share):
    fill("train", count=count)
    fill("test")
    message = refusal(share=share)
    assert message == (
        f"root/train: cannot set {share:g} aside: both parts need an image of each of the 2 "
        f"classes, and each class two images at least; of {2 * count} images that cannot be"
    )


def splits_for_evaluation(*needed):
    options = ImageFolderOptions(root="root")
    data = DATASETS.build(options, needed=needed)
    return [len(split) for split in data.splits.values()]


def test_evaluation_needs_the_test_folder_alone(root):
    whole = imagefolder(root, 0.1).digest
    assert DATASETS.build(ImageFolderOptions(root="root"), needed=("test",)).digest == whole
    Path("root/train").rename("elsewhere")
    assert splits_for_evaluation("test") == [8, 8, 8]
    with pytest.raises(DataError, match="root/train: no such folder"):
        splits_for_evaluation("train", "test")
    fill("train", count=2)  # too few to hold some out
    assert splits_for_evaluation("test") == splits_for_evaluation("train", "test") == [4, 4, 8]
    Path("root/train/dog").rename("root/train/dig")
    with pytest.raises(DataError, match="its classes are not those of train: dig, dog"):
        splits_for_evaluation("test")
    Path("root/test").rename("tests")
    with pytest.raises(DataError, match="root/test: no such folder"):
        splits_for_evaluation("test")


def test_few_images_are_fine_with_a_validation_folder():
    fill("train", count=1)
    fill("validation", count=1)
    fill("test", count=1)
    assert len(imagefolder("root", 0.1).train) == 2


# --------------------------------------------------------------------------------- resizing


@pytest.mark.parametrize(("size", "box"), [((8, 12), (2, 10)), ((12, 8), (2, 10))])
def test_the_middle_square_is_kept(size, box):
    """The shorter side is `size` already, so pixels stay exact and the margins go."""
    fill("train", size)
    fill("test", size)
    data = imagefolder("root", 0.2, size=8)
    assert data.image == (3, 8, 8)
    path = sorted(Path("root/test").rglob("*.png"))[0]
    whole = np.asarray(Image.open(path))
    middle = whole[slice(*box)] if size[0] > size[1] else whole[:, slice(*box)]
    assert np.array_equal(data.test.images[0].numpy(), middle.transpose(2, 0, 1))


def test_images_of_any_size_become_one():
    for i, size in enumerate([(4, 6), (9, 5), (30, 30)]):
        fill("train", size, classes=[f"{i}"])
        fill("test", size, classes=[f"{i}"])
    data = imagefolder("root", 0.2, size=5)
    assert {s.images.shape[1:] for s in (data.train, data.validation, data.test)} == {(3, 5, 5)}


def test_making_smaller_averages_over_all_pixels():
    """Without antialiasing, bilinear would pick the white or the black columns of a stripe."""
    stripes = np.zeros((32, 32, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    for split in ("train", "test"):
        for name in ("a", "b"):
            Path("root", split, name).mkdir(parents=True)
            for i in range(3):
                Image.fromarray(stripes).save(f"root/{split}/{name}/{i}.png")
    pixels = imagefolder("root", 0.4, size=4).test.images.float()
    assert (pixels - 127.5).abs().max() < 8


def test_many_files_are_read_alike_by_other_processes(root, monkeypatch):
    alone = imagefolder(root, 0.2).digest
    monkeypatch.setattr("eibench.data.imagefolder.FEW", 3)
    monkeypatch.setenv("EIBENCH_WORKERS", "2")
    assert imagefolder(root, 0.2).digest == alone


# ------------------------------------------------------------------- what lies in the folders


def test_hidden_files_and_those_of_systems_are_passed_over(root):
    """They are no classes, no images, and not worth a word."""
    before = imagefolder(root, 0.2).digest
    hidden = (".ipynb_checkpoints", "@eaDir", "__MACOSX", "$RECYCLE.BIN", ".git", "#snapshot")
    for split in ("train", "test"):
        for name in hidden:
            for place in (Path(root, split), Path(root, split, "cat")):
                (place / name).mkdir()
                picture(5).save(place / name / "000.png")
        for name in ("._000.png", ".hidden.png", "Thumbs.db", ".DS_Store", "desktop.ini"):
            Path(root, split, "cat", name).write_bytes(b"x")
    (Path(root) / ".cache").mkdir()
    data = imagefolder(root, 0.2)
    assert data.digest == before and data.classes == ("cat", "dog")
    assert data.notes == ()


def test_files_that_are_not_read_are_counted(root):
    for i, name in enumerate(["a.gif", "b.jfif", "c.jfif", "d.AVIF", "labels.csv", "README"]):
        Path(root, ("train", "test")[i % 2], "cat", name).write_bytes(b"x")
    (note,) = imagefolder(root, 0.2).notes
    kinds = ".avif (1), .csv (1), .gif (1), .jfif (2), no ending (1)"
    assert note == f"6 files of kinds that are not read: {kinds}"


def test_a_class_of_which_no_file_is_read(root):
    for path in Path(root, "train/cat").glob("*.png"):
        path.rename(path.with_suffix(".jfif"))
    message = refusal()
    assert message.startswith("root/train: no images in cat (10 files of kinds that are not read: ")
    assert ".jfif (10)" in message and ".png" in message


def test_images_outside_of_class_folders(root):
    picture(1).save(Path(root, "train/lost.png"))
    assert imagefolder(root, 0.2).notes == ("train: images outside of class folders, not read: 1",)


@pytest.mark.parametrize("name", ["val", "valid", "dev", "Val", "Validation"])
def test_a_folder_that_may_be_the_validation_split(root, name):
    Path(root, name).mkdir()
    (note,) = imagefolder(root, 0.2).notes
    assert note == f"{name}: did you mean validation? A folder of this name is not read"


@pytest.mark.parametrize(
    ("made", "missing", "hint"),
    [
        ("training", "train", "rename training to train"),
        ("Train", "train", "rename Train to train"),
        ("tset", "test", "did you mean 'tset'?"),
    ],
)
def test_a_split_of_another_name(root, made, missing, hint):
    Path(root, missing).rename(Path(root, made))
    assert refusal().endswith(hint)


def test_a_root_one_level_too_high(root):
    Path("above").mkdir()
    Path(root).rename("above/pets")
    assert refusal("above").endswith("; is above/pets the root that is meant?")


def test_one_class(root):
    for split in ("train", "test"):
        Path(root, split).rename("images")
        Path(root, split).mkdir()
        Path("images").rename(Path(root, split, "images"))
    assert refusal() == (
        "root/train: one class, 'images', but at least two are needed; root/train/images "
        "holds the folders cat, dog: is that the level meant?"
    )


def test_one_class_that_holds_no_folders():
    fill("train", classes=["cat"])
    fill("test", classes=["cat"])
    assert refusal().endswith("one class, 'cat', but at least two are needed")


def test_classes_that_differ_in_capitals():
    fill("train", classes=["Cat", "cat", "dog"])
    fill("test", classes=["Cat", "cat", "dog"])
    (note,) = imagefolder("root", 0.2).notes
    assert note == "classes whose names differ in capitals alone: Cat, cat"


def test_names_that_are_not_utf8(root):
    for split in ("train", "test"):
        Path(root, split, "cat").rename(Path(root, split, "caf\udce9"))
    Path(root, "test/dog/000.png").rename(Path(root, "test/dog/\udcff.png"))
    data = imagefolder(root, 0.2)
    assert data.classes == ("caf\\xe9", "dog")
    Path(root, "test/dog/\udcff.png").write_bytes(b"x")
    assert "test/dog/\\xff.png: not a readable image" in refusal()


def test_control_characters_in_names(root):
    for split in ("train", "test"):
        Path(root, split, "cat").rename(Path(root, split, "a\x1b[31m\nb"))
    assert imagefolder(root, 0.2).classes == ("a\\x1b[31m\\nb", "dog")
    Path(root, "train/dog/001.png").write_bytes(b"")
    Path(root, "train/dog/001.png").rename(Path(root, "train/dog/\r\n.png"))
    assert len(refusal().splitlines()) == 1


# -------------------------------------------------------------------------- links and devices


def test_links_to_files_and_folders_are_followed(root):
    before = imagefolder(root, 0.2).digest
    Path(root, "train/cat").rename("elsewhere")
    Path(root, "train/cat").symlink_to(Path("elsewhere").resolve())
    path = Path(root, "train/dog/001.png")
    path.rename("one.png")
    path.symlink_to(Path("one.png").resolve())
    assert imagefolder(root, 0.2).digest == before


@pytest.mark.parametrize(
    ("link", "to"),
    [
        ("train/cat/again", "../../train"),
        ("train/cat/again", "."),
        ("train/cow", "cat"),
        ("test/dog/more", "../../train/dog"),
        ("validation", "test"),
    ],
)
def test_a_folder_that_would_count_twice(root, link, to):
    Path(root, link).symlink_to(to)
    message = refusal()
    assert " is the same folder as root/" in message
    assert message.endswith("its images would count twice; remove the link")


@pytest.mark.parametrize("to", ["nowhere", "loop.png"])
def test_a_link_that_leads_nowhere(root, to):
    Path(root, "train/cat/loop.png").symlink_to(to)
    expected = "root/train/cat/loop.png: not a readable image (a link that leads nowhere)"
    assert refusal() == expected


def test_a_fifo_is_never_opened(root):
    os.mkfifo(Path(root, "train/cat/pipe.png"))
    expected = "root/train/cat/pipe.png: not a readable image (no regular file)"
    assert refusal() == expected


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(root):
    Path(root, "train/cat").chmod(0)
    assert refusal() == "root/train/cat: unreadable (Permission denied)"
