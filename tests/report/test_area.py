"""`report --area`: one number for each curve."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eibench.errors import UserError
from eibench.report.figures.axes import FieldAxis
from eibench.report.model.area import area, area_over
from eibench.report.model.layers import make_pivots
from eibench.report.model.result_table import result_document
from eibench.report.model.suite_results import SuiteResults
from eibench.results.cells import DIGEST, Run, unlike_images
from eibench.results.labels import unlike_machines


def run(seed: int, bits: float, accuracy: float | None, method: str = "ei") -> Run:
    fields = {"method": method, "seed": seed, "evaluate.weight_bits": bits}
    status = "ok" if accuracy is not None else "error"
    result = {} if accuracy is None else {"test_accuracy": accuracy, "test_images": 10}
    return Run(f"{method}_{seed}_{bits}", fields, status, "it broke" * (not result), result, {})


def suite(*runs: Run, tmp: object = None) -> SuiteResults:
    from pathlib import Path

    axes = ("method", "evaluate.weight_bits")
    return SuiteResults(Path("results/s"), "s", "S", axes, None, (), runs, 0)


def test_areas_by_hand():
    assert area([2, 4], [10, 30]) == 20
    assert area([2, 3, 8], [10, 20, 80]) == pytest.approx((15 + 250) / 6)
    assert area([0, 1, 5], [7, 7, 7]) == 7


def test_labels_of_close_values_do_not_overlap():
    names = FieldAxis.of([(x,) for x in (0, 0.01, 0.02, 0.05, 0.1, 0.2, 1)], "lesion")._names()
    assert names == ["0", "", "", "0.05", "", "0.2", "1"]
    assert FieldAxis.of([(float(x),) for x in range(9)], "T")._names() == list("012345678")
    assert FieldAxis.of([(4.0,)], "T")._names() == ["4"]


def test_a_curve_becomes_a_run():
    runs = [run(0, 8, 80.0), run(0, 2, 10.0), run(0, 3, 20.0), run(1, 2, 1.0), run(1, 3, 1.0),
            run(1, 8, None)]  # fmt: skip
    found = area_over(suite(*runs), "weight_bits")
    assert found.axes == ("method",) and found.title == "S, mean over weight bits from 2 to 8"
    first, second = found.runs
    assert first.number("test_accuracy") == pytest.approx(265 / 6) and first.trains is None
    assert first.fields == {"method": "ei", "seed": 0}
    assert (second.status, second.reason, second.result) == ("error", "it broke", {})


@pytest.mark.parametrize(
    ("runs", "field", "text"),
    [
        ([run(0, 8, 1.0)], "weight_bits", "--area evaluate.weight_bits: s has a single value"),
        ([run(0, 8, 1.0), run(0, 2, 1.0), run(1, 8, 1.0), run(1, 3, 1.0)], "weight_bits",
         "have unlike values"),
        ([run(0, 8, 1.0), run(0, 2, 1.0)], "method", "--area method: is not a number"),
        ([run(0, 8, 1.0), run(1, 8, 1.0)], "seed", "--area seed: means are taken over seeds"),
        ([run(0, 8, 1.0), run(0, 2, 1.0)], "weight_bitz",
         "--area weight_bitz: no run of s has this field; fields that vary: evaluate.weight_bits"),
    ],
)  # fmt: skip
def test_what_has_no_area(runs, field, text):
    with pytest.raises(UserError) as error:
        area_over(suite(*runs), field)
    assert text in str(error.value)


def test_a_curve_tells_its_images_and_machines():
    """Not those of its first point alone: unlike ones do not compare."""
    runs = [
        replace(
            run(0, bits, 50.0 + bits, method),
            environment={"cpu": "Slow" if (method, bits) == ("ei", 8) else "Fast", "cores": 2},
            result={"test_accuracy": 50.0, DIGEST: "d2" if (method, bits) == ("ei", 8) else "d1"},
        )
        for method in ("ei", "batchnorm")
        for bits in (2, 8)
    ]
    ei, batchnorm = area_over(suite(*runs), "weight_bits").runs
    assert (ei.environment["cpu"], batchnorm.environment["cpu"]) == ("Fast and Slow", "Fast")
    assert unlike_machines([ei.environment, batchnorm.environment])
    assert unlike_images([ei, batchnorm]) and not unlike_images([batchnorm, batchnorm])


def test_areas_are_compared_like_any_number(monkeypatch):
    curves = {("batchnorm", s): (50 + s, 90 + s) for s in range(3)}
    curves |= {("ei", s): (60 + 2 * s, 94 + s) for s in range(3)}
    runs = [run(s, bits, y, m) for (m, s), ys in curves.items()
            for bits, y in zip((2, 8), ys, strict=True)]  # fmt: skip
    monkeypatch.setattr(
        "eibench.report.model.layers.read_suites",
        lambda paths: [SuiteResults(**{**vars(suite(*runs)), "control": "batchnorm"})],
    )
    (pivot,) = make_pivots([], None, area="weight_bits")
    cells = {row[0]: cell for (row, _), cell in pivot.cells.items()}
    assert cells["batchnorm"].values == {0: 70, 1: 71, 2: 72}
    assert cells["ei"].values == {0: 77, 1: 78.5, 2: 80}
    ((_, found),) = [(p, d) for p, d in pivot.differences.items() if p[0] == ("ei",)]
    assert result_document(pivot).tables[0].label == "s-area-evaluate.weight_bits"
    assert found.mean == pytest.approx(7.5) and found.interval is not None


@pytest.mark.parametrize("first", [8, 2])
def test_a_point_that_failed_is_told_whatever_stands_before_it(first):
    failed = run(0, first, None)
    missing = replace(run(0, 10 - first, 1.0), status="missing", result={})
    (found,) = area_over(suite(failed, missing), "weight_bits").runs
    assert (found.status, found.reason) == ("error", "it broke")
