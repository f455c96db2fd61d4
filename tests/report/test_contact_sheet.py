"""Contact sheets: what is drawn where, and in which colour."""

import numpy as np
import pytest

from eibench.errors import UserError
from eibench.report.figures.contact_sheet import draw_sheet, save_sheet


def canvas(samples):
    (axes,) = draw_sheet("title", samples).axes
    return np.asarray(axes.images[0].get_array())


def test_rows_and_columns_and_what_is_between():
    """10x10 pictures, a gap of 8 % rounded to 1; a row with fewer ends in white."""
    ramp = np.linspace(0, 1, 3 * 1 * 10 * 10).reshape(3, 1, 10, 10)
    drawn = canvas({"a": ramp, "b": ramp[:1]})
    assert drawn.shape == (21, 32, 3)
    for j in range(3):
        assert np.allclose(drawn[:10, 11 * j : 11 * j + 10, 0], ramp[j, 0])
    assert np.allclose(drawn[11:, :10, 2], ramp[0, 0])
    assert (drawn[10] == 1).all() and (drawn[:, 10] == 1).all() and (drawn[11:, 10:] == 1).all()


def test_three_channels_are_colours():
    picture = np.random.default_rng(0).random((1, 3, 4, 5))
    assert np.allclose(canvas({"a": picture}), picture[0].transpose(1, 2, 0))


def test_events_are_red_and_blue_on_white():
    """OFF is channel 0; half of the row's most is half way to white; both at once are black."""
    frames = np.zeros((2, 2, 2, 2))
    frames[0, 1, 0, 0] = 4
    frames[1, 0, 0, 0] = 2
    frames[1, :, 1, 1] = 4
    drawn = canvas({"a": frames})
    assert drawn[0, 0].tolist() == [1, 0, 0]
    assert drawn[0, 1].tolist() == [1, 1, 1]
    assert drawn[0, 3].tolist() == [0.5, 0.5, 1]
    assert drawn[1, 4].tolist() == [0, 0, 0]


def test_a_recording_without_events_is_white_on_grey():
    drawn = canvas({"a": np.zeros((2, 2, 3, 3))})
    assert (drawn[:, [0, 1, 2, 4, 5, 6]] == 1).all()
    assert (drawn[:, 3] == 0.85).all()


def test_counts_beyond_one_are_scaled_and_dim_images_are_not():
    assert canvas({"a": np.full((1, 1, 2, 2), 7.0)}).max() == 1
    assert np.allclose(canvas({"a": np.full((1, 1, 2, 2), 0.25)}), 0.25)


def test_inputs_in_a_line_become_a_band():
    """700 channels of a spoken digit: 1 in 8 high."""
    assert canvas({"a": np.ones((1, 1, 1, 700))}).shape == (87, 700, 3)


def test_names_and_title():
    samples = {
        "short": np.ones((1, 1, 2, 2)),
        "a name that is much too long": np.ones((1, 1, 2, 2)),
    }
    (axes,) = draw_sheet("two $classes", samples).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["short", "a name that is much t..."]
    assert axes.get_title(loc="left") == "two $classes"


def test_a_path_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"sheet.png: cannot be written: "):
        save_sheet(draw_sheet("t", {"a": np.ones((1, 1, 2, 2))}), tmp_path / "file" / "sheet.png")
