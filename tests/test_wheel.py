"""A built wheel is complete: in an empty folder, in an environment without the source tree."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from eibench.plan.find import suite_files

ROOT = Path(__file__).parents[1]
SOURCES = ("eibench", "suites", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
BUILD = """
import sys
from setuptools.build_meta import build_sdist, build_wheel
print(build_wheel(sys.argv[1]) if sys.argv[2] == "wheel" else build_sdist(sys.argv[1]))
"""

pytestmark = pytest.mark.slow


def build(kind, source, out):
    """Build in a copy of the sources, without network; return the file."""
    command = [sys.executable, "-c", BUILD, str(out), kind]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    copy = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, copy / name, ignore=ignored)
        else:
            shutil.copy(path, copy / name)
    return copy


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory):
    """The wheel of a source distribution, as pip builds it."""
    out = tmp_path_factory.mktemp("dist")
    with tarfile.open(build("sdist", sources, out)) as archive:
        archive.extractall(out, filter="data")
    (unpacked,) = (path for path in out.iterdir() if path.is_dir())
    return build("wheel", unpacked, out)


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder that pip installs the wheel into; libraries are those of this interpreter."""
    folder = tmp_path_factory.mktemp("site")
    options = ["--no-deps", "--no-index", "--quiet", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    return folder


@pytest.fixture
def eibench(installed, tmp_path):
    """`eibench("run", ...)`: the installed command in an empty folder."""

    def call(*words):
        found = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(installed / "bin" / "eibench"), *words]
        return subprocess.run(command, capture_output=True, text=True, env=found, check=False)

    return call


def test_a_wheel_has_every_file_of_the_package_and_the_suites(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    listing = ["git", "ls-files", "eibench", "suites"]
    tracked = subprocess.check_output(listing, cwd=ROOT, text=True).split()
    assert names == {
        f"eibench/{name}" if name.startswith("suites/") else name
        for name in tracked
        if (ROOT / name).exists()
    }


def test_an_installed_eibench_in_an_empty_folder(eibench, installed, tmp_path):
    listed = eibench("list", "suites")
    assert (listed.returncode, listed.stderr) == (0, "")
    names = [line.split()[0] for line in listed.stdout.splitlines()]
    assert names == [path.stem for path in suite_files(ROOT / "suites")]

    small = ["--seeds", "0", "--set", "train.epochs=1", "--only", "method=batchnorm"]
    done = eibench("run", "quickstart", *small)
    assert done.returncode == 0, done.stderr
    assert "1 of 1 runs ok" in done.stdout
    assert "Quick start on digits: test accuracy (%)" in done.stdout
    assert next(tmp_path.glob("results/quickstart/*/record.json"))

    copied = eibench("init", "cifar10", "mine")
    assert copied.returncode == 0, copied.stderr
    assert (tmp_path / "suites/mine.yaml").exists()
    assert (tmp_path / "suites/references.yaml").exists()
    assert eibench("plot", "results/quickstart").returncode == 0
    wrong = eibench("run", "quickstrat")
    assert (wrong.returncode, wrong.stderr.splitlines()) == (
        2,
        ["error: quickstrat: no such suite or file; did you mean 'quickstart'?"],
    )
