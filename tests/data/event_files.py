"""Tiny event sets in the formats and layouts in which tonic unpacks the real ones."""

from __future__ import annotations

import hashlib
import struct
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np

from eibench.data import events as loaders
from eibench.data.events import CIFAR10_DVS, DVS_GESTURE, NMNIST, SHD
from eibench.data.frames import Events

SETS = {e.name: e for e in (CIFAR10_DVS, DVS_GESTURE, NMNIST, SHD)}
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def recording(seed, sensor=(2, 128, 128), n=300, end=1_000_000):
    """Random events in order of time, from 0 to `end` microseconds."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, end, n))
    t[0], t[-1] = 0, end
    return Events(
        rng.integers(0, sensor[2], n), rng.integers(0, sensor[1], n), t, rng.integers(0, 2, n)
    )


# ------------------------------------------------------------------- AEDAT 4, by its description

INFO = (
    '<dv version="2.0"><node name="outInfo" path="/outInfo/"><node name="0" path="/outInfo/0/">'
    '<attr key="compression" type="string">NONE</attr>'
    '<attr key="originalModuleName" type="string">capture</attr>'
    '<attr key="originalOutputName" type="string">events</attr>'
    '<attr key="typeDescription" type="string">Polarity events.</attr>'
    '<attr key="typeIdentifier" type="string">EVTS</attr>'
    '<node name="info" path="/outInfo/0/info/"><attr key="sizeX" type="int">128</attr>'
    '<attr key="sizeY" type="int">128</attr><attr key="source" type="string">camera</attr></node>'
    "</node></node></dv>"
)
EVENT = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1"), ("pad", "V3")])


def flatbuffer(identifier, table, vtable, rest):
    """A size-prefixed flatbuffer of one table, whose vtable begins at byte 8."""
    at = 8 + len(vtable) + -len(vtable) % 8
    table = struct.pack("<i", at - 8) + table
    body = struct.pack("<I", at) + identifier + vtable.ljust(at - 8, b"\0") + table + rest
    return struct.pack("<I", len(body)) + body


def aedat4_header():
    """No compression; no table of packets; the description of stream 0."""
    text = INFO.encode()
    vtable = struct.pack("<5H", 10, 24, 0, 8, 16)
    table = struct.pack("<4xqI4x", -1, 8)
    return flatbuffer(b"IOHE", table, vtable, struct.pack("<I", len(text)) + text + b"\0")


def aedat4_packet(events):
    packed = np.zeros(len(events.t), EVENT)
    for name, column in events._asdict().items():
        packed[name] = column
    vector = struct.pack("<4xI", len(packed)) + packed.tobytes()
    data = flatbuffer(b"EVTS", struct.pack("<I", 8), struct.pack("<3H", 6, 8, 4), vector)
    return struct.pack("<ii", 0, len(data)) + data


def write_aedat4(path, events, packets=2):
    parts = [Events(*p) for p in zip(*(np.array_split(c, packets) for c in events), strict=True)]
    content = b"#!AER-DAT4.0\r\n" + aedat4_header() + b"".join(map(aedat4_packet, parts))
    path.write_bytes(content)


# --------------------------------------------------------------------------------- the others


def write_bin(path, events):
    """N-MNIST: five bytes for an event: x, y, polarity and 23 bits of time."""
    word = (events.p << 23) | events.t
    columns = [events.x, events.y, word >> 16, (word >> 8) & 255, word & 255]
    path.write_bytes(np.stack(columns, 1).astype(np.uint8).tobytes())


def write_npy(path, events):
    """DVS-Gesture as tonic publishes it: columns x, y, polarity, time in milliseconds."""
    np.save(path, np.stack([events.x, events.y, events.p, events.t // 1000], 1).astype(float))


def write_h5(path, recordings, labels):
    """SHD: seconds and channels of each recording, labels, names."""
    names = [f"{language}{digit}" for language in ("en", "de") for digit in range(10)]
    with h5py.File(path, "w") as file:
        times = file.create_dataset("spikes/times", len(labels), h5py.vlen_dtype(np.float16))
        units = file.create_dataset("spikes/units", len(labels), h5py.vlen_dtype(np.uint16))
        for i, events in enumerate(recordings):
            times[i], units[i] = events.t / 1e6, events.x
        file["labels"] = np.array(labels, np.uint16)
        file["extra/keys"] = np.array(names, "S")
        file["extra/speaker"] = np.zeros(len(labels), np.uint16)


# ------------------------------------------------------------------------------- whole sets


def make_cifar10_dvs(base, each=10):
    for c, name in enumerate(NAMES):
        (base / name).mkdir(parents=True)
        for i in range(each):
            write_aedat4(base / name / f"cifar10_{name}_{i}.aedat4", recording(100 * c + i))
    return {"whole": 10 * each}


def make_dvs_gesture(base, people=4):
    for part, first in (("Train", 1), ("Test", 24)):
        for user in range(first, first + people):
            folder = base / f"ibmGesture{part}" / f"user{user:02}_fluorescent_led"
            folder.mkdir(parents=True)
            for label in range(11):
                write_npy(folder / f"{label}.npy", recording(100 * user + label))
    return {"train": 11 * people, "test": 11 * people}


def make_nmnist(base, each=3):
    number = 0
    for part in ("Train", "Test"):
        for label in range(10):
            (base / part / str(label)).mkdir(parents=True)
            for _ in range(each):
                number += 1
                events = recording(number, (2, 34, 34), end=300_000)
                write_bin(base / part / str(label) / f"{number:05}.bin", events)
    return {"train": 10 * each, "test": 10 * each}


def make_shd(base, each=3):
    base.mkdir(parents=True)
    labels = list(range(20)) * each
    for p, part in enumerate(("train", "test")):
        found = [recording(1000 * p + i, (1, 1, 700)) for i in range(len(labels))]
        write_h5(base / f"shd_{part}.h5", found, labels)
    return {"train": len(labels), "test": len(labels)}


MAKE = {
    "cifar10_dvs": make_cifar10_dvs,
    "dvs_gesture": make_dvs_gesture,
    "nmnist": make_nmnist,
    "shd": make_shd,
}


def make(name, folder):
    """The set `name` under `folder` / NAME, as fetched; recordings of each part."""
    return MAKE[name](Path(folder) / name / SETS[name].reader)


def pack(name, folder):
    """The archives beside the files of `make`; file name and MD5 of those that are published."""
    base = Path(folder) / name / SETS[name].reader
    if name == "cifar10_dvs":
        for kind in NAMES:
            zipped(base / f"{kind}.zip", sorted(base.glob(f"{kind}/*")), base)
        archives = [zipped(base / "CIFAR10DVS.zip", sorted(base.glob("*.zip")), base)]
    elif name == "nmnist":
        archives = [
            zipped(base / f"{part.lower()}.zip", sorted(base.glob(f"{part}/*/*")), base)
            for part in ("Train", "Test")
        ]
    elif name == "shd":
        archives = [zipped(f.with_name(f.name + ".zip"), [f], base) for f in base.glob("*.h5")]
    else:
        archives = [tarred(base / f"ibmGesture{part}") for part in ("Train", "Test")]
    return {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in archives}


def zipped(path, members, base):
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.write(member, member.relative_to(base))
    return path


def tarred(folder):
    path = folder.with_name(folder.name + ".tar.gz")
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, folder.name)
    return path


LOAD = {name: getattr(loaders, name) for name in SETS}
