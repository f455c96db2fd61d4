"""Standard streams that are closed, full, cut off, or of another encoding; never a traceback."""

import os
import subprocess
import sys

import pytest

COMMAND = f"{sys.executable} -m eibench"


def shell(line, **environment):
    """Exit code, output and errors of a shell's line; `{}` in it is eibench."""
    done = subprocess.run(
        ["bash", "-c", f"{line.format(COMMAND)}; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        env={**os.environ, **environment},
    )
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize("verb", ["report", "--version"])
def test_closed_output_is_a_message(verb):
    code, _, error = shell(f"{{}} {verb} >&-")
    assert code == 2
    assert error == ("error: standard output is closed; redirect it to a file or to /dev/null\n")


def test_other_closed_streams_are_no_hindrance():
    code, out, _ = shell("{} list methods <&- 2>&-")
    assert code == 0
    assert "batchnorm" in out
    assert shell("{} list nothing <&- >&- 2>&-") == (2, "", "")


def test_a_full_disk_is_a_message():
    code, _, error = shell("{} list methods >/dev/full")
    assert (code, error) == (2, "error: No space left on device\n")


def test_a_reader_that_goes_is_no_error():
    code, out, error = shell("{} list methods --json | head -c 1")
    assert code in (0, 1)
    assert (out, error) == ("[", "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_signs_that_the_output_does_not_know(encoding):
    code, out, _ = shell("{} show mlp --method batchnorm", PYTHONIOENCODING=encoding)
    assert code == 0
    assert "parameters" in out
