"""Frames of events against a plain loop and against tonic, and edge cases with few events."""

import numpy as np
import pytest
from event_files import recording
from hypothesis import given
from hypothesis import strategies as st
from tonic.functional import to_frame_numpy

from eibench.data.frames import Events, to_frames


def loop(events, sensor, size, timesteps, by):
    """The definition, one event at a time."""
    frames = np.zeros((timesteps, sensor[0], *size), int)
    times = [int(t) for t in events.t]
    order = sorted(range(len(times)), key=lambda i: times[i])
    for rank, i in enumerate(order):
        if by == "count":
            step = rank * timesteps // len(times)
        elif max(times) == min(times):
            step = 0
        elif times[i] == max(times):
            step = timesteps - 1
        else:
            step = (times[i] - min(times)) * timesteps // (max(times) - min(times))
        row = int(events.y[i]) * size[0] // sensor[1]
        column = int(events.x[i]) * size[1] // sensor[2]
        frames[step, int(events.p[i]), row, column] += 1
    return np.minimum(frames, 255)


def columns(x=(), y=(), t=(), p=()):
    return Events(*(np.array(column, np.int64) for column in (x, y, t, p)))


@pytest.mark.parametrize("by", ["time", "count"])
@pytest.mark.parametrize("timesteps", [1, 4, 7])
@pytest.mark.parametrize("size", [(128, 128), (48, 48), (5, 31), (1, 1)])
def test_against_a_loop(by, timesteps, size):
    events = recording(3, n=500)
    frames = to_frames(events, (2, 128, 128), size, timesteps, by)
    assert (frames.dtype, frames.shape) == (np.uint8, (timesteps, 2, *size))
    assert np.array_equal(frames, loop(events, (2, 128, 128), size, timesteps, by))


@st.composite
def few_events(draw):
    n = draw(st.integers(0, 12))
    column = lambda most: draw(st.lists(st.integers(0, most), min_size=n, max_size=n))  # noqa: E731
    return columns(column(6), column(4), column(9), column(1))


@given(few_events(), st.integers(1, 15), st.sampled_from(["time", "count"]))
def test_few_events_in_any_order_against_a_loop(events, timesteps, by):
    """No events, one, all at one time, more frames than events: all of them occur here."""
    frames = to_frames(events, (2, 5, 7), (3, 4), timesteps, by)
    assert np.array_equal(frames, loop(events, (2, 5, 7), (3, 4), timesteps, by))
    assert frames.sum() == len(events.t)


@pytest.mark.parametrize("by", ["time", "count"])
def test_no_events_are_black_frames(by):
    assert not to_frames(columns(), (2, 4, 4), (4, 4), 3, by).any()


@pytest.mark.parametrize("by", ["time", "count"])
def test_one_event_is_in_the_first_frame(by):
    frames = to_frames(columns([1], [2], [7], [1]), (2, 4, 4), (4, 4), 3, by)
    assert np.argwhere(frames).tolist() == [[0, 1, 2, 1]]


def test_the_last_event_is_in_the_last_frame():
    """Spans of 0 to 5 and 5 to 10: an event at 5 is in the second, as is the one at 10."""
    events = columns([0] * 5, [0] * 5, [0, 4, 5, 9, 10], [0] * 5)
    assert to_frames(events, (2, 1, 1), (1, 1), 2, "time")[:, 0, 0, 0].tolist() == [2, 3]


def test_events_at_one_time():
    events = columns([0] * 6, [0] * 6, [3] * 6, [0] * 6)
    assert to_frames(events, (2, 1, 1), (1, 1), 3, "time")[:, 0, 0, 0].tolist() == [6, 0, 0]
    assert to_frames(events, (2, 1, 1), (1, 1), 3, "count")[:, 0, 0, 0].tolist() == [2, 2, 2]


def test_fewer_events_than_frames():
    events = columns([0, 0], [0, 0], [0, 8], [0, 0])
    assert to_frames(events, (2, 1, 1), (1, 1), 4, "count")[:, 0, 0, 0].tolist() == [1, 0, 1, 0]


def test_counts_end_at_255():
    events = columns([0] * 300, [0] * 300, [0] * 300, [1] * 300)
    assert to_frames(events, (2, 1, 1), (1, 1), 1, "time")[0, :, 0, 0].tolist() == [0, 255]


def test_scaling_down_puts_the_last_pixel_into_the_last():
    events = columns([127, 0], [0, 127], [0, 1], [1, 1])
    frames = to_frames(events, (2, 128, 128), (48, 48), 1, "time")
    assert np.argwhere(frames[0, 1]).tolist() == [[0, 47], [47, 0]]


@pytest.mark.parametrize("x", [-1, 7])
def test_an_event_outside_the_sensor_is_refused(x):
    with pytest.raises(ValueError, match="outside the sensor of 7x5"):
        to_frames(columns([x], [0], [0], [0]), (2, 5, 7), (5, 7), 1, "time")


def structured(events):
    out = np.zeros(len(events.t), [("x", int), ("y", int), ("t", int), ("p", int)])
    for name, column in events._asdict().items():
        out[name] = column
    return out


@pytest.mark.parametrize("timesteps", [1, 4, 10])
def test_agrees_with_tonic_by_time(timesteps):
    """tonic leaves events at the very last time out; the span is a multiple of T here."""
    events = recording(5, n=800, end=1000)
    ours = to_frames(events, (2, 128, 128), (128, 128), timesteps, "time").astype(int)
    theirs = to_frame_numpy(structured(events), (128, 128, 2), n_time_bins=timesteps)
    last = Events(*(column[events.t == 1000] for column in events))
    np.subtract.at(ours[-1], (last.p, last.y, last.x), 1)
    assert len(last.t) and np.array_equal(ours, theirs)


@pytest.mark.parametrize("timesteps", [1, 4, 10])
def test_agrees_with_tonic_by_count(timesteps):
    """Where T divides the number of events; tonic drops the rest."""
    events = recording(6, n=800)
    ours = to_frames(events, (2, 128, 128), (128, 128), timesteps, "count")
    theirs = to_frame_numpy(structured(events), (128, 128, 2), n_event_bins=timesteps)
    assert np.array_equal(ours, theirs)
