"""Which fields span a table's rows and columns.

By default ablations are rows, or methods in a suite without ablations, and the suite's other axes
are columns, save training fields that a method determines: a learning rate for each method is not a
column but a footnote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eibench.errors import UserError, did_you_mean
from eibench.plan.suite import ABLATION, BASE
from eibench.report.model.suite_results import METHOD, Run, SuiteResults, Value

Key = tuple[Value, ...]
"""Values of the row fields, or of the column fields."""
Place = tuple[Key, Key]


@dataclass(frozen=True)
class Layout:
    """Fields of the rows and of the columns, outermost first."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    against: tuple[str, Value] | None = None
    """A field and its value: the cells beside which the others are set, if asked for."""

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields; together with the seed they must determine a run."""
        return (*self.rows, *self.columns)

    @property
    def reference(self) -> tuple[str, Value] | None:
        """The field and value of the cells from which differences are taken: of ablations the base.

        None: there are no differences, and the best is sought.
        """
        if self.against is None and ABLATION in self.fields:
            return ABLATION, BASE
        return self.against

    def base_of(self, row: Key, column: Key) -> Place:
        """The place of the reference under the same other conditions."""
        assert self.reference is not None
        key, name = self.reference
        pairs = list(zip(self.fields, (*row, *column), strict=True))
        values = tuple(name if field == key else value for field, value in pairs)
        return values[: len(row)], values[len(row) :]


def choose_layout(
    suite: SuiteResults,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    against: str | None = None,
) -> Layout:
    """The layout asked for, the rest filled in from the suite's axes.

    Raises:
        UserError: a field that no run has, one that is listed twice, or nothing called `against`.
    """
    check_fields(suite, "--rows", rows or ())
    check_fields(suite, "--columns", columns or ())
    if rows is None:
        rows = _default_rows(suite, columns or ())
    if columns is None:
        columns = remaining_axes(suite, rows)
    for field in rows:
        if field in columns:
            raise UserError(f"{field} stands both in --rows and in --columns")
    layout = Layout(tuple(rows), tuple(columns))
    return layout if against is None else replace(layout, against=_against(suite, layout, against))


def _against(suite: SuiteResults, layout: Layout, name: str) -> tuple[str, Value]:
    """The field, ablation or method, one of whose values is `name`."""
    field = ABLATION if ABLATION in layout.fields else METHOD
    if field not in layout.fields:
        raise UserError(f"--against {name}: neither rows nor columns are methods or ablations")
    known = list(dict.fromkeys(str(run.value(field)) for run in suite.runs))
    if name not in known:
        hint = f"allowed: {', '.join(known)}{did_you_mean(name, known)}"
        raise UserError(f"--against {name}: no {field} of {suite.name}; {hint}")
    return field, name


def choose_axes(
    suite: SuiteResults, x: str | None = None, by: Sequence[str] | None = None
) -> tuple[str | None, Layout]:
    """The field of a figure's x axis, and a layout with series as rows and panels by x as columns.

    Without `x` it is the first axis that holds numbers, or None where there is no such axis, or
    where rows are ablations: these are drawn as differences.

    Raises:
        UserError: a field that no run has, one that is listed twice, or an `x` without numbers.
    """
    rows = [ABLATION if ABLATION in axes(suite) else METHOD] if by is None else list(by)
    check_fields(suite, "--by", rows)
    if x is None and rows != [ABLATION]:
        numeric = (a for a in axes(suite) if a not in rows and is_numeric(suite.runs, a))
        x = next(numeric, None)
    elif x is not None:
        check_fields(suite, "--x", [x])
        if not is_numeric(suite.runs, x):
            raise UserError(f"--x {x}: not a number in every run of {suite.name}")
        if x in rows:
            raise UserError(f"{x} stands both in --x and in --by")
    last = [] if x is None else [x]
    panels = [a for a in remaining_axes(suite, [*rows, *last]) if varies(suite.runs, a, last)]
    return x, Layout(tuple(rows), (*panels, *last))


def check_fields(suite: SuiteResults, option: str, fields: Sequence[str]) -> None:
    """Refuse fields that no run of the suite has, and repeats."""
    known = list(dict.fromkeys(field for run in suite.runs for field in run.fields))
    for i, field in enumerate(fields):
        if field not in known:
            vary = ", ".join(f for f in known if varies(suite.runs, f))
            hint = f"fields that vary: {vary}{did_you_mean(field, known)}"
            raise UserError(f"{option} {field}: no run of {suite.name} has this field; {hint}")
        if field in fields[:i]:
            raise UserError(f"{option}: {field} is listed twice")


def remaining_axes(suite: SuiteResults, fixed: Sequence[str]) -> list[str]:
    """The suite's axes other than `fixed` fields.

    Without training fields that those, the method and the axes before them determine: a learning
    rate for each method, or for each method and batch size.
    """
    left = [axis for axis in axes(suite) if axis not in fixed]
    known = [*fixed, *(METHOD for axis in left if axis == METHOD)]
    kept: list[str] = []
    for axis in left:
        if not axis.startswith("train.") or varies(suite.runs, axis, [*known, *kept]):
            kept.append(axis)
    return kept


def axes(suite: SuiteResults) -> list[str]:
    """The suite's axes as fields of a run.

    An axis may be a part of a run (`model`, `train`): then those of its fields that vary, each
    only if the ones before it do not determine it. Options of a method are in its label, unless
    ablations change it too.
    """
    fields: list[str] = []
    for axis in suite.axes:
        option = axis.startswith(f"{METHOD}.") and ABLATION in suite.axes
        if axis.partition(".")[0] == METHOD and not option:
            fields.append(METHOD)
            continue
        kept: list[str] = []
        for field in dict.fromkeys(field for run in suite.runs for field in run.fields):
            if f"{field}.".startswith(f"{axis}.") and varies(suite.runs, field, kept):
                kept.append(field)
        fields += kept
    return list(dict.fromkeys(fields))


def varies(runs: Sequence[Run], field: str, fixed: Sequence[str] = ()) -> bool:
    """Whether `field` takes several values among runs that are alike in the `fixed` fields."""
    seen: dict[tuple[Value, ...], Value] = {}
    return any(seen.setdefault(r.values(fixed), r.value(field)) != r.value(field) for r in runs)


def is_numeric(runs: Sequence[Run], field: str) -> bool:
    """Whether every run has a number in `field`."""
    values = [run.value(field) for run in runs]
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _default_rows(suite: SuiteResults, columns: Sequence[str]) -> list[str]:
    """Ablations, else methods where they vary, else the first axis; all left beside columns."""
    left = [axis for axis in axes(suite) if axis not in columns]
    if ABLATION in left:
        return [ABLATION]
    if METHOD not in columns and (METHOD in left or not left):
        return [METHOD]
    return left if columns else left[:1]
