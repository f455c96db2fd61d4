"""Damaged recordings of every format: the message names the file and the damage."""

import os
import warnings

import h5py
import numpy as np
import pytest
from event_files import recording, write_aedat4, write_bin, write_npy

from eibench.data import DataError
from eibench.data.frames import BINS, Events, to_frames
from eibench.data.recordings import read_recording

SENSOR = {"npy": (2, 128, 128), "bin": (2, 34, 34), "aedat4": (2, 128, 128), "h5": (1, 1, 700)}
FORMATS = pytest.mark.parametrize("form", SENSOR)


def write(path, form, found, row=0):
    """A recording whose columns are stored as they are, where the format can hold them."""
    if form == "npy":
        np.save(path, np.stack([found.x, found.y, found.p, found.t / 1000], 1).astype(float))
    elif form == "bin":
        write_bin(path, found)
    elif form == "aedat4":
        write_aedat4(path, found)
    else:
        with h5py.File(path, "w") as file:
            times = file.create_dataset("spikes/times", 1, h5py.vlen_dtype(np.float64))
            units = file.create_dataset("spikes/units", 1, h5py.vlen_dtype(np.float64))
            times[0], units[0] = found.t / 1e6, found.x


def small(form):
    return recording(3, SENSOR[form], n=40, end=8_000_000 if form != "bin" else 300_000)


def refusal(path, form):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError) as caught:
            read_recording(path, 0, SENSOR[form])
    text, message = f"{path}: not a readable recording (", str(caught.value)
    assert message.startswith(text) and len(message.splitlines()) == 1
    return message.removeprefix(text)


@FORMATS
def test_whole(form, tmp_path):
    path = tmp_path / f"a.{form}"
    write(path, form, small(form))
    found = read_recording(path, 0, SENSOR[form])
    assert all(column.dtype == np.int64 for column in found)
    assert np.array_equal(found.x, small(form).x)
    assert np.allclose(found.t, small(form).t, atol=1)
    if form != "h5":
        assert np.array_equal(found.y, small(form).y) and np.array_equal(found.p, small(form).p)


def changed(form, column, value):
    found = small(form)
    values = getattr(found, column).astype(float)
    values[7] = value
    return found._replace(**{column: values})


@pytest.mark.parametrize("form", ["npy", "h5"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_time_that_is_not_a_number(form, value, tmp_path):
    write(tmp_path / f"a.{form}", form, changed(form, "t", value))
    assert refusal(tmp_path / f"a.{form}", form) == "a time is not a number)"


@pytest.mark.parametrize("form", ["npy", "h5"])
@pytest.mark.parametrize("value", [1e19, 1e300, 2.0**63, -1e19, -5000.0])
def test_a_time_out_of_range(form, value, tmp_path):
    write(tmp_path / f"a.{form}", form, changed(form, "t", value))
    assert refusal(tmp_path / f"a.{form}", form).startswith("a time is not from 0 to 9e+15")


@pytest.mark.parametrize("value", [2**62, -1, -(2**60)])
def test_a_time_of_64_bits_out_of_range(value, tmp_path):
    found = small("aedat4")
    found.t[3] = value
    write_aedat4(tmp_path / "a.aedat4", found)
    assert refusal(tmp_path / "a.aedat4", "aedat4").startswith("a time is not from 0 to 9e+15")


@pytest.mark.parametrize("column", ["x", "y", "p"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_place_that_is_not_a_number(column, value, tmp_path):
    write(tmp_path / "a.npy", "npy", changed("npy", column, value))
    assert refusal(tmp_path / "a.npy", "npy").endswith(" is not a number)")


@pytest.mark.parametrize("column", ["x", "y"])
@pytest.mark.parametrize("value", [-1, 128, 65536 + 5, -(2.0**40)])
def test_a_place_outside_of_the_sensor(column, value, tmp_path):
    """Also where 16 bits would wrap it to one inside."""
    write(tmp_path / "a.npy", "npy", changed("npy", column, value))
    assert refusal(tmp_path / "a.npy", "npy").startswith(
        "an event lies outside the sensor of 128x128: "
    )


@pytest.mark.parametrize(("column", "value"), [("x", 3.5), ("y", 0.1), ("p", 0.5)])
def test_a_part_of_a_place(column, value, tmp_path):
    write(tmp_path / "a.npy", "npy", changed("npy", column, value))
    assert refusal(tmp_path / "a.npy", "npy").endswith(" is no whole number)")


@pytest.mark.parametrize("value", [2, -1, 7])
def test_a_polarity_that_there_is_not(value, tmp_path):
    write(tmp_path / "a.npy", "npy", changed("npy", "p", value))
    assert refusal(tmp_path / "a.npy", "npy") == f"a polarity is neither 0 nor 1: {value})"


@FORMATS
def test_no_events(form, tmp_path):
    path = tmp_path / f"a.{form}"
    none = Events(*(np.zeros(0, np.int64),) * 4)
    if form == "aedat4":
        path.write_bytes(b"#!AER-DAT4.0\r\n")
        assert refusal(path, form)
    else:
        write(path, form, none)
        assert refusal(path, form) == "it holds no events)"


@FORMATS
def test_a_file_that_never_answers(form, tmp_path):
    os.mkfifo(tmp_path / f"a.{form}")
    assert refusal(tmp_path / f"a.{form}", form) == "it is no regular file)"


def test_a_file_that_claims_to_be_enormous(tmp_path):
    path = tmp_path / "a.npy"
    write_npy(path, small("npy"))
    claim = path.read_bytes().replace(b"(40, 4), }" + b" " * 11, b"(4000000000000000, 4), }", 1)
    assert len(claim) > 40
    path.write_bytes(claim)
    refusal(path, "npy")


def test_columns_of_other_lengths(tmp_path):
    path = tmp_path / "a.h5"
    write(path, "h5", small("h5"))
    with h5py.File(path, "a") as file:
        file["spikes/units"][0] = np.arange(3.0)
    assert refusal(path, "h5") == "40 times for 3 units)"


def test_a_library_that_panics(tmp_path):
    """The reader of AEDAT is written in Rust, whose panics are no `Exception`."""
    path = tmp_path / "a.aedat4"
    write(path, "aedat4", small("aedat4"))
    content = bytearray(path.read_bytes())
    content[14:60] = b"\xff" * 46
    path.write_bytes(content)
    refusal(path, "aedat4")


def test_a_counter_that_begins_anew(tmp_path):
    """Row 240 says that the counter of an N-MNIST file began anew; many of them take no time."""
    path = tmp_path / "a.bin"
    events = np.array([[1, 2, 0, 0, 9], [0, 240, 0, 0, 0], [3, 4, 128, 0, 5]], np.uint8)
    path.write_bytes(events.tobytes())
    found = read_recording(path, 0, SENSOR["bin"])
    assert found.t.tolist() == [9, 8192 + 5]
    assert found.p.tolist() == [0, 1]
    path.write_bytes(events[:2].tobytes() + events[1].tobytes() * 400_000)
    assert len(read_recording(path, 0, SENSOR["bin"]).t) == 1


@pytest.mark.parametrize("by", BINS)
def test_the_order_of_events_does_not_matter(by):
    found = recording(5, n=100)
    order = np.random.default_rng(0).permutation(100)
    shuffled = Events(*(column[order] for column in found))
    frames = [to_frames(e, (2, 128, 128), (16, 16), 4, by) for e in (found, shuffled)]
    assert len(np.unique(found.t)) == 100
    assert np.array_equal(*frames)


def test_a_damaged_time_is_found_by_every_verb(cli, monkeypatch, tmp_path):
    from test_event_sets import install

    install("dvs_gesture", tmp_path / "datasets", monkeypatch)
    victim = sorted((tmp_path / "datasets").rglob("*.npy"))[3]
    rows = np.load(victim)
    rows[5, 3] = np.nan
    np.save(victim, rows)
    text = f"{victim}: not a readable recording (a time is not a number)"
    done = cli("data", "verify", "dvs_gesture")
    assert done.code == 1 and text in done.out
    for words in (["data", "show"], ["data", "show", "--timesteps", "2"]):
        done = cli(*words, "dvs_gesture")
        assert done.code == 2 and text in done.err
