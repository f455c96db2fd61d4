"""Options of architectures: one value for each layout, and no option without an effect."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eibench.errors import BadSuite
from eibench.limits import LARGEST
from eibench.models.chain import WIDEST, VggOptions
from eibench.models.resnet import ResnetOptions
from eibench.plan import Override
from eibench.plan.layers import single_spec
from eibench.plan.options import MODELS
from eibench.plan.spec import RunSpec
from eibench.plan.validate import Invalid, validate

LAYOUTS = st.lists(st.integers(1, WIDEST) | st.just("P"), min_size=1, max_size=2000).filter(
    lambda items: any(item != "P" for item in items)
)


@given(LAYOUTS, st.sampled_from([" ", "  ", "\t", " \n "]), st.booleans())
def test_a_layout_is_one_value_however_it_is_written(items, gap, small):
    text = " ".join(map(str, items))
    written = gap.join(str(item).lower() if small else str(item) for item in items)
    for value in (items, written, text):
        options = validate(VggOptions, {"layout": value})
        assert options.layout == text
        assert validate(VggOptions, options.model_dump()) == options
    assert hash(options.layout) == hash(text)


def test_both_ways_of_writing_are_one_run():
    values = [
        {"method": "ei", "data": "digits", "model": {"name": "vgg", "layout": layout}}
        for layout in (["64", "P", 128], "64 p 128")
    ]
    first, second = map(RunSpec.parse, values)
    assert first == second
    assert first.run_id == second.run_id
    assert first.run_id.startswith("ei_vgg-layout_64-P-128_digits_s0_")
    assert first.fields()["model.layout"] == "64 P 128"


@pytest.mark.parametrize(
    ("model", "values", "text"),
    [
        ("vgg", {"layout": [64, "Q"]}, "must list widths (1 to 65536) and P for a"),
        ("vgg", {"layout": "64 -3"}, "not '-3'"),
        ("vgg", {"layout": [0, "P"]}, "not 0"),
        ("vgg", {"layout": [True]}, "not True"),
        ("vgg", {"layout": [6.5]}, "not 6.5"),
        ("vgg", {"layout": 1e3}, "not 1000.0"),
        ("vgg", {"layout": [[64, "P"]]}, "not [64, 'P']"),
        ("vgg", {"layout": "²"}, "not '²'"),
        ("vgg", {"layout": LARGEST + 1}, f"not {LARGEST + 1}"),
        ("vgg", {"layout": "9" * 5000}, "must list widths"),
        ("vgg", {"layout": "P P"}, "must have at least one width, such as 64 P 128 P"),
        ("vgg", {"layout": []}, "must have at least one width"),
        ("vgg", {"layout": ""}, "must have at least one width"),
        ("vgg", {"layout": "64", "depth": 11}, "depth (11) has no effect beside layout: 64"),
        ("resnet", {"depth": 20}, "must be 18, 34, 50, 101 or 152, not 20"),
        ("resnet", {"connect": "or"}, "must be 'add', 'and' or 'iand', not 'or'"),
        (
            "resnet",
            {"shortcut": "currents", "connect": "and"},
            "connect (and) joins spikes, and has no effect with shortcut: currents",
        ),
        ("mlp", {"depth": 0}, "must be at least 1, not 0"),
    ],
)  # fmt: skip
def test_what_makes_no_network_is_refused_in_words(model, values, text):
    with pytest.raises(Invalid) as caught:
        validate(MODELS[model], values)
    (problem,) = caught.value.problems
    assert text in problem.text
    assert len(problem.text) < 200


def test_the_default_beside_a_layout_is_no_contradiction():
    assert validate(VggOptions, {"layout": "64", "depth": 8}) == VggOptions(layout="64")


def test_what_adds_currents():
    """A constant of the class for most, a plugin's too; of `resnet` it depends on the shortcut."""
    assert ResnetOptions(shortcut="currents").sums_currents
    assert not ResnetOptions().sums_currents
    others = [cls() for name, cls in MODELS.items() if name != "resnet"]
    assert not any(options.sums_currents for options in others)


def spec(*settings):
    return single_spec([Override.read("--set", text) for text in settings])


def test_a_run_from_the_command_line_alone():
    """Later settings stand over earlier ones, and the rest is default."""
    made = spec("model=vgg", "data=digits", "method=ei", "model.depth=11", "method.ei_ratio=2")
    assert made == RunSpec.parse(
        {
            "model": {"name": "vgg", "depth": 11},
            "data": "digits",
            "method": {"name": "ei", "ei_ratio": 2},
        }
    )
    assert spec("model=vgg", "data=digits", "method=ei", "model.depth=11", "model=plain").model == (
        MODELS["plain"]()
    )


def test_each_problem_names_its_option():
    with pytest.raises(BadSuite) as caught:
        spec("model=vgg", "method=ei", "data=digits", "model.depth=9", "method.kapa=2")
    assert [text.split(": ")[0] for text in caught.value.problems] == [
        "--set method.kapa=2",
        "--set model.depth=9",
    ]
