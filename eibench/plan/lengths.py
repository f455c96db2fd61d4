"""Lengths on paper, as LaTeX writes them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

POINTS = {"pt": 1.0, "in": 72.27, "cm": 28.4528, "mm": 2.84528}
"""TeX points of each unit."""
LEAST, MOST = 150.0, 2000.0
"""Points of the narrowest and the widest line."""


def points(length: str) -> float:
    """Return a length such as `3.25in` in points; raise `ValueError` for another text."""
    found = re.fullmatch(rf"([0-9]{{1,5}}(?:\.[0-9]{{1,4}})?) ?({'|'.join(POINTS)})", length)
    value = float(found[1]) * POINTS[found[2]] if found else 0.0
    if not LEAST <= value <= MOST:
        units = ", ".join(POINTS)
        raise ValueError(f"must be {LEAST:g}pt to {MOST:g}pt, such as 3.25in; units: {units}")
    return value


def _length(text: str) -> str:
    points(text)
    return text


Length = Annotated[str, AfterValidator(_length)]
"""Text of a length."""
