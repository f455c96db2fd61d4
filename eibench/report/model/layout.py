"""Layout of a table: the fields of its rows and columns, and the control of its comparisons.

By default ablations are rows, or methods in a suite without ablations, and the suite's other axes
are columns, save training fields that a method determines: a learning rate for each method is not a
column but a footnote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eibench.errors import UserError, did_you_mean
from eibench.plan.suite import ABLATION, BASE, METHOD, NOTHING
from eibench.report.model.cells import Value
from eibench.report.model.suite_results import SuiteResults, axes, is_numeric, varies

Key = tuple[Value, ...]
"""Values of the row fields, or of the column fields."""
Place = tuple[Key, Key]


@dataclass(frozen=True)
class Layout:
    """Fields of the rows and of the columns, outermost first."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    reference: tuple[str, Value] | None = None
    """Field and value of the control: the cells to which all others have their difference.

    None: there are no differences.
    """

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields; together with the seed they must determine a run."""
        return (*self.rows, *self.columns)

    def base_of(self, row: Key, column: Key) -> Place:
        """Return the place of the control under the same other conditions."""
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
    """Return the layout asked for, the rest filled in from the suite's axes.

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
            raise UserError(f"{field} is in both --rows and --columns")
    layout = Layout(tuple(rows), tuple(columns))
    return replace(layout, reference=_reference(suite, layout, against))


def _reference(suite: SuiteResults, layout: Layout, name: str | None) -> tuple[str, Value] | None:
    """Return the field and value of the control: what is asked for, else of ablations the base,
    else the suite's control where a suite that trains has it under several seeds."""
    if name == NOTHING:
        return None
    field = ABLATION if ABLATION in layout.fields else METHOD
    if name is None:
        if field == ABLATION:
            return ABLATION, BASE
        several = len(suite.methods) > 1 and len({run.seed for run in suite.runs}) > 1
        there = METHOD in layout.fields and suite.control in suite.methods
        return (METHOD, suite.control) if several and there and suite.kind == "train" else None
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
    """Return a figure's x field, and a layout: series are rows, panels by x are columns.

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
            raise UserError(f"{x} is in both --x and --by")
    last = [] if x is None else [x]
    panels = [a for a in remaining_axes(suite, [*rows, *last]) if varies(suite.runs, a, last)]
    layout = Layout(tuple(rows), (*panels, *last))
    return x, replace(layout, reference=(ABLATION, BASE) if ABLATION in layout.fields else None)


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
    """Return the suite's axes other than `fixed` fields.

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


def _default_rows(suite: SuiteResults, columns: Sequence[str]) -> list[str]:
    """Return ablations, else methods where they vary, else the first axis."""
    left = [axis for axis in axes(suite) if axis not in columns]
    if ABLATION in left:
        return [ABLATION]
    if METHOD not in columns and (METHOD in left or not left):
        return [METHOD]
    return left if columns else left[:1]
