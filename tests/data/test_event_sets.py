"""Event sets, generated in their real formats and read by the real readers: content, cache, and
the message for each kind of damage."""

import dataclasses
import functools
import hashlib
import http.server
import os
import shutil
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from event_files import (
    LOAD,
    MAKE,
    NAMES,
    SETS,
    pack,
    recording,
    write_aedat4,
    write_bin,
    write_h5,
    write_npy,
)
from tonic import datasets

from eibench.data import SOURCES, DataError, events, events_sources
from eibench.data.base import stratified
from eibench.data.events import Recordings
from eibench.data.frames import to_frames
from eibench.data.sources import acquire
from eibench.plan.options import DATASETS
from eibench.training.build import draw_splits

SHAPES = {
    "cifar10_dvs": (2, 48, 48),
    "dvs_gesture": (2, 48, 48),
    "nmnist": (2, 34, 34),
    "shd": (1, 1, 700),
}
CLASSES = {"cifar10_dvs": 10, "dvs_gesture": 11, "nmnist": 10, "shd": 20}
FIRST = {
    "cifar10_dvs": "airplane/cifar10_airplane_0.aedat4",
    "dvs_gesture": "ibmGestureTrain/user01_fluorescent_led/0.npy",
    "nmnist": "Train/0/00001.bin",
    "shd": "shd_train.h5",
}
"""The file of the first recording."""


@pytest.fixture
def data(tmp_path):
    """The data folder of a test."""
    return tmp_path / "datasets"


@pytest.fixture(params=MAKE)
def name(request, data, monkeypatch):
    """Each set in turn, made small, and said to be complete that way."""
    install(request.param, data, monkeypatch)
    return request.param


def install(name, data, monkeypatch, **options):
    small = dataclasses.replace(SETS[name], parts=MAKE[name](base(name, data), **options))
    monkeypatch.setattr(events, name.upper(), small)
    monkeypatch.setitem(SOURCES, name, events_sources.source(small))
    return small


def base(name, data):
    return data / name / SETS[name].reader


def load(name, timesteps=4, **changes):
    size = {} if name == "shd" else {"size": SHAPES[name][-1]}
    options = {**size, "by": "time", "validation_share": 0.34, **changes}
    return LOAD[name](DATASETS[name](**options), timesteps=timesteps)


def refusal(name):
    with pytest.raises(DataError) as caught:
        load(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ------------------------------------------------------------------------------ reading


def test_form(name):
    found = load(name)
    assert found.image == SHAPES[name]
    assert len(found.classes) == len(set(found.classes)) == CLASSES[name]
    for split in (found.train, found.validation, found.test):
        assert split.images.dtype == torch.uint8 and split.labels.dtype == torch.int64
        assert split.images.shape[1:] == (4, *SHAPES[name])
        assert split.unit == 1.0
        assert set(split.labels.tolist()) == set(range(CLASSES[name]))


def test_the_shape_is_known_without_files(name):
    found = load(name)
    assert DATASETS[name]().shape() == (found.image, len(found.classes))


WRITTEN = {
    "cifar10_dvs": (0, SETS["cifar10_dvs"].sensor, 1_000_000),
    "dvs_gesture": (100, SETS["dvs_gesture"].sensor, 1_000_000),
    "nmnist": (1, SETS["nmnist"].sensor, 300_000),
    "shd": (0, SETS["shd"].sensor, 1_000_000),
}
"""Seed, sensor and end of the first recording that `event_files` writes."""


def test_the_first_recording_is_the_one_that_was_written(name, data):
    """Read from its file, and binned, it is the same as binned without a file."""
    seed, sensor, end = WRITTEN[name]
    expected = recording(seed, sensor, end=end)
    part = "whole" if name == "cifar10_dvs" else "train"
    found = Recordings(getattr(events, name.upper()), part, data / name)
    assert (found.paths[0], found.labels[0]) == (base(name, data) / FIRST[name], 0)
    read = found.read(0)
    assert np.array_equal(read.x, expected.x) and np.array_equal(read.y, expected.y)
    coarse = {"dvs_gesture": 1000, "shd": 1000}.get(name, 1)  # milliseconds; 16-bit seconds
    assert np.abs(read.t - expected.t).max() <= coarse
    assert np.array_equal(read.p, expected.p if sensor[0] == 2 else np.zeros_like(expected.p))


def test_frames_are_those_of_the_files(data, monkeypatch):
    """The frames of a whole data set, recording by recording, in the order of its splits."""
    install("nmnist", data, monkeypatch)
    found = load("nmnist", timesteps=3, size=17, by="count")
    expected = [
        to_frames(
            recording(30 + i + 1, (2, 34, 34), end=300_000), (2, 34, 34), (17, 17), 3, "count"
        )
        for i in range(30)
    ]
    assert np.array_equal(found.test.images.numpy(), np.stack(expected))
    assert found.test.labels.tolist() == sorted([*range(10)] * 3)


def test_every_recording_is_in_one_split(name):
    found = load(name)
    seen = [
        {image.numpy().tobytes() for image in split.images}
        for split in (found.train, found.validation, found.test)
    ]
    total = sum(getattr(events, name.upper()).parts.values())
    assert sum(map(len, seen)) == len(set.union(*seen)) == total


def test_the_order_is_that_of_names_not_of_the_file_system(name, data, monkeypatch):
    before = load(name).digest
    walk = os.walk

    def backwards(top):
        for path, folders, files in walk(top):
            yield path, folders, files[::-1]

    monkeypatch.setattr(os, "walk", backwards)
    shutil.rmtree(data / "cache")
    assert load(name).digest == before


def test_classes_of_names(data, monkeypatch):
    install("shd", data, monkeypatch)
    install("dvs_gesture", data, monkeypatch)
    install("cifar10_dvs", data, monkeypatch)
    assert load("shd").classes[:2] == ("en0", "en1")
    assert load("dvs_gesture").classes[0] == "Hand clapping"
    assert load("cifar10_dvs").classes == tuple(NAMES)


# ------------------------------------------------------------------- the split of CIFAR10-DVS


def test_the_split_of_cifar10_dvs_is_pinned():
    """On the names of all its files, of which no content is needed: results are comparable only
    where these digits, which docs/data.md has too, are the same."""
    names = sorted(f"{kind}/cifar10_{kind}_{i}.aedat4" for kind in NAMES for i in range(1000))
    labels = np.array([NAMES.index(name.partition("/")[0]) for name in names])
    kept, test = stratified(labels, events.TEST_SHARE)
    train, validation = (kept[index] for index in stratified(labels[kept], 0.1))
    assert [len(part) for part in (train, validation, test)] == [8100, 900, 1000]
    assert Counter(labels[test].tolist()) == dict.fromkeys(range(10), 100)
    of = {i: split for split, part in (("train", kept), ("test", test)) for i in part}
    text = "".join(f"{name} {of[i]}\n" for i, name in enumerate(names))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert digest == "225d21835bdf97ac"
    page = Path(__file__).parents[2] / "docs" / "data.md"
    assert digest in page.read_text()


def test_that_split_is_the_one_of_the_loader(data, monkeypatch):
    install("cifar10_dvs", data, monkeypatch)
    found = load("cifar10_dvs", validation_share=0.2)
    kept, test = stratified(np.repeat(np.arange(10), 10), events.TEST_SHARE)
    train, validation = (kept[index] for index in stratified(np.repeat(np.arange(10), 9), 0.2))
    files = sorted(base("cifar10_dvs", data).rglob("*.aedat4"))
    for split, index in ((found.train, train), (found.validation, validation), (found.test, test)):
        seeds = [100 * NAMES.index(files[i].parent.name) + int(files[i].stem[-1]) for i in index]
        frames = [to_frames(recording(seed), (2, 128, 128), (48, 48), 4, "time") for seed in seeds]
        assert np.array_equal(split.images.numpy(), np.stack(frames))


def test_splits_by_seed_keep_an_official_test_split(name):
    """CIFAR10-DVS has none, so all three are drawn. The frames are those of the fixed splits."""
    whole, options = load(name), DATASETS[name](splits="by_seed")
    one, other = (draw_splits(whole, options, seed) for seed in (0, 1))
    assert len({data.digest for data in (whole, one, other)}) == 3
    assert (one.test is whole.test) == (name != "cifar10_dvs")
    frames = [torch.cat([s.images for s in d.splits.values()]).sum(0) for d in (whole, one, other)]
    assert torch.equal(frames[0], frames[1]) and torch.equal(frames[0], frames[2])


# --------------------------------------------------------------------------------- the cache


def cache_files(data):
    return sorted((data / "cache").glob("*"))


def counted(monkeypatch):
    """A list that grows by one for each recording that is read."""
    read, calls = Recordings.read, []
    monkeypatch.setattr(Recordings, "read", lambda *args: calls.append(1) or read(*args))
    return calls


def test_recordings_are_binned_once(name, data, monkeypatch, capsys):
    first = load(name)
    assert "binning" in capsys.readouterr().err
    calls = counted(monkeypatch)
    assert load(name).digest == first.digest
    assert not calls and not capsys.readouterr().err
    assert {path.suffix for path in cache_files(data)} == {".npy"}


def test_another_share_for_validation_needs_no_binning(data, monkeypatch):
    install("nmnist", data, monkeypatch)
    load("nmnist")
    calls = counted(monkeypatch)
    load("nmnist", validation_share=0.5)
    assert not calls


@pytest.mark.parametrize("change", [{"timesteps": 5}, {"by": "count"}, {"size": 20}])
def test_other_options_are_other_frames(data, monkeypatch, change):
    install("nmnist", data, monkeypatch)
    before = load("nmnist")
    after = load("nmnist", **change)
    assert after.digest != before.digest
    assert load("nmnist").digest == before.digest


def test_an_edited_file_is_read_again(data, monkeypatch):
    """Even one of the same size, by its time."""
    install("nmnist", data, monkeypatch)
    before = load("nmnist")
    path = base("nmnist", data) / "Test/0/00031.bin"
    write_bin(path, recording(999, (2, 34, 34), end=300_000))
    os.utime(path, ns=(0, 0))
    after = load("nmnist")
    assert not torch.equal(after.test.images[0], before.test.images[0])
    assert torch.equal(after.test.images[1:], before.test.images[1:])


def test_the_cache_is_safe_to_delete_and_to_damage(data, monkeypatch):
    install("nmnist", data, monkeypatch)
    before = load("nmnist").digest
    first, second = cache_files(data)
    first.write_bytes(first.read_bytes()[:-10])
    second.unlink()
    assert load("nmnist").digest == before
    first.write_bytes(b"")
    np.save(second, np.array([{}]), allow_pickle=True)  # code in a file is never run
    assert load("nmnist").digest == before


def test_a_folder_that_cannot_be_written_costs_time_alone(data, monkeypatch):
    install("nmnist", data, monkeypatch)
    (data / "cache").write_text("a file where the folder should be")
    assert load("nmnist").digest == load("nmnist").digest


# ------------------------------------------------------------------------------- absence


@pytest.mark.parametrize("name", MAKE)
def test_an_absent_set_says_how_to_get_it(name, data):
    expected = f"{data / name}: no such folder; get it with `eibench data fetch {name}`"
    assert refusal(name).startswith(expected)


def test_without_a_test_part(data, monkeypatch):
    install("shd", data, monkeypatch)
    (base("shd", data) / "shd_test.h5").unlink()
    assert "shd_test.h5" in refusal("shd")
    (problem,) = SOURCES["shd"].verify(data / "shd")
    assert problem.startswith(f"{base('shd', data)}: cannot be read as shd: ")


def test_an_empty_folder(data, monkeypatch):
    install("nmnist", data, monkeypatch)
    shutil.rmtree(base("nmnist", data))
    assert refusal("nmnist").startswith(f"{base('nmnist', data)}: 0 recordings of train instead of")


def test_missing_recordings_are_counted_and_never_left_out(data, monkeypatch):
    install("nmnist", data, monkeypatch)
    (base("nmnist", data) / "Test/3/00040.bin").unlink()
    assert refusal("nmnist") == (
        f"{base('nmnist', data)}: 29 recordings of test instead of 30; `eibench data verify nmnist`"
        " says which, `eibench data fetch nmnist` gets them"
    )


@pytest.mark.parametrize("module", ["tonic", "aedat"])
def test_without_tonic_it_says_what_to_install(data, monkeypatch, module):
    (data / "nmnist").mkdir(parents=True)
    monkeypatch.setitem(sys.modules, module, None)
    expected = f'event data need {module}: pip install "eibench[events]"'
    assert refusal("nmnist") == expected
    with pytest.raises(DataError, match="pip install"):
        acquire("nmnist", SOURCES["nmnist"])


def test_the_counts_are_those_that_are_published():
    assert {name: sum(e.parts.values()) for name, e in SETS.items()} == {
        "cifar10_dvs": 10000,
        "dvs_gesture": 1341,
        "nmnist": 70000,
        "shd": 10420,
    }


# -------------------------------------------------------------------------------- damage


def truncated(path):
    path.write_bytes(path.read_bytes()[:-3])


def halved(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 1])


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("not a recording")


@pytest.mark.parametrize("damage", [truncated, halved, empty, text])
def test_a_damaged_file_is_named(name, data, damage):
    path = base(name, data) / FIRST[name]
    load(name)
    damage(path)
    message = refusal(name)
    where = path.parent if name == "shd" else path
    assert message.startswith(f"{where}: ")
    assert message in SOURCES[name].verify(data / name)


WRITE = {
    "cifar10_dvs": write_aedat4,
    "dvs_gesture": write_npy,
    "nmnist": write_bin,
    "shd": lambda path, found: write_h5(path, [found] * 60, list(range(20)) * 3),
}


def test_events_outside_the_sensor(name, data):
    height, width = SETS[name].sensor[1:]
    far = recording(1, (2, height, width + 40))
    WRITE[name](base(name, data) / FIRST[name], far)
    expected = f"not a readable recording (an event lies outside the sensor of {width}x{height}: "
    assert refusal(name).startswith(f"{base(name, data) / FIRST[name]}: {expected}")


def test_a_recording_without_events(name, data):
    none = recording(1)._replace(**dict.fromkeys("xytp", np.zeros(0, np.int64)))
    WRITE[name](base(name, data) / FIRST[name], none)
    assert refusal(name).startswith(f"{base(name, data) / FIRST[name]}: not a readable recording")


def test_a_class_that_does_not_exist(data, monkeypatch):
    install("dvs_gesture", data, monkeypatch)
    path = base("dvs_gesture", data) / FIRST["dvs_gesture"]
    path.rename(path.with_name("11.npy"))
    expected = f"{path.with_name('11.npy')}: is of class 11, but they go from 0 to 10"
    assert refusal("dvs_gesture") == expected


def test_a_file_that_would_run_code_is_refused(data, monkeypatch):
    install("dvs_gesture", data, monkeypatch)
    path = base("dvs_gesture", data) / FIRST["dvs_gesture"]
    np.save(path, np.array([{}]), allow_pickle=True)
    assert refusal("dvs_gesture").startswith(f"{path}: not a readable recording (Object arrays")


# ---------------------------------------------------------------------------- fetch, verify


def published(name, data, monkeypatch):
    """Pack the set beside its files; tonic takes the archives for the published ones."""
    for file, md5 in pack(name, data).items():
        cls = getattr(datasets, SETS[name].reader)
        part = "" if name == "cifar10_dvs" else "train_" if "rain" in file else "test_"
        monkeypatch.setattr(cls, f"{part}md5" if part else "file_md5", md5)


def without_archives(folder):
    for path in [*folder.rglob("*.zip"), *folder.rglob("*.tar.gz")]:
        path.unlink()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Tests do not print."""


@pytest.fixture
def served(name, data, tmp_path, monkeypatch):
    """The set on a server of this process alone; the folder that is served."""
    published(name, data, monkeypatch)
    folder = base(name, data).rename(tmp_path / "served")
    (data / name).rmdir()
    monkeypatch.setenv("no_proxy", "*")
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/"
        cls = getattr(datasets, SETS[name].reader)
        if name == "shd":
            monkeypatch.setattr(cls, "base_url", address)
        elif name == "cifar10_dvs":
            monkeypatch.setattr(cls, "url", address + cls.filename)
        else:
            for part in ("train", "test"):
                url = address + getattr(cls, f"{part}_filename")
                monkeypatch.setattr(cls, f"{part}_url", url)
        yield folder
        server.shutdown()
        thread.join()


def test_fetch_brings_what_load_reads(name, data, served, capsys):
    """Over a real connection: downloaded, checked, unpacked, verified, then put in its place."""
    assert acquire(name, SOURCES[name])
    assert not capsys.readouterr().out
    found = load(name)
    assert len(found.test) and not list(data.glob(".*"))
    assert not acquire(name, SOURCES[name])
    kept = base(name, data) / FIRST[name]
    assert kept.is_file() and kept.read_bytes() == (served / FIRST[name]).read_bytes()


def test_what_comes_damaged_is_not_kept(name, data, served):
    for path in served.iterdir():
        if path.suffix in (".zip", ".gz"):
            path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError, match="cannot be fetched: File not found or corrupted"):
        acquire(name, SOURCES[name])
    assert refusal(name).startswith(f"{data / name}: no such folder")


def test_a_download_that_fails_is_one_message(name, data, monkeypatch):
    def unreachable(*args, **options):
        raise OSError("no route to host")

    shutil.rmtree(data)
    monkeypatch.setattr("tonic.download_utils._get_redirect_url", unreachable)
    with pytest.raises(DataError, match=f"/{name}: cannot be fetched: no route to host$"):
        acquire(name, SOURCES[name])


def test_a_whole_set_has_no_problems(name, data, monkeypatch):
    assert SOURCES[name].verify(data / name) == []
    published(name, data, monkeypatch)
    assert SOURCES[name].verify(data / name) == []


def test_verify_names_what_is_missing_and_truncated(name, data, monkeypatch):
    published(name, data, monkeypatch)
    missing = base(name, data) / FIRST[name]
    short = sorted(missing.parent.glob(f"*{missing.suffix}"))[-1]
    short = base(name, data) / "shd_test.h5" if name == "shd" else short
    truncated(short)
    missing.unlink()
    problems = SOURCES[name].verify(data / name)
    assert any(p.startswith(f"{missing}: is missing") for p in problems)
    assert any(p.startswith(f"{short}: has {short.stat().st_size} bytes") for p in problems)


def test_verify_names_a_damaged_archive(name, data, monkeypatch):
    published(name, data, monkeypatch)
    archives = [p for p in base(name, data).iterdir() if p.suffix in (".zip", ".gz")]
    outer = next(p for p in archives if p.name[0] == "C" or name != "cifar10_dvs")
    truncated(outer)
    (problem,) = SOURCES[name].verify(data / name)
    assert problem.startswith(f"{outer}: its MD5 is not the published ")


def test_without_archives_missing_recordings_are_counted(data, monkeypatch):
    install("cifar10_dvs", data, monkeypatch)
    published("cifar10_dvs", data, monkeypatch)
    without_archives(data)
    (base("cifar10_dvs", data) / FIRST["cifar10_dvs"]).unlink()
    (problem,) = SOURCES["cifar10_dvs"].verify(data / "cifar10_dvs")
    assert "99 recordings of whole instead of 100" in problem
