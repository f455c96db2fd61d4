"""Version control in records: commits of eibench's code, the suite, its plugins and data."""

import os
import subprocess

import pytest

from eibench.execution import environment
from eibench.execution.environment import suite_source
from eibench.plan import load_plan


@pytest.fixture
def clean(monkeypatch):
    """eibench's own code is as committed."""
    monkeypatch.setattr(environment, "source_commit", lambda: {"commit": "0" * 40, "dirty": False})


@pytest.fixture
def commit(tmp_path):
    def git(*words):
        author = ["-c", "user.name=me", "-c", "user.email=me@here"]
        subprocess.run(["git", "-C", tmp_path, *author, *words], check=True, capture_output=True)

    def call():
        git("add", "-A")
        git("commit", "-q", "-m", "all")

    git("init", "-q")
    return call


@pytest.mark.parametrize("changed", ["tiny.yaml", "own.py", "data"])
def test_each_file_of_a_suite_counts(clean, commit, tmp_path, changed):
    for name in ("tiny.yaml", "own.py", "data/train/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as committed\n")
    (tmp_path / ".gitignore").write_text("results\n")
    commit()
    files = [tmp_path / name for name in ("tiny.yaml", "own.py", "data")]
    assert suite_source("tiny", files).state == {"dirty": False}
    target = tmp_path / changed
    (target / "train" / "b.png" if target.is_dir() else target).write_text("another\n")
    assert suite_source("tiny", files).state == {"dirty": True, "changed": [changed]}
    commit()
    assert suite_source("tiny", files).state == {"dirty": False}


def test_a_file_that_was_never_committed(clean, commit, tmp_path):
    (tmp_path / "tiny.yaml").write_text("x\n")
    assert suite_source("tiny", [tmp_path / "tiny.yaml"]).state["dirty"] is True


def test_files_without_a_repository_have_no_commit_to_differ_from(clean, tmp_path):
    (tmp_path / "tiny.yaml").write_text("x\n")
    files = [tmp_path / "tiny.yaml", tmp_path / "absent"]
    assert suite_source("tiny", files).state == {"dirty": False}


def test_ignored_files_are_passed_over(clean, commit, tmp_path):
    (tmp_path / ".gitignore").write_text("data\n")
    commit()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.png").write_text("x")
    assert suite_source("tiny", [tmp_path / "data"]).state == {"dirty": False}


@pytest.mark.parametrize("setting", ["core.fsmonitor", "filter.x.clean", "core.hooksPath"])
def test_a_repository_of_a_stranger_runs_nothing(clean, tmp_path, setting):
    """Unpacked with its `.git`, a folder of images would name commands for git to run."""
    folder, ran = tmp_path / "images", tmp_path / "ran"
    hook = tmp_path / "post-index-change"
    hook.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    hook.chmod(0o755)
    folder.mkdir()
    git = ["git", "-C", str(folder), "-c", "user.name=me", "-c", "user.email=me@here"]
    subprocess.run([*git, "init", "-q"], check=True)
    (folder / "a.png").write_text("as committed\n")
    (folder / ".gitattributes").write_text("*.png filter=x\n")
    subprocess.run([*git, "add", "-A"], check=True, capture_output=True)
    subprocess.run([*git, "commit", "-q", "-m", "all"], check=True, capture_output=True)
    value = hook.parent if setting == "core.hooksPath" else hook
    subprocess.run([*git, "config", setting, str(value)], check=True)
    (folder / "a.png").write_text("is committed\n")
    subprocess.run([*git, "status"], check=True, capture_output=True)
    assert ran.exists()  # git itself would
    ran.unlink()
    assert suite_source("tiny", [folder]).state == {"dirty": False}
    assert not ran.exists()


def test_hooks_do_not_run(clean, commit, tmp_path):
    """`git status` writes the index anew, after which a hook would run."""
    hook, ran = tmp_path / ".git" / "hooks" / "post-index-change", tmp_path / "ran"
    (tmp_path / ".gitignore").write_text("ran\n")
    path = tmp_path / "tiny.yaml"
    path.write_text("x\n")
    commit()
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    os.utime(path, (1, 1))
    assert suite_source("tiny", [path]).state == {"dirty": False}
    assert not ran.exists()
    subprocess.run(["git", "-C", str(tmp_path), "status"], check=True, capture_output=True)
    assert ran.exists()  # git itself would


def test_an_installed_package_and_no_repository(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "source_commit", lambda: {"commit": None, "dirty": None})
    assert suite_source("tiny", [tmp_path]).state == {"dirty": None}


def test_a_plan_knows_its_files(project):
    project.write("references: []\n", "published.yaml")
    path = project.suite()
    assert load_plan(path, []).files == (path,)


def test_a_run_says_so(cli, project, commit, clean):
    path = project.suite(grid={})
    project.write("results\n", ".gitignore")
    commit()
    cli("run", path, "--results", "results/clean")
    path.write_text(path.read_text() + "# a remark\n")
    cli("run", path, "--results", "results/dirty")
    states = [
        record["environment"]
        for name in ("clean", "dirty")
        for record in project.records(f"{name}/tiny").values()
    ]
    assert [state["dirty"] for state in states] == [False, True]
    assert states[1]["changed"] == ["tiny.yaml"]
