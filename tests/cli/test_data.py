"""`eibench data` and `--data-dir`: output, contact sheets and exit codes; missing and damaged
data sets."""

import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_files
from PIL import Image
from tiny_files import NAMES
from torchvision.datasets import CIFAR10

from eibench.data.digits import digits
from eibench.plan.options import DATASETS

EACH = pytest.mark.parametrize("name", NAMES)
SEARCH = {
    "space": {"train.lr": {"low": 0.01, "high": 1, "log": True}},
    "trials": 3,
    "seeds": [1000],
}
VICTIM = "cifar10/cifar-10-batches-py/data_batch_2"


@pytest.fixture
def made(name, monkeypatch):
    """The tiny set `name` in the folder `store`, which EIBENCH_DATA does not name."""
    return tiny_files.make(name, "store", monkeypatch)


def refused(done):
    """The text of the one error."""
    assert done.code == 2, done.out
    (line,) = done.errors
    assert done.err == f"error: {line}\n"
    return line


def lines(out):
    """Return the output of `show`, by heading."""
    return dict(line.split(maxsplit=1) for line in out.splitlines())


def png_size(path):
    content = Path(path).read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", content[16:24])


# --------------------------------------------------------------------------------- show


@EACH
def test_show_every_set(cli, name, made):
    done = cli("data", "show", name, "--data-dir", "store", "--out", "out/sheet.png")
    assert (done.code, done.err) == (0, "")
    said, data = lines(done.out), DATASETS.build(DATASETS[name](validation_share=0.1))
    channels, high, wide = data.image
    assert said["image"] == f"{channels}x{high}x{wide}, uint8 from 0 to 255, 255 stands for 1"
    assert said["classes"].startswith(f"{len(data.classes)}: {data.classes[0]}, {data.classes[1]}")
    assert said["train"] == f"{len(data.train)}, 9 of a class"
    assert said["validation"] == f"{len(data.validation)}, 1 of a class"
    assert said["test"] == f"{len(data.test)}, 2 of a class"
    assert said["digest"] == data.digest
    assert said["files"] == f"store/{name}"
    assert said["sheet"] == "out/sheet.png"
    assert min(png_size("out/sheet.png")) > 300
    with Image.open("out/sheet.png") as sheet:
        sheet.load()


@EACH
def test_mean_and_deviation_are_those_of_training(cli, name, made):
    said = lines(cli("data", "show", name, "--data-dir", "store").out)
    images = DATASETS.build(DATASETS[name](validation_share=0.1)).train.images.numpy() / 255.0
    mean = " ".join(f"{images[:, c].mean():.4f}" for c in range(images.shape[1]))
    deviation = " ".join(f"{images[:, c].std():.4f}" for c in range(images.shape[1]))
    assert said["mean"] == mean
    assert said["deviation"] == f"{deviation} (training split, by channel)"


def fill(split, colours):
    """Images of one colour each, 2x3."""
    for name, values in colours.items():
        Path("root", split, name).mkdir(parents=True)
        for i, colour in enumerate(values):
            Image.new("RGB", (3, 2), colour).save(f"root/{split}/{name}/{i}.png")


def test_numbers_by_hand(cli):
    """Red is 0, 51, 102, 255 of 255: mean (0 + 0.2 + 0.4 + 1) / 4, mean square 0.3; green is 51
    thrice and 255, blue is constant."""
    cat = [(0, 51, 255), (51, 51, 255), (102, 51, 255)]
    fill("train", {"cat": cat, "dog": [(255, 255, 255)]})
    fill("validation", {"cat": [(9, 9, 9)], "dog": [(8, 8, 8), (7, 7, 7)]})
    fill("test", {"cat": [(3, 3, 3)], "dog": [(2, 2, 2)]})
    done = cli("data", "show", "imagefolder", "--set", "root=root", "--out", "sheet.PNG")
    assert (done.code, done.err) == (0, "")
    said = lines(done.out)
    assert said.pop("digest")
    assert said == {
        "image": "3x2x3, uint8 from 0 to 255, 255 stands for 1",
        "classes": "2: cat, dog",
        "train": "4, 1 to 3 of a class",
        "validation": "3, 1 to 2 of a class",
        "test": "2, 1 of a class",
        "mean": "0.4000 0.4000 1.0000",  # 0.16 is the square; 0.28 the mean square of green
        "deviation": f"{0.14**0.5:.4f} {0.12**0.5:.4f} 0.0000 (training split, by channel)",
        "sheet": "sheet.PNG",
    }


def test_show_digits(cli, few_digits):
    done = cli("data", "show", "digits")
    assert (done.code, done.err) == (0, "")
    said = lines(done.out)
    assert said["image"] == "1x8x8, float32 from 0 to 1"
    assert said["digest"] == few_digits.digest != digits().digest
    assert said["sheet"] == "results/data/digits.png"
    assert png_size("results/data/digits.png")


EVENTS = """
import torch
from eibench.data import ImageData, Split
from eibench.plan.options import DataOptions
from eibench.plugins import add_dataset

class Flashes(DataOptions):
    \"\"\"A light goes on at the first frame, and off at the last.\"\"\"

    name = "flashes"
    events = True
    count: int = 2

def flashes(count, timesteps):
    frames = torch.zeros(4, timesteps, 2, 5, 5)
    frames[:, 0, 1, 2, 2] = count
    frames[:, -1, 0, 2, 2] = 1
    frames[3] = frames[3].roll(1, -1)
    split = Split(frames, torch.tensor([0, 1, 0, 1]))
    return ImageData(("left", "right"), split, split, split)

add_dataset(Flashes, flashes)
"""


def test_recordings(cli, project):
    """4 of the 4 x T x 25 values of a channel are not 0."""
    words = ["--plugin", project.write(EVENTS, "flashes.py"), "--timesteps", 8, "--set", "count=3"]
    done = cli("data", "show", "flashes", *words)
    assert done.code == 0
    assert done.err.splitlines() == [f"running the code of {Path.cwd()}/flashes.py"]
    said = lines(done.out)
    assert said["image"] == "8 frames of 2x5x5, float32 from 0 to 3"
    assert said["mean"] == f"{1 / 200:.4f} {3 / 200:.4f}"
    off, on = (1 / 200 - 1 / 200**2) ** 0.5, (9 / 200 - 9 / 200**2) ** 0.5
    assert said["deviation"] == f"{off:.4f} {on:.4f} (training split, by channel)"
    pixels = np.asarray(Image.open("results/data/flashes.png").convert("RGB")).astype(int)
    red, blue = pixels[..., 0] - pixels[..., 2] > 200, pixels[..., 2] - pixels[..., 0] > 60
    assert red.any() and blue.any()
    assert red.nonzero()[1].max() < blue.nonzero()[1].min()  # time goes to the right


def test_recordings_have_four_frames_unless_told(cli, project):
    done = cli("data", "show", "flashes", "--plugin", project.write(EVENTS, "flashes.py"))
    assert lines(done.out)["image"].startswith("4 frames of ")


def test_the_same_data_gives_the_same_picture(cli):
    cli("data", "show", "digits", "--out", "a.png")
    cli("data", "show", "digits", "--out", "b.png")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


# ------------------------------------------------------------------------------- verify


@EACH
def test_verify_what_is_whole(cli, name, made):
    done = cli("data", "verify", name, "--data-dir", "store")
    assert (done.code, done.out, done.err) == (0, f"{name}: complete\n", "")


@pytest.mark.parametrize("name", ["cifar10"])
def test_verify_names_each_damaged_file(cli, name, made):
    Path("store", VICTIM).write_bytes(b"")
    Path("store/cifar10/cifar-10-batches-py/test_batch").unlink()
    done = cli("data", "verify", name, "--data-dir", "store")
    assert (done.code, done.err) == (1, "")
    first, second, last = done.out.splitlines()
    assert first.startswith(f"store/{VICTIM}: damaged, its md5 is d41d8cd98f00b204e9800998ecf8427e")
    assert second == "store/cifar10/cifar-10-batches-py/test_batch: missing"
    assert (
        last
        == "cifar10: 2 files are missing or damaged; `eibench data fetch cifar10` fetches it again"
    )


def test_verify_what_is_not_fetched(cli):
    assert cli("data", "verify", "digits").out == "digits: complete\n"
    for split in ("train", "test"):
        fill(split, {name: [(i, i, i) for i in range(10)] for name in ("a", "b")})
    words = ["data", "verify", "imagefolder", "--set", "root=root"]
    assert cli(*words).out == "imagefolder: complete\n"
    Path("root/train/a/3.png").write_bytes(b"x")
    assert "root/train/a/3.png: not a readable image" in refused(cli(*words))


# -------------------------------------------------------------------------------- fetch


@pytest.mark.parametrize("name", ["mnist"])
def test_fetch_what_is_there(cli, name, made, monkeypatch):
    monkeypatch.setattr(tiny_files.KINDS[name], "mirrors", [])
    done = cli("data", "fetch", name, "--data-dir", "store")
    assert (done.code, done.err) == (0, "")
    assert done.out == "mnist: already present and verified: store/mnist\n"


@pytest.mark.parametrize("name", ["cifar10"])
def test_fetch_from_its_distributor(cli, name, made, monkeypatch):
    """A URL of a file stands for the network, up to what torchvision makes of the answer."""
    from torchvision.datasets import utils

    Path("served").mkdir()
    tiny_files.pack(name, made, "served", "", monkeypatch)
    archive = Path("served", CIFAR10.filename).read_bytes()
    monkeypatch.setattr(utils, "_get_redirect_url", lambda url, **_: url)
    monkeypatch.setattr(utils, "_urlretrieve", lambda _, to: Path(to).write_bytes(archive))
    done = cli("data", "fetch", name, "--data-dir", "store")
    assert (done.code, done.out) == (0, "cifar10: fetched and verified: store/cifar10\n")
    assert cli("data", "verify", name, "--data-dir", "store").code == 0


def test_fetch_without_a_network(cli, monkeypatch):
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    monkeypatch.setenv("no_proxy", "*")
    line = refused(cli("data", "fetch", "cifar10", "--data-dir", "store"))
    assert line.startswith("data set cifar10: store/cifar10: cannot be fetched: ")
    assert "Connection refused" in line
    assert not Path("store/cifar10").exists()


def test_nothing_to_fetch(cli, project):
    assert cli("data", "fetch", "digits").out == (
        "digits: nothing to fetch; it ships with a dependency of eibench\n"
    )
    assert cli("data", "fetch", "imagefolder").out == (
        "imagefolder: nothing to fetch; it is read from what you specify as root\n"
    )
    done = cli("data", "fetch", "flashes", "--plugin", project.write(EVENTS, "flashes.py"))
    assert done.out == ("flashes: nothing to fetch; it is loaded by the plugin flashes.py\n")


# ---------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("verb", ["fetch", "verify", "show"])
def test_an_unknown_name(cli, project, verb):
    line = refused(cli("data", verb, "cifar1"))
    assert line.startswith("unknown data set 'cifar1'; allowed: digits, imagefolder, mnist, ")
    assert line.endswith("; did you mean 'cifar10'?")
    assert project.files() == {}


@EACH
@pytest.mark.parametrize("verb", ["verify", "show"])
def test_an_absent_set(cli, project, name, verb):
    line = refused(cli("data", verb, name, "--data-dir", "store"))
    package = " or `apt-get install dataset-fashion-mnist`" * (name == "fashion_mnist")
    assert line == (
        f"data set {name}: store/{name}: no such folder; get it with `eibench data fetch {name}`"
        f"{package}, or name the folder that holds {name}/ with --data-dir or EIBENCH_DATA"
    )
    assert project.files() == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "sheet.jpg"], "--out sheet.jpg: must end in .png"),
        (["--out", "file/sheet.png"], "file/sheet.png: cannot be written: "),
        (["--set", "share=1"], "digits: share unknown key; allowed here: name"),
        (["--set", "share"], "--set share: must be KEY=VALUE"),
        (["--plugin", "nothing.py"], "nothing.py: "),
    ],
)
def test_bad_options_of_show(cli, project, words, message):
    project.write("mine", "file")
    before = project.files()
    assert refused(cli("data", "show", "digits", *words)).startswith(message)
    assert project.files() == before


def test_a_missing_and_a_wrong_option(cli):
    assert refused(cli("data", "show", "imagefolder")) == (
        "imagefolder: root is missing; --set gives options"
    )
    assert refused(cli("data", "verify", "mnist", "--set", "validation_share=2")) == (
        "mnist: validation_share must be below 1.0, not 2; --set gives options"
    )


def test_a_plugin_that_fails(cli, project):
    text = EVENTS.replace("torch.zeros(4, timesteps", "torch.zeros(4, -timesteps")
    done = cli("data", "show", "flashes", "--plugin", project.write(text, "flashes.py"))
    assert done.code == 2
    said, error = done.err.splitlines()
    assert said == f"running the code of {Path.cwd()}/flashes.py"
    assert error.startswith("error: flashes.py:15: RuntimeError: zeros: ")


def test_a_fresh_process_knows_what_can_be_fetched():
    """The files that say so are imported when they are asked for."""
    code = (
        "from eibench.execution.dataset_cache import is_fetched\n"
        "assert is_fetched('mnist') and is_fetched('shd') and not is_fetched('digits')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ----------------------------------------------------------------- in `run` and `probe`


@pytest.mark.parametrize("name", ["mnist", "tiny_imagenet"])
@pytest.mark.parametrize("verb", ["run", "probe"])
def test_a_run_on_a_fetched_set(cli, project, name, verb, made):
    path = project.suite(base={"data": name}, grid={})
    done = cli(verb, path, "--data-dir", "store")
    assert (done.code, done.err) == (0, "")
    assert "1 of 1 runs ok" in done.out


@pytest.mark.parametrize("name", ["mnist"])
def test_the_variable_names_the_folder(cli, project, name, made, monkeypatch):
    monkeypatch.setenv("EIBENCH_DATA", "store")
    assert cli("run", project.suite(base={"data": name}, grid={}), "--dry-run").code == 0


@EACH
def test_a_run_on_an_absent_set(cli, project, name):
    path = project.suite(base={"data": name}, grid={})
    before = project.files()
    line = refused(cli("run", path))
    folder = Path.cwd() / "datasets" / name
    assert line.startswith(f"data set {name}: {folder}: no such folder; get it with `eibench data ")
    assert project.files() == before


@pytest.mark.parametrize("data", ["mnist", {"name": "imagefolder", "root": "nowhere"}])
@pytest.mark.parametrize(
    ("verb", "more"), [("run", {}), ("probe", {}), ("search", {"search": SEARCH})]
)
def test_a_suite_without_its_data_may_be_skipped(cli, project, verb, more, data):
    path = project.suite(base={"data": data}, grid={}, **more)
    before = project.files()
    done = cli(verb, path, "--skip-absent")
    begun, line = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert begun.endswith("; importing torch")
    name = data if isinstance(data, str) else data["name"]
    assert re.match(rf"tiny(-probe)? is skipped: data set {name}: .*: no such folder; ", line)
    assert project.files() == before


@pytest.mark.parametrize("name", ["mnist"])
def test_damaged_data_are_not_skipped(cli, project, made):
    file = next(path for path in Path("store/mnist").rglob("*") if path.is_file())
    file.write_bytes(b"")
    path = project.suite(base={"data": "mnist"}, grid={})
    assert "damaged" in refused(cli("run", path, "--skip-absent", "--data-dir", "store"))


@pytest.mark.parametrize(
    ("verb", "more"), [("run", {}), ("probe", {}), ("search", {"search": SEARCH})]
)
def test_a_dry_run_on_an_absent_set(cli, project, verb, more):
    """Its shape and number are known: the steps that are timed are on random images."""
    path = project.suite(base={"data": "mnist"}, grid={}, **more)
    before = project.files()
    done = cli(verb, path, "--dry-run")
    assert (done.code, done.err) == (0, "")
    last = done.out.splitlines()[-1]
    assert last.startswith("about ")
    assert last.endswith("random images in place of mnist, which is not here")
    assert project.files() == before


@pytest.mark.parametrize("name", ["cifar10"])
def test_a_run_on_a_damaged_set(cli, project, name, made):
    """It is named, and nothing is trained or written."""
    path = project.suite(base={"data": name}, grid={})
    Path("store", VICTIM).write_bytes(b"half")
    before = project.files()
    line = refused(cli("run", path, "--data-dir", "store"))
    assert line.startswith(f"data set cifar10: store/{VICTIM}: damaged, its md5 is ")
    assert project.files() == before


def test_doctor_says_where_data_sets_are(cli, monkeypatch):
    tiny_files.make("mnist", "datasets", monkeypatch)
    line = f"ok   data sets in {Path.cwd()}/datasets: mnist (`eibench data fetch NAME`)"
    assert line in cli("doctor").out.splitlines()
