"""Cost of runs: of kept weights or of initialised networks, as rows of results.

The rows of a suite lie beside its results, in NAME-cost, and their fields are those of its runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from eibench.cost.network import count_network
from eibench.cost.summary import is_whole
from eibench.data import ImageData
from eibench.data.batches import evaluation_batches, over_time
from eibench.errors import UserError, describe_error, reraise_interrupt
from eibench.execution.dataset_cache import DatasetCache, as_user_error
from eibench.execution.evaluate_network import (
    RecordWriter,
    TrainedNetwork,
    check_own,
    row_id,
    rows_plan,
)
from eibench.execution.lock import locked
from eibench.plan.conditions import FROM
from eibench.plan.spec import RunSpec
from eibench.plan.suite import Plan, PlannedRun
from eibench.results.paths import PLAN, member
from eibench.results.schema import RecordFile
from eibench.results.store import (
    COST,
    ERROR,
    OK,
    RECORD,
    RunFolder,
    read_json,
    to_json,
    write_atomic,
)
from eibench.training.build import build, first_batch, make_input
from eibench.training.start import set_first_weights

BATCH = 64
"""Images of a forward pass."""
STATISTICS = 256
"""Training images behind the running statistics of networks before training."""
KEPT = ("control", "margin", "labels")
"""Parts of a suite's plan that hold for its costs as well."""
INITIALISED = "initialised"
"""In place of a digest of weights: the network as training would start."""


@dataclass(frozen=True)
class CostRequest:
    """Settings of a count."""

    images: int
    initialised: bool = False
    """Networks are initialised as for training, whatever weights there are."""


def cost_of_run(run: Path, request: CostRequest) -> tuple[RunSpec, dict[str, Any]]:
    """Return the spec and the cost of the weights in the folder `run`.

    Raises:
        UserError: there are no weights, the data are absent, or an operation is unknown.
    """
    datasets = DatasetCache(torch.device("cpu"))
    trained = TrainedNetwork.load(run, datasets.device)
    record = read_json(member(run, RECORD), RecordFile) or {}  # the folder may have another name
    own = record.get("run_id") == trained.spec.run_id
    accuracy = record["result"].get("test_accuracy") if own else None
    cost = _cost(trained.spec, trained.network, datasets.get(trained.spec), request.images)
    return trained.spec, {**cost, "test_accuracy": accuracy}


def cost_of_suite(
    plan: Plan,
    runs: Iterable[PlannedRun],
    root: Path,
    request: CostRequest,
    tell: Callable[[str], None] = lambda text: None,
) -> tuple[Path, list[dict[str, Any]]]:
    """Count the networks of `runs`; return the folder of rows, and the records.

    Rows of the same weights and as many images are not counted again.

    Raises:
        UserError: results are damaged, or another process works on them.
    """
    runs = list(runs)
    folder = member(root, f"{plan.name}-{COST}")
    suite, datasets = member(root, plan.name), DatasetCache(torch.device("cpu"), plan.folder)
    with locked(folder):
        check_own(folder)
        _write_plan(folder, plan)
        rows = _CostRows(suite, RecordWriter(folder, datasets.device), datasets, request)
        records = []
        for i, run in enumerate(runs, start=1):
            tell(f"counting {run.title} ({i} of {len(runs)})")
            records.append(rows.write(run))
    return folder, records


def _write_plan(folder: Path, plan: Plan) -> None:
    rows = {row_id(run.run_id, run.run_id, COST): _fields(run) for run in plan.runs}
    content = rows_plan(folder.name, f"{plan.title}: cost", plan.axes, rows)
    kept = {key: getattr(plan, key) for key in KEPT}
    write_atomic(member(folder, PLAN), to_json({**content, "kind": COST, **kept}))


def _fields(run: PlannedRun) -> dict[str, Any]:
    return {**run.fields(), f"{FROM}.run": run.run_id}


class _CostRows:
    """Rows of one suite, written run by run."""

    def __init__(
        self, suite: Path, writer: RecordWriter, datasets: DatasetCache, request: CostRequest
    ) -> None:
        self.suite, self.writer, self.datasets = suite, writer, datasets
        self.request = request

    def write(self, run: PlannedRun) -> dict[str, Any]:
        """Return the record of `run`, written if it is not there or of other weights."""
        start = time.perf_counter()
        run_id, fields = row_id(run.run_id, run.run_id, COST), _fields(run)
        try:
            spec, network, result = self._network(run, fields)
            if known := self._known(run_id, fields):
                return known
            data = self.datasets.get(spec)
            result = {**result, **_cost(spec, network(data), data, self.request.images)}
            outcome = {"status": OK, "reason": None, "result": result}
        except BaseException as error:
            reraise_interrupt(error)
            outcome = {"status": ERROR, "reason": describe_error(error), "result": {}}
        return self.writer.write(run_id, fields, run.spec, outcome, start)

    def _network(
        self, run: PlannedRun, fields: dict[str, Any]
    ) -> tuple[RunSpec, Callable[[ImageData], nn.Module], dict[str, Any]]:
        """Return the spec of a network, how it is made, and what is known of its run."""
        if self.request.initialised:
            fields[f"{FROM}.sha256"] = INITIALISED
            return run.spec, lambda data: _initialised(run.spec, data), {}
        folder = member(self.suite, run.run_id)
        record = RunFolder(folder).record()
        if record is None or record["status"] != OK:
            state = "has not ended" if record is None else f"ended as {record['status']}"
            raise UserError(f"the run {state}; --initialised counts networks before training")
        trained = TrainedNetwork.load(folder, self.datasets.device)
        fields[f"{FROM}.sha256"] = trained.digest
        accuracy = {"test_accuracy": record["result"].get("test_accuracy")}
        return trained.spec, lambda _: trained.network, accuracy

    def _known(self, run_id: str, fields: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the record of a row that another count would only repeat."""
        record = RunFolder(member(self.writer.folder, run_id)).record()
        if record is None or record["fields"] != fields or record["status"] != OK:
            return None
        result = record["result"]
        same = result.get("asked_images") == self.request.images and is_whole(result)
        return record if same else None


def _initialised(spec: RunSpec, data: ImageData) -> nn.Module:
    """Return the network of `spec` as training would start.

    Running statistics are those of training images: batch norm is then calibrated in evaluation
    too, as it is in the first training step.
    """
    with as_user_error(spec):
        experiment = build(spec, data)
        set_first_weights(experiment)
        images, _ = first_batch(experiment, STATISTICS)
        update_bn([over_time(images, spec.timesteps)], experiment.model)
    return experiment.model.eval()


def _cost(spec: RunSpec, network: nn.Module, data: ImageData, images: int) -> dict[str, Any]:
    """Return the cost of `network` on the first test images of `data`."""
    _, normalization = make_input(spec, data)
    batches = evaluation_batches(data.test, BATCH, normalization)
    cost = count_network(network, _first(batches, images), spec.timesteps)
    return {**cost, "asked_images": images}


def _first(batches: Iterable[tuple[Tensor, Tensor]], images: int) -> Iterator[Tensor]:
    """Yield batches up to a number of images."""
    left = images
    for batch, _ in batches:
        yield batch[:left]
        left -= len(batch)
        if left <= 0:
            return
