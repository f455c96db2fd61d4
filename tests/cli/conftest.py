"""Results shared by many tests, computed once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from eibench.cli import app
from eibench.data import ImageData, Split
from eibench.data.digits import digits
from eibench.plan.options import DATASETS

GRID = {"method": ["ei", "tdbn"], "model.depth": [1, 2]}


@pytest.fixture(scope="session")
def few_digits() -> ImageData:
    """Every sixth of the digits: these tests are about files and words, not about learning."""
    whole = digits()
    few = [Split(s.images[::6], s.labels[::6]) for s in (whole.train, whole.validation, whole.test)]
    return ImageData(whole.classes, *few)


@pytest.fixture(autouse=True)
def _few_digits(few_digits: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS.code, "digits", lambda: few_digits)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, few_digits: ImageData) -> Path:
    """A folder with the suite `half.yaml`, and results of its runs of depth 1 alone."""
    folder = tmp_path_factory.mktemp("half")
    model = {"name": "plain", "depth": 1, "width": 4, "pools": 1}
    train = {"epochs": 1, "batch_size": 256}
    base = {"method": "ei", "model": model, "data": "digits", "train": train, "timesteps": 2}
    suite = {"name": "half", "title": "Half done", "base": base, "grid": GRID}
    (folder / "half.yaml").write_text(yaml.safe_dump(suite, sort_keys=False))
    words = ["run", str(folder / "half.yaml"), "--results", str(folder / "results")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS.code, "digits", lambda: few_digits)
        done = CliRunner().invoke(app, [*words, "--only", "model.depth=1"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def half(template: Path, tmp_path: Path) -> Path:
    """A copy of it in the working directory; the suite's path."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return Path("half.yaml")
