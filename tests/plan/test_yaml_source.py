"""YAML without surprises: parsed values, refusals, and line numbers."""

import json
import math
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from eibench.errors import BadSuite, UserError
from eibench.plan.yaml_source import dump, load, parse


def value(text):
    return parse(f"key: {text}\n", "f.yaml").data["key"]


def problems(text):
    with pytest.raises(BadSuite) as caught:
        parse(text, "f.yaml")
    return caught.value.problems


# ------------------------------------------------------------------------------ scalars


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("-1.5e+2", -150.0),
        (".5", 0.5),
        ("+.5", 0.5),
        ("5.", 5.0),
        ("0.1", 0.1),
        ("1e999", math.inf),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
    ],
)
def test_floats(text, number):
    assert value(text) == number
    assert type(value(text)) is float


@pytest.mark.parametrize(
    ("text", "number"), [("12", 12), ("-7", -7), ("+3", 3), ("0", 0), ("010", 10), ("08", 8)]
)
def test_whole_numbers(text, number):
    """No octal: a leading zero changes nothing."""
    assert value(text) == number
    assert type(value(text)) is int


def test_nan():
    assert math.isnan(value(".nan"))


@pytest.mark.parametrize(
    "text",
    [
        *("no", "yes", "on", "off", "y", "n", "No", "YES", "True", "FALSE", "Null"),
        *("10:30", "190:20:30", "2024-01-31", "2024-01-31 10:00:00"),
        *("0x1F", "0o17", "0b1", "1_000", "1.5.2", "e5", ".", "+", "1e", "٣", "²", "<<", "="),
    ],
)
def test_text_stays_text(text):
    assert value(text) == text


@pytest.mark.parametrize("word", ["true", "1", "1e-3", "null", "~", "", ".inf", "- a", "a: b"])
@pytest.mark.parametrize("quote", ["'", '"'])
def test_quoted_text_stays_text(word, quote):
    assert value(quote + word + quote) == word


@pytest.mark.parametrize("style", ["|", ">", "|-", ">-"])
def test_block_text_stays_text(style):
    assert parse(f"key: {style}\n  12\n", "f.yaml").data["key"].strip() == "12"


def test_booleans_and_nothing():
    assert value("[true, false, null, ~]") == [True, False, None, None]
    assert value("") is None


def test_keys_are_text():
    text = "1: a\ntrue: b\n1.5: c\n~: d\nno: e\n2024-01-31: f\n"
    assert list(parse(text, "f.yaml").data) == ["1", "true", "1.5", "~", "no", "2024-01-31"]


def test_no_merging_of_mappings():
    assert value("{<<: {a: 1}, b: 2}") == {"<<": {"a": 1}, "b": 2}


@pytest.mark.parametrize("digits", [4301, 5000])
def test_a_number_too_long_for_python_stays_text(digits):
    """Python refuses to read more than 4300 digits; infinity it is not."""
    assert value("9" * digits) == "9" * digits


# ----------------------------------------------------------------------------- refusals


def test_a_key_that_stands_twice_is_shown_with_both_lines():
    text = "# runs\na: 1\nb:\n  c: 1\n  d: 2\n\n  c: 3\n"
    assert problems(text) == ["f.yaml:7: c: duplicate key (first on line 4)"]


def test_every_repeated_key_is_reported():
    found = problems("a: 1\na: 2\nb: {c: 1, c: 2}\na: 3\n")
    assert [re.sub(r": .*", "", line.removeprefix("f.yaml:")) for line in found] == ["2", "3", "4"]


def test_the_same_key_under_different_parents_is_fine():
    assert parse("a: {x: 1}\nb: {x: 2}\n", "f").data == {"a": {"x": 1}, "b": {"x": 2}}


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a: 1\nb: &anchor 2\n", 2, "anchors and aliases"),
        ("a: 1\n\nb: *anchor\n", 3, "anchors and aliases"),
        ("a: 1\nb: &all [1]\nc: *all\n", 2, "anchors and aliases"),
        ("&top a: 1\n", 1, "anchors and aliases"),
        ("a: !!str 1\n", 1, "tags such as tag:yaml.org,2002:str"),
        ("a: 1\nb: !mine {c: 1}\n", 2, "tags such as !mine"),
        ("a: !!python/object/apply:os.getcwd []\n", 1, "tags such as"),
        ("a: 1\n---\nb: 2\n", 2, "another document"),
        ("a: 1\n? [b, c]\n: 2\n", 2, "a key must be text"),
        ("a: 1\n\tb: 2\n", 2, "not valid YAML"),
        ("a:\n  b: 1\n\tc: 2\n", 3, "not valid YAML"),
        ("a: b: c\n", 1, "not valid YAML"),
        ("a: [1, 2\nb: 3\n", 2, "not valid YAML"),
        ("a: 'open\n", 2, "not valid YAML"),
        ("a: @b\n", 1, "not valid YAML"),
    ],
)
def test_refused(text, line, word):
    (problem,) = problems(text)
    assert problem.startswith(f"f.yaml:{line}: ")
    assert word in problem


def test_control_characters():
    assert "special characters are not allowed" in problems("a: \x00b\n")[0]


@pytest.mark.parametrize("escape", [r"\UFFFFFFFF", r"\U00110000"])
def test_an_escape_beyond_unicode_is_no_traceback(escape):
    assert "f.yaml" in problems(f'a: "{escape}"\n')[0]


@pytest.mark.parametrize("directive", ["%YAML 2.0", "%YAML x", "%YAML " + "9" * 5000 + ".1"])
def test_a_bad_directive_is_no_traceback(directive):
    assert "f.yaml" in problems(f"{directive}\n---\na: 1\n")[0]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_bottomless_nesting_is_refused(opening):
    closing = {"[": "]", "{a: ": "}", "- ": "x"}[opening]
    depth = 1000
    text = opening * depth + closing * (depth if closing != "x" else 1)
    assert "nested too deeply" in problems(text)[0]


# -------------------------------------------------------------------------------- lines


def test_lines():
    text = "# a comment\na: 1\n\nb:\n  - x\n  - {y: 1,\n     z: 2}\nc: {d:\n  3}\n"
    document = parse(text, "f.yaml")
    lines = {
        ("a",): 2,
        ("b",): 4,
        ("b", 0): 5,
        ("b", 1): 6,
        ("b", 1, "y"): 6,
        ("b", 1, "z"): 7,
        ("c",): 8,
        ("c", "d"): 8,
    }
    assert {keys: document.line(keys) for keys in lines} == lines


def test_the_line_of_what_is_absent_is_that_of_its_holder():
    document = parse("a: 1\nb:\n  c: [1]\n", "f.yaml")
    assert document.line(("b", "missing", 3)) == 2
    assert document.line(("b", "c", 7)) == 3
    assert document.place(("b", "missing")) == "f.yaml:2"


def test_an_empty_document_has_no_lines():
    document = parse("", "f.yaml")
    assert (document.data, document.line(("a",)), document.place(("a",))) == (None, None, "f.yaml")


# --------------------------------------------------------------------------------- files


def test_line_ends_and_byte_order_mark_of_windows():
    Path("f.yaml").write_bytes("\ufeffa: 1\r\nb: [1,\r\n 2]\r\n".encode())
    document = load(Path("f.yaml"))
    assert document.data == {"a": 1, "b": [1, 2]}
    assert document.line(("b", 1)) == 3


@pytest.mark.parametrize("content", [b"a: \xff\xfe", "a: é".encode("latin-1"), b"\x80"])
def test_another_encoding_than_utf8(content):
    Path("f.yaml").write_bytes(content)
    with pytest.raises(UserError, match=r"^f\.yaml: cannot be read: it is not UTF-8 text$"):
        load(Path("f.yaml"))


def test_missing_file_names_the_nearest():
    Path("depth_scaling.yaml").touch()
    Path("other.yml").touch()
    with pytest.raises(UserError) as caught:
        load(Path("depth_scalling.yaml"))
    expected = "depth_scalling.yaml: no such file; did you mean 'depth_scaling.yaml'?"
    assert str(caught.value) == expected


def test_missing_file_in_a_missing_folder():
    with pytest.raises(UserError, match=r"^nowhere/f\.yaml: no such file$"):
        load(Path("nowhere/f.yaml"))


def test_directory_instead_of_a_file():
    Path("f.yaml").mkdir()
    with pytest.raises(UserError, match=r"^f\.yaml: cannot be read: Is a directory$"):
        load(Path("f.yaml"))


# ---------------------------------------------------------------------------- properties

FINITE = st.floats(allow_nan=False, allow_infinity=False)
PRINTABLE = st.characters(
    exclude_categories=["Cs", "Zl", "Zp"],
    exclude_characters=[*map(chr, range(0x7F, 0xA0)), "\ufeff", "\ufffe", "\uffff"],
)
TEXT = st.text(PRINTABLE, max_size=20)


def nested(text):
    leaves = st.none() | st.booleans() | st.integers() | FINITE | text
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
        max_leaves=12,
    )


def reads_as_number(text):
    """YAML 1.2 reads `1e3` and `08` as numbers; YAML 1.1, which PyYAML writes, does not."""
    try:
        float(text)
    except ValueError:
        return False
    return True


@given(nested(TEXT))
def test_json_is_read_back_equal(data):
    """JSON is YAML 1.2, and quotes every text."""
    assert parse(json.dumps(data, ensure_ascii=False), "f").data == data


@given(nested(st.text(max_size=20).filter(lambda text: not reads_as_number(text))))
@example({"no": ["on", "10:30", "2024-01-31", "~", "null", "", " ", "a: b", "# c", "\n"]})
@example([1e16, 1e-7, -0.0, math.inf, 10**30])
def test_what_pyyaml_writes_is_read_back_equal(data):
    assert parse(yaml.safe_dump(data), "f").data == data


@given(nested(st.text(max_size=20) | st.text("0123456789.eE+-", min_size=1, max_size=8)))
@example({"1e3": ["1e3", "08", ".5", "True", "no", "~", ".inf"]})
def test_what_we_write_is_read_back_equal(data):
    assert parse(dump(data), "f").data == data


@given(st.text("0123456789.eE+-", min_size=1, max_size=8))
def test_texts_that_look_like_numbers(text):
    """Plain, they are what YAML 1.2 says; quoted, they are text."""
    quoted = parse(json.dumps([text]), "f").data
    assert quoted == [text]
    plain = re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", text)
    if plain:
        (read,) = parse(f"[{text}]", "f").data
        assert read == (int(text) if text.lstrip("+-").isdigit() else float(text))


YAMLISH = st.text(
    st.sampled_from([*" \n\t-:?[]{}&*!|>'\"%@`#,=<~.\\", *"0129aeUxun", "\x00", "\x85", "\ud800"]),
    max_size=30,
)


def parses_or_is_refused(text):
    try:
        parse(text, "f.yaml")
        message = "f.yaml"
    except UserError as error:
        message = str(error)
    assert message.startswith("f.yaml")


@given(YAMLISH)
def test_no_text_makes_a_traceback(text):
    parses_or_is_refused(text)


@given(st.text(max_size=40))
def test_no_unicode_makes_a_traceback(text):
    parses_or_is_refused(text)


SUITE = """name: x   # why
base: {method: ei, train: {lr: 1e-3, schedule: "cosine"}}
grid:
  method: [ei, {name: batchnorm, stats: per_step}]
seeds: [0, 1]
"""


@given(st.integers(0, len(SUITE)), st.integers(0, 6), YAMLISH)
def test_no_slip_of_the_pen_makes_a_traceback(start, removed, inserted):
    parses_or_is_refused(SUITE[:start] + inserted + SUITE[start + removed :])
