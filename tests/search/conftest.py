"""Searches without training: a study whose trials score by a formula."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from eibench.plan import Override
from eibench.plan.read_search import load_search
from eibench.plan.search import SearchPlan
from eibench.search.journal import open_journal
from eibench.search.study import Outcome, ResumableStudy

SPACE = {
    "train.lr": {"low": 0.01, "high": 1, "log": True},
    "method.kappa": {"choices": [0, 0.5, 1]},
    "model.width": {"low": 2, "high": 9},
}


def score_of(values: dict[str, Any]) -> Outcome:
    """A smooth landscape with one peak, a corner that diverges, and one that crashes."""
    lr, width, kappa = values["train.lr"], values["model.width"], values["method.kappa"]
    score = 90 - 10 * abs(math.log10(lr) + 1) - width - 5 * kappa
    if lr > 0.9:
        return Outcome(TrialState.FAIL, "error: it broke", None, None, 1.0, 0)
    if lr > 0.7:
        return Outcome(TrialState.COMPLETE, "diverged: it grew", 10.0, None, 1.0, 1)
    return Outcome(TrialState.COMPLETE, None, score, 0.1, 1.0, 1)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def search_plan(project: Any) -> Callable[..., SearchPlan]:
    """`search_plan("train.lr=1", ..., sampler="grid", ...)`: settings, and keys of `search`."""

    def load(*settings: str, suite: dict[str, Any] | None = None, **search: Any) -> SearchPlan:
        section = {"space": SPACE, "trials": 10, "seeds": [1000], **search}
        path = project.suite(**{"grid": {}, "search": section, **(suite or {})})
        return load_search(path, [Override.read("--set", text) for text in settings])

    return load


def opened(plan: SearchPlan, folder: Path, number: int = -1) -> ResumableStudy:
    """A study of `plan`, the last or only one, with its journal in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return ResumableStudy(plan.studies[number], plan, open_journal(folder))
