"""Paths in data options: from here, else from the suite's folder; identities stay as they are."""

import os
from pathlib import Path

import pytest
import torch

from eibench.execution.data_paths import local_data, resolve_paths
from eibench.execution.dataset_cache import DatasetCache
from eibench.plan import RunSpec, load_plan


def spec(data):
    return RunSpec.parse({"method": "ei", "model": "plain", "data": data})


def options(root):
    return spec({"name": "imagefolder", "root": root}).data


@pytest.fixture
def folders(tmp_path):
    (tmp_path / "suites/images").mkdir(parents=True)
    return tmp_path / "suites"


def test_a_path_from_the_suites_folder(folders):
    assert resolve_paths(options("images"), folders).root == str(folders / "images")
    assert resolve_paths(options("../suites/images"), folders).root != "../suites/images"


def test_a_path_from_here_goes_first(folders):
    Path("images").mkdir()
    assert resolve_paths(options("images"), folders) == options("images")


@pytest.mark.parametrize("root", ["nowhere", "/nowhere", "~/nowhere", "~nobody/x", "a\0b"])
def test_a_path_to_nothing_stays(folders, root):
    assert resolve_paths(options(root), folders) == options(root)


def test_without_a_suite_nothing_changes(folders):
    assert resolve_paths(options("images"), None) == options("images")


def test_the_source_of_events(folders):
    data = {"name": "events_from", "source": {"name": "imagefolder", "root": "images"}}
    resolved = resolve_paths(spec(data).data, folders)
    assert resolved.source.root == str(folders / "images")
    assert list(local_data([spec(data)], folders)) == [folders / "images"]


def test_a_suite_reads_images_beside_it_under_the_identity_of_its_text(project, monkeypatch):
    path = project.suite("suites/s.yaml", base={"data": {"name": "imagefolder", "root": "images"}})
    plan = load_plan(path, [])
    monkeypatch.setattr(
        "eibench.execution.dataset_cache.load_data",
        lambda data, timesteps, test_only=False: StandIn(data.root),
    )
    Path("suites/images").mkdir()
    before = [run.run_id for run in plan.runs]
    data = DatasetCache(torch.device("cpu"), plan.folder).get(plan.runs[0].spec)
    assert data.root == os.path.join("suites", "images")
    assert [run.run_id for run in load_plan(path, []).runs] == before
    assert plan.runs[0].spec.data.root == "images"


class StandIn:
    """A data set that knows its root alone."""

    notes = ()

    def __init__(self, root):
        self.root = root

    def to(self, device):
        return self
