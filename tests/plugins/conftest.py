"""A working plugin, which tests modify to break it."""

import re
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"


def files_of_the_tutorial() -> dict[str, str]:
    """The code blocks that stand below a file's name."""
    found = re.findall(
        r"`(\w+\.\w+)`[^\n`]*(?:\n[^\n`]+)?:\n\n```(?:python)\n(.*?)```", TUTORIAL.read_text(), re.S
    )
    suite = re.search(r"`(mine\.yaml)`.*?```yaml\n(.*?)```", TUTORIAL.read_text(), re.S)
    assert suite
    return {**dict(found), suite[1]: suite[2]}


@pytest.fixture
def tutorial(project) -> dict[str, str]:
    """The tutorial's files, written to the working directory."""
    files = files_of_the_tutorial()
    for name, text in files.items():
        project.write(text, name)
    return files


@pytest.fixture
def broken(project, tutorial):
    """`broken("my_norm.py", old, new, ...)`: a copy of a tutorial's file with something changed."""

    def write(file: str, *changes: str, to: str = "broken.py") -> Path:
        text = tutorial[file]
        for old, new in zip(changes[::2], changes[1::2], strict=True):
            assert old in text
            text = text.replace(old, new)
        return project.write(text, to)

    return write
