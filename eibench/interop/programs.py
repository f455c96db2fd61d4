"""Export to ONNX and to a program of `torch.export`: the whole forward pass, T steps unrolled.

The batch is free, all else is fixed. Every method and model of eibench can be exported.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from eibench.errors import UserError, error_line, shorten
from eibench.interop.deployed import INPUT, OUTPUT, LoadedRun
from eibench.interop.extras import require
from eibench.results.store import write_atomic

ONNX = "ONNX"
OPSET = 18
"""ONNX operator set: the oldest that torch writes without conversion; runtimes since 2023 read
it."""
LONGEST = 300
"""Characters of another library's error in a message."""


def export_onnx(run: LoadedRun, out: Path) -> None:
    """Write `run` to the ONNX file `out`; raise `UserError` where that cannot be."""
    require("onnx", "onnx", "onnxscript")
    program = _program(run, ONNX)
    with _explained(run, ONNX), _quiet():
        made: Any = torch.onnx.export(
            program,
            (run.example(),),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
        model = made.model_proto
        for key, value in run.about().items():
            model.metadata_props.add(key=key, value=value)
        content: bytes = model.SerializeToString()
    write_atomic(out, content)


def export_program(run: LoadedRun, out: Path) -> None:
    """Write `run` as a program of `torch.export` to `out`; `torch.export.load` reads it."""
    program = _program(run, "torch.export")
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files=run.about())
    write_atomic(out, buffer.getvalue())


def _program(run: LoadedRun, form: str) -> torch.export.ExportedProgram:
    """Return the graph of `run` with a free batch size; messages name the `form` asked for."""
    network, example = run.deployed(), run.example()
    with _explained(run, form), _quiet():
        network(example)  # what the network itself refuses, such as another T
        batch = {0: torch.export.Dim("batch")}
        return torch.export.export(network, (example,), dynamic_shapes={INPUT: batch})


@contextlib.contextmanager
def _explained(run: LoadedRun, form: str) -> Iterator[None]:
    """Turn any failure into a message: a plugin's operations may be unknown there."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = shorten(error_line(error), LONGEST)
        text = f"method {run.spec.method.label}, model {run.spec.model.label}"
        raise UserError(f"{text}: cannot be exported to {form}: {reason}") from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what torch prints and warns of while it exports."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
