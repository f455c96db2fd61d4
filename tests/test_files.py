"""Reading files from elsewhere: only regular files of bounded size; messages are printable."""

import os
import pickle
from pathlib import Path

import pytest

from eibench.errors import BadSuite, UserError, printable, shorten
from eibench.files import check_path, read_bytes, read_text


def refusal(call, *arguments, **options):
    with pytest.raises(UserError) as caught:
        call(*arguments, **options)
    return str(caught.value)


def test_content_and_text():
    Path("f").write_bytes("\u00e9\r\nb\rc\n".encode())
    assert read_bytes(Path("f")) == b"\xc3\xa9\r\nb\rc\n"
    assert read_text(Path("f")) == "\u00e9\nb\nc\n"


def test_a_missing_file_is_no_other_problem():
    with pytest.raises(FileNotFoundError):
        read_bytes(Path("nowhere"))


@pytest.mark.parametrize("kind", ["device", "fifo", "folder"])
def test_neither_waits_nor_reads_for_ever(kind):
    path = Path("/dev/zero" if kind == "device" else "f")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    word = "Is a directory" if kind == "folder" else "it is not a regular file"
    before = len(os.listdir("/proc/self/fd"))
    assert refusal(read_bytes, path) == f"{path}: cannot be read: {word}"
    assert len(os.listdir("/proc/self/fd")) == before


def test_size_has_a_limit():
    Path("f").write_bytes(b"x" * 101)
    assert len(read_bytes(Path("f"), 101)) == 101
    assert refusal(read_bytes, Path("f"), 100) == "f: cannot be read: it is larger than 100 bytes"
    with Path("f").open("wb") as file:
        file.truncate(2**40)
    assert refusal(read_text, Path("f")) == "f: cannot be read: it is larger than 64 MiB"


def test_links_are_followed_unless_the_caller_says_no():
    Path("f").write_text("a")
    Path("link").symlink_to("f")
    assert read_text(Path("link")) == "a"
    assert "links are not followed" in refusal(read_text, Path("link"), follow_links=False)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "a" * 300, "a/" * 5000])
@pytest.mark.parametrize("call", [read_bytes, read_text, check_path])
def test_names_that_no_file_can_have(call, name):
    text = refusal(call, Path(name))
    assert text.isprintable()
    assert len(text) <= 2000


@pytest.mark.parametrize("name", ["f", "nowhere/f", "f/g", "/dev/zero"])
def test_names_that_a_file_can_have(name):
    Path("f").touch()
    assert check_path(Path(name)) == Path(name)


# ----------------------------------------------------------------------------- messages


def test_a_message_is_printable_and_bounded():
    error = UserError("a\x1b[31m\u202eb\n" + "x" * 10**7)
    first, second = str(error).split("\n")
    assert first == "a\\x1b[31m\\u202eb"
    assert len(second) == 2000
    assert " ... " in second


def test_so_is_the_number_of_problems():
    lines = str(BadSuite(str(i) for i in range(1000))).split("\n")
    assert lines[:2] == ["0", "1"]
    assert lines[50:] == ["... and 950 more"]


def test_problems_survive_a_change_of_process():
    assert pickle.loads(pickle.dumps(BadSuite(["a", "b"]))).problems == ["a", "b"]


def test_printable_text_is_left_alone():
    assert printable("Größe 3 ½ δ 数") == "Größe 3 ½ δ 数"
    assert shorten("abc", 3) == "abc"
