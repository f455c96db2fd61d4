"""Registry of metrics: each is validated when read, listed, explained and reported everywhere."""

import json

import pytest

import eibench
from eibench.errors import UserError
from eibench.report.make import render
from eibench.report.model.layers import make_pivots
from eibench.results.metrics import METRICS, find_metric
from eibench.results.schema import Cost, Layer, Result

RANGES = {
    "train": Result.model_fields | Cost.model_fields,
    "probe": Result.model_fields | Cost.model_fields,
    "layer": Layer.model_fields,
    "cost": Result.model_fields,
}
METRIC_IDS = pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)


@METRIC_IDS
def test_each_metric_is_validated_where_it_is_read(metric):
    assert metric.label
    for scope in metric.scopes:
        assert metric.name in RANGES[scope]


@METRIC_IDS
def test_each_metric_is_a_table_a_column_and_a_json_object(metric, make_suite):
    kind = next(kind for kind in ("train", "cost", "probe", "layer") if kind in metric.scopes)
    kind = "probe" if kind == "layer" else kind
    suite = make_suite("one", kind=kind)
    probe = {"probe": {}} if kind == "probe" else {}
    value = 1 if metric.digits in (0, 1) else 0.5
    layer = {"layer": 1, "name": "neuron1", "neurons": 8, "non_finite": [], metric.name: value}
    numbers = {metric.name: value}
    run = suite.run(50.0, result=numbers, **probe)
    record = json.loads((run.path / "record.json").read_text())
    record |= {"cost": numbers, "layers": [layer]}
    (run.path / "record.json").write_text(json.dumps(record))
    layered = "layer" in metric.scopes and "train" not in metric.scopes
    rows = ["layer"] if layered and "probe" not in metric.scopes else None
    tables = make_pivots([suite.folder], metric.name, rows)
    assert metric.heading in render(tables, "markdown")
    assert metric.show(value) in render(tables, "markdown")
    assert metric.name in render(tables, "csv")
    assert json.loads(render(tables, "json"))[0]["unit"] == metric.unit
    frame = eibench.load_layers(suite.folder) if rows else eibench.load_results(suite.folder)
    assert list(frame[metric.name]) == [value]


def test_all_metrics_are_listed(cli):
    listed = {e["name"]: e["summary"] for e in json.loads(cli("list", "metrics", "--json").out)}
    assert list(listed) == list(METRICS)
    assert listed["test_accuracy"] == "test accuracy (%), higher is better"
    assert listed["rate_last"].endswith("; of probes")


def test_an_unknown_metric_is_answered_with_all_and_the_nearest():
    with pytest.raises(UserError, match=r"allowed: .*did you mean 'test_accuracy'") as caught:
        find_metric("test_acuracy")
    assert all(name in str(caught.value) for name in METRICS)
