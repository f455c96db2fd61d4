"""The documentation site builds without a warning, and its index leads to every page."""

import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.slow
def test_the_site_builds_strictly(tmp_path):
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", DOCS, tmp_path / "site"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    index = (tmp_path / "site" / "index.html").read_text()
    pages = [path.stem for path in DOCS.glob("*.md") if path.stem != "index"]
    assert [name for name in pages if f'href="{name}.html"' not in index] == []
