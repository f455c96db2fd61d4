"""Footnotes of a search: how it was made, whether it was fair, and what is not done yet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from eibench.plan.protocol import ONE_SEED, own_keys, space_rule
from eibench.plan.search import REPEAT
from eibench.plan.space import SearchParameter
from eibench.plan.suite import METHOD
from eibench.report.model.document import code
from eibench.report.model.provenance import provenance
from eibench.report.model.search_results import (
    FAILED,
    PRUNED,
    RUNNING,
    TEST,
    Confirmation,
    Search,
    Study,
)
from eibench.report.model.tuning import by_name, edge_notes, raised_budget, span, unequal
from eibench.results.labels import counted, seeds_in_words, shortened, show_setting

# ---------------------------------------------------------------------- winners, confirmed


def of_confirmation(search: Search, found: Sequence[Confirmation]) -> Iterator[str]:
    """Yield notes on the two numbers of a winner, and on those that are lacking."""
    metric = search.metric
    unit = f", in {metric.difference_unit}" if metric.difference_unit else ""
    mean = ", the mean" * (len(search.seeds) > 1)
    yield (
        f"Search score: {metric.label} of the winner{mean} under {search.tried_under}. Confirmed:"
        f" its setting run anew under {seeds_in_words(search.confirm_seeds)}, which the search"
        f" never saw; {TEST.heading} is of these runs too.{_spread(search)}"
    )
    yield (
        f"Optimism: by how much the search score is better than the confirmed mean{unit}. The best"
        " of many noisy scores is in part luck, so expect it above 0."
    )
    yield from edge_notes(search.studies)
    yield from _without_winner(search.studies)
    yield from _unconfirmed(found)


def _spread(search: Search) -> str:
    repeated = any(REPEAT in study.arm for study in search.studies)
    shared = " The winners of a combination's studies share these seeds, in turns." * repeated
    shares = {len(search.fresh_seeds(study)) for study in search.studies if study.best}
    numbers = sorted(shares) or [len(search.confirm_seeds)]
    if numbers[-1] < 2:
        return shared
    n = " to ".join(map(str, dict.fromkeys([numbers[0], numbers[-1]])))
    spread = f" Mean ± sample standard deviation over n = {n} runs; a cell with fewer says so."
    return shared + spread


def _without_winner(studies: Iterable[Study]) -> Iterator[str]:
    """Yield a note on each study that no trial has won, and why."""
    for study in studies:
        if study.best is None:
            ended = [trial for trial in study.trials if trial.state != RUNNING]
            why = (
                f"none of {counted(len(ended), 'finished trial')} counts" if ended else "not begun"
            )
            yield f"No winner in {code(study.name)}: {why}."


def _unconfirmed(found: Sequence[Confirmation]) -> Iterator[str]:
    """Yield notes on winners without fresh runs, and on fresh runs of former winners."""
    outdated = [one.study.name for one in found if one.outdated]
    lacking = [
        one.study.name
        for one in found
        if one.study.best is not None and not one.runs and not one.outdated
    ]
    if outdated:
        yield (
            f"OUTDATED: the fresh runs of {_listed(outdated)} are of another setting than the"
            " winner's, and left out."
        )
    if len(lacking) == len(found):
        yield "Not confirmed yet: no winner has been run on fresh seeds."
    elif lacking:
        yield f"Not confirmed yet: {_listed(lacking)}."


# ---------------------------------------------------------------------------------- budget


def of_budget(search: Search, short: bool = False) -> Iterator[str]:
    """Yield notes on space, budget and fairness, and on what computed the trials.

    `short` ones leave out what names trials, machines and commands.
    """
    asked = {_asked(search, study) for study in search.studies} or {search.trials}
    yield (
        f"Asked for: {span(asked, 'trial')} in each study, each under"
        f" {search.tried_under}. Sampler: {code(search.sampler)}, seed {search.sampler_seed};"
        f" pruner: {code(search.pruner)}."
    )
    yield from _spaces(search.studies)
    yield from _space_rule(search.studies)
    yield from _fairness(search)
    yield from raised_budget(search)
    yield from _unfinished(search)
    yield from [] if short else _ends(search)
    if len(search.seeds) == 1:
        yield ONE_SEED
    yield from [] if short else provenance(search.runs)


def _asked(search: Search, study: Study) -> int:
    """Return the number of trials that a study should have: of a grid at most its points."""
    points = [SearchParameter.model_construct(**known).count() for known in study.space.values()]
    if search.sampler != "grid" or None in points:
        return search.trials
    return min(search.trials, math.prod(n for n in points if n is not None))


def _spaces(studies: Sequence[Study]) -> Iterator[str]:
    """Yield the range of each method's keys; one list for methods with the same."""
    alike: dict[str, dict[str, None]] = {}
    for study in studies:
        ranges = "; ".join(f"{code(key)} {_range(known)}" for key, known in study.space.items())
        method = study.arm.get(METHOD)
        alike.setdefault(ranges, {}).update({} if method is None else {code(str(method)): None})
    for ranges, methods in alike.items():
        yield f"Space{' of ' * bool(methods)}{', '.join(methods)}: {ranges}."


def _range(known: Mapping[str, Any]) -> str:
    """Return `0.01 to 3, log`, or `one of 0, 0.5, 1`."""
    if "choices" in known:
        return f"one of {', '.join(code(show_setting(choice)) for choice in known['choices'])}"
    step = known.get("step")
    return (
        f"{show_setting(known['low'])} to {show_setting(known['high'])}"
        + ", log" * bool(known.get("log"))
        + (f" in steps of {show_setting(step)}" if step else "")
    )


def _space_rule(studies: Sequence[Study]) -> Iterator[str]:
    """Yield a note where a method is searched over several keys of its own."""
    note = space_rule(own_keys((str(study.arm.get(METHOD)), study.space) for study in studies))
    if note is not None:
        yield note


def _fairness(search: Search) -> Iterator[str]:
    budgets = by_name(search.studies)
    begun = any(one.finished for one in budgets.values())
    differing = list(unequal(budgets)) if begun and len(budgets) > 1 else []
    if differing:
        yield f"UNEQUAL BUDGET: {'. '.join(differing)}."
    epochs = {one.epochs for one in budgets.values()}
    if len(epochs) > 1 and any(one.cut_short for one in budgets.values()):
        yield (f"{span(epochs)} in a study: trials that are pruned, diverge or fail end early.")


def _unfinished(search: Search) -> Iterator[str]:
    """Yield a note on studies with fewer trials than asked for."""
    finished = {name: one.finished for name, one in by_name(search.studies).items()}
    numbers: dict[tuple[int, int], list[str]] = {}
    for study in search.studies:
        if (done := finished[study.name]) < (asked := _asked(search, study)):
            numbers.setdefault((done, asked), []).append(study.name)
    if not numbers:
        return
    if len(search.studies) == 1:
        ((done, asked),) = numbers
        yield f"Unfinished: {done} of {counted(asked, 'trial')}."
        return
    listed = (f"{n} of {asked} in {_listed(names)}" for (n, asked), names in numbers.items())
    yield f"Unfinished, in trials: {'; '.join(listed)}."


def _ends(search: Search) -> Iterator[str]:
    """Yield notes on pruned, diverged and failed trials, and on their reasons."""
    trials = [trial for study in search.studies for trial in study.trials]
    if any(trial.diverged for trial in trials):
        yield "A diverged trial has the score of chance, and does not win."
    if any(trial.state == PRUNED for trial in trials):
        yield "A pruned trial has the score it had come to, and does not win."
    for start, failed in (("Diverged", False), ("Failed", True)):
        reasons = _reasons(search, failed)
        for reason, names in reasons.items():
            yield f"{start}: {'; '.join(names)}; reason: {code(reason)}."


def _reasons(search: Search, failed: bool) -> dict[str, list[str]]:
    """Return the trials, by study, of each reason to fail, or to diverge."""
    found: dict[str, dict[str, list[str]]] = {}
    for study in search.studies:
        for trial in study.trials:
            if trial.state == FAILED if failed else trial.diverged:
                reason = shortened(trial.reason or "none given")
                found.setdefault(reason, {}).setdefault(study.name, []).append(str(trial.number))
    return {
        reason: [
            f"{code(name)} (trial{'s' * (len(numbers) > 1)} {', '.join(numbers)})"
            for name, numbers in studies.items()
        ]
        for reason, studies in found.items()
    }


# ---------------------------------------------------------------------------------- others


def of_importances(search: Search) -> Iterator[str]:
    """Yield a note on shares of variance, and how far to trust them."""
    yield (
        f"Share of each key in the variance of {search.metric.label} over the trials of a study"
        " (fANOVA). Few trials tell it badly, and only within the space that was searched."
    )


def of_scores(search: Search) -> Iterator[str]:
    """Yield a note on what the scores of a grid are."""
    mean = "Mean u" if len(search.seeds) > 1 else "U"
    yield f"{mean}nder {search.tried_under}. Bold: the winner of the row."


def of_trials(search: Search, studies: Sequence[Study]) -> Iterator[str]:
    """Yield notes on which trials are shown, and in which order."""
    order = "the winner first" if any(study.best for study in studies) else "none has won"
    yield f"{'Of each study, b' if len(studies) > 1 else 'B'}y {search.metric.heading}, {order}."


def _listed(names: Iterable[str]) -> str:
    return "; ".join(code(name) for name in names)
