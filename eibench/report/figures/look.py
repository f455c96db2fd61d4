"""Look of figures: eibench's style file, one of the user's over it, size, and title or none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl

from eibench.errors import UserError, did_you_mean
from eibench.files import read_text

FILE = Path(__file__).with_name("eibench.mplstyle")
ALWAYS: Any = {"text.parse_math": False, "text.usetex": False, "backend": "agg"}
"""Settings that no style changes: names from suites are text and not formulas."""
LARGEST = 2**20
"""Bytes of a style file."""


@dataclass(frozen=True)
class Look:
    """Style, size and title of figures, as a user wants them."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of matplotlib over those of eibench."""
    size: tuple[float, float] | None = None
    """Width and height in inches; None for what the content needs."""
    title: bool = True
    """False: neither a title above nor notes below, for which a paper has its caption, and methods
    by the names of a paper."""


PLAIN = Look()
_look: ContextVar[Look] = ContextVar("look", default=PLAIN)


def current_look() -> Look:
    """Return the look of the figures that are being drawn."""
    return _look.get()


@contextmanager
def use_look(look: Look) -> Iterator[None]:
    """Draw all figures with this look."""
    token = _look.set(look)
    try:
        yield
    finally:
        _look.reset(token)


@contextmanager
def style() -> Iterator[None]:
    """Draw with matplotlib's defaults and the look; the user's settings are back afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        settings: Any = {**OWN, **current_look().settings, **ALWAYS}
        mpl.rcParams.update(settings)
        yield


def find_style(name: str) -> dict[str, Any]:
    """Return the settings of a style file, or of matplotlib's style of this name.

    Raises:
        UserError: there is neither, or the file has a line that matplotlib does not understand.
    """
    if Path(name).is_file():
        return read_style(Path(name))
    from matplotlib.style import library

    if name not in library:
        hint = did_you_mean(name, library)
        raise UserError(f"--style {name}: neither a file nor a style of matplotlib{hint}")
    known: Any = library[name]
    return dict(known)


def read_style(path: Path) -> dict[str, Any]:
    """Return the settings in a style file of matplotlib; raises as `find_style`."""
    found: dict[str, Any] = {}
    for number, line in enumerate(read_text(path, LARGEST).splitlines(), start=1):
        text = re.sub(r'("[^"]*")|#.*', lambda part: part[1] or "", line).strip()
        if text:
            key, _, value = map(str.strip, text.partition(":"))
            found[key] = _setting(f"{path}:{number}: {key}", key, value)
    return found


def _setting(place: str, key: str, value: str) -> Any:
    """Return the value of a line; raises as `find_style`."""
    if key not in mpl.rcParams:
        raise UserError(f"{place}: no setting of matplotlib{did_you_mean(key, mpl.rcParams)}")
    try:
        given: Any = {key: value.removeprefix('"').removesuffix('"')}
        checked: Any = mpl.RcParams(given)
        return checked[key]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{place}: {str(error).removeprefix(f'Key {key}: ')}") from None


OWN = read_style(FILE)
"""Settings of eibench."""
