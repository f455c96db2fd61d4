"""All figures of a search, and the parameters that a landscape lies over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from matplotlib.figure import Figure

from eibench.errors import UserError, did_you_mean
from eibench.report.search_cells import Pair
from eibench.report.search_confirmed import draw_confirmed
from eibench.report.search_history import draw_front, draw_history
from eibench.report.search_landscape import draw_landscape
from eibench.report.search_parallel import draw_parallel
from eibench.report.search_scales import Parameter
from eibench.report.search_slices import draw_importances, draw_slices
from eibench.report.searches import Search, Study
from eibench.report.words import find_metric


def draw_search(
    search: Search, metric: str | None, x: str | None = None, by: Sequence[str] | None = None
) -> Iterator[tuple[str, Figure]]:
    """Name and figure of all that can be drawn; of the landscape alone if `x` or `by` is given.

    Raises:
        UserError: an `x` or `by` that no study searches, or that has no numbers.
    """
    known = find_metric(metric or search.objectives[0])
    pairs = choose_pairs(search, x, by)
    landscape = draw_landscape(search, known, pairs)
    if x is not None or by is not None:
        found = {name_landscape(pairs): landscape}
    else:
        found = {
            "history": draw_history(search, known),
            "slices": draw_slices(search, known),
            "parallel": draw_parallel(search, known),
            "importances": draw_importances(search),
            "landscape": landscape,
            "confirmed": draw_confirmed(search, known),
            "front": draw_front(search, *map(find_metric, search.objectives[:2]))
            if len(search.objectives) > 1
            else None,
        }
    for name, figure in found.items():
        if figure is not None:
            yield name, figure


def name_landscape(pairs: dict[str, Pair]) -> str:
    keys = dict.fromkeys(key for pair in pairs.values() for key in pair)
    return "_".join(["landscape", *(key.rpartition(".")[2] for key in keys)])


def choose_pairs(search: Search, x: str | None, by: Sequence[str] | None) -> dict[str, Pair]:
    return {s.name: tuple(n[:2]) for s in search.studies if len(n:=[k for k,v in s.space.items() if Parameter.of(k,v).numeric])>1}
