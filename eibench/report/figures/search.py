"""All figures of a search, and the parameters that its landscape lies over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from matplotlib.figure import Figure

from eibench.errors import UserError, did_you_mean
from eibench.report.figures.search_axes import Parameter
from eibench.report.figures.search_cells import Pair
from eibench.report.figures.search_confirmed import draw_confirmed
from eibench.report.figures.search_history import draw_front, draw_history
from eibench.report.figures.search_importances import draw_importances
from eibench.report.figures.search_landscape import draw_landscape
from eibench.report.figures.search_parallel import draw_parallel
from eibench.report.figures.search_slices import draw_slices
from eibench.report.model.search_results import Search, Study
from eibench.results.metrics import Metric, find_metric


def draw_search(
    search: Search, metric: str | None, x: str | None = None, by: Sequence[str] | None = None
) -> Iterator[tuple[str, Figure]]:
    """Name and figure of all that can be drawn; the landscape alone where `x` or `by` is given.

    Raises:
        UserError: a `metric` that is no objective; an `x` or `by` that no study searches, or whose
            values are no numbers.
    """
    known = find_metric(metric or search.objectives[0])
    if known.name not in search.objectives:
        allowed = ", ".join(search.objectives)
        raise UserError(f"--metric {metric}: no objective of {search.name}; objectives: {allowed}")
    if x is not None or by is not None:
        pairs = choose_pairs(search, x, by)
        figures = {_name(pairs): draw_landscape(search, known, pairs)}
    else:
        figures = _by_metric(search, known)
        if known.name == search.objectives[0]:
            figures |= _by_search(search)
    of = "" if known.name == search.objectives[0] else f"_{known.name}"
    for name, figure in figures.items():
        if figure is not None:
            yield name + of, figure


def _by_metric(search: Search, metric: Metric) -> dict[str, Figure | None]:
    """The figures of one objective by name; None where there is nothing to draw."""
    return {
        "history": draw_history(search, metric),
        "slices": draw_slices(search, metric),
        "parallel": draw_parallel(search, metric),
        "landscape": draw_landscape(search, metric, choose_pairs(search)),
        "confirmed": draw_confirmed(search, metric),
    }


def _by_search(search: Search) -> dict[str, Figure | None]:
    """The figures of which there is one for all objectives."""
    figures = {"importances": draw_importances(search)}
    if len(search.objectives) > 1:
        first, second = map(find_metric, search.objectives[:2])
        figures["front"] = draw_front(search, first, second)
    return figures


def choose_pairs(
    search: Search, x: str | None = None, by: Sequence[str] | None = None
) -> dict[str, Pair]:
    """By study, the keys that its landscape lies over; studies without such a pair are left out.

    What is not asked for is the most important of the study's other numeric parameters, by the
    mean over all studies of the same space.

    Raises:
        UserError: see `draw_search`.
    """
    if by is not None and len(by) != 1:
        raise UserError(f"--by {','.join(by)}: a landscape lies over one parameter by one other")
    y = None if by is None else by[0]
    for option, key in (("--x", x), ("--by", y)):
        if key is not None:
            _check(search, option, key)
    if x is not None and x == y:
        raise UserError(f"{x} stands both in --x and in --by")
    pairs = {study.name: _pair(search, study, x, y) for study in search.studies}
    found = {name: pair for name, pair in pairs.items() if pair is not None}
    asked = [key for key in (x, y) if key is not None]
    if asked and not found:
        raise UserError(
            f"{search.name}: no study has two numbers, {' and '.join(asked)} among them"
        )
    return found


def _check(search: Search, option: str, key: str) -> None:
    """Refuse a key that no study searches, or of which none has numbers."""
    known = list(dict.fromkeys(key for study in search.studies for key in study.space))
    numeric = [k for k in known if any(k in _numeric(study) for study in search.studies)]
    allowed = f"numeric parameters: {', '.join(numeric) or 'none'}"
    if key not in known:
        hint = f"{allowed}{did_you_mean(key, known)}"
        raise UserError(f"{option} {key}: no study of {search.name} searches it; {hint}")
    if key not in numeric:
        raise UserError(f"{option} {key}: its values are not numbers; {allowed}")


def _numeric(study: Study) -> list[str]:
    """The study's parameters with numbers of which there are at least two."""
    return [key for key, space in study.space.items() if Parameter.of(key, space).numeric]


def _pair(search: Search, study: Study, x: str | None, y: str | None) -> Pair | None:
    """What is asked for, completed by the most important; in the space's order without a wish."""
    numeric = _numeric(study)
    asked = [key for key in (x, y) if key is not None]
    if not set(asked) <= set(numeric):
        return None
    importance = _importances(search, study)
    ranked = sorted(numeric, key=lambda key: -importance.get(key, 0.0))
    chosen = [*asked, *(key for key in ranked if key not in asked)][:2]
    if len(chosen) < 2:
        return None
    if not asked:
        chosen.sort(key=numeric.index)
    elif x is None:
        chosen.reverse()
    return chosen[0], chosen[1]


def _importances(search: Search, study: Study) -> Mapping[str, float]:
    """Mean importances over all studies of the same space, so that their panels have one pair."""
    alike = [s.importances for s in search.studies if list(s.space) == list(study.space)]
    known = [importances for importances in alike if importances]
    return {key: fmean(i.get(key, 0.0) for i in known) for key in study.space} if known else {}


def _name(pairs: Mapping[str, Pair]) -> str:
    """Of the landscape that was asked for, so that it overwrites no other."""
    keys = dict.fromkeys(key for pair in pairs.values() for key in pair)
    return "_".join(["landscape", *(key.rpartition(".")[2] for key in keys)])
