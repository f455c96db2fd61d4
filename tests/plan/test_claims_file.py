"""`claims.yaml` read: every problem in one message with file, line, key and what is allowed."""

from pathlib import Path

import pytest

from eibench.errors import BadSuite, UserError
from eibench.plan.claims import BLANKS, fill, read_claims, select_claims

CLAIM = """\
claims:
- id: deep
  text: "{difference} ({low} to {high})"
  suite: depth_scaling
  cells:
    deep: {method: ei, model.depth: 16}
  control: {method: batchnorm}
  relation: below
  bound: 0
"""


def read(text):
    Path("claims.yaml").write_text(text, encoding="utf-8")
    return read_claims(Path("claims.yaml"))


def problem(text):
    with pytest.raises(BadSuite) as caught:
        read(text)
    (found,) = caught.value.problems
    return found


def test_a_claim_has_the_values_of_its_keys():
    (located,) = read(CLAIM)
    claim = located.claim
    assert (claim.id, claim.suite, claim.compare) == ("deep", "depth_scaling", "difference")
    assert claim.cells == {"deep": {"method": "ei", "model.depth": 16}}
    assert (claim.control, claim.n, claim.metric) == ({"method": "batchnorm"}, 3, None)
    assert located.origin.message("x") == "claims.yaml:2: claims[0]: x"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  bound: 0", "  bounds: 0", "claims.yaml:9: claims[0].bounds: unknown key; allowed here"),
        ("below", "belov", "8: claims[0].relation: must be 'below', 'above', 'within' or 'any'"),
        ("below", "belov", "did you mean 'below'?"),
        ("  relation: below\n", "", "2: claims[0].relation: is missing"),
        ("bound: 0", "bound: low", "9: claims[0].bound: must be a number, not 'low'"),
        ("bound: 0", "bound: .nan", "9: claims[0].bound: must be finite"),
        ("below", "within", "2: claims[0].margin: is missing; `relation: within` needs it"),
        ("bound: 0", "margin: 1", "9: claims[0].margin: does not belong to `relation: below`"),
        ("below", "any", "9: claims[0].bound: does not belong to `relation: any`"),
        (
            "control: {method: batchnorm}",
            "control: {method: ei}",
            "7: claims[0].control: changes nothing of the cell",
        ),
        ("  control: {method: batchnorm}\n", "", "2: claims[0].control: is missing"),
        ("  suite: depth_scaling\n", "", "2: claims[0].suite: is missing; `compare: difference`"),
        ("suite: depth_scaling", "suite: a/b", "4: claims[0].suite: must be letters, digits"),
        ("bound: 0", "profile: vgg8", "9: claims[0].profile: does not belong to"),
        ("bound: 0", "compare: mean", "7: claims[0].control: does not belong to `compare: mean`"),
        ("bound: 0", "compare: ratio", "2: claims[0].bound: is missing; `relation: below` of a"),
        ("deep: {", "Deep one: {", "a cell's name is a small letter"),
        ("model.depth: 16", "model: {depth: 16}", "must be text, a number, true, false or null"),
        ("model.depth: 16", "model.depth: .inf", "must be finite, not inf"),
        ("{difference}", "{diference}", "3: claims[0].text: {diference}: no such number of"),
        ("{difference}", "{diference}", "did you mean 'difference'?"),
        ("{difference}", "{dep.mean}", "no such cell; allowed: deep; did you mean 'deep'?"),
        ("{difference}", "{ratio}", "{ratio}: no such number of `compare: difference`; allowed: "),
        ("{difference}", "{mean:.2f}", "{mean:.2f}: a blank holds a name alone, such as {mean}"),
        ("{difference}", "{mean.__class__}", "{mean.__class__}: no such cell"),
        ("{difference}", "{0}", "{0}: no such number"),
        ("{difference}", "{}", "{}: a blank holds a name alone"),
        ("{difference}", "{{mean}}", "has a brace that belongs to no blank"),
        ("{difference}", "mean}", "has a brace that belongs to no blank"),
    ],
)
def test_bad_input_is_named(old, new, message):
    assert old in CLAIM
    with pytest.raises(BadSuite) as caught:
        read(CLAIM.replace(old, new))
    assert message in caught.value.problems[0]


def test_several_cells_are_named_in_the_text():
    text = CLAIM.replace("  control", "    flat: {method: ei, model.depth: 4}\n  control")
    with pytest.raises(BadSuite) as caught:
        read(text)
    assert len(caught.value.problems) == 3
    assert "{low}: name the cell, as in {deep.mean}" in caught.value.problems[1]
    named = text.replace("{low}", "{flat.low}").replace("{high}", "{flat.high}")
    (located,) = read(named.replace("{difference}", "{deep.difference}"))
    assert fill(located.claim, ".".join) == "deep.difference (flat.low to flat.high)"


def test_a_blank_of_the_only_cell_needs_no_name():
    (located,) = read(CLAIM.replace("{low}", "{deep.low}"))
    assert fill(located.claim, ".".join) == "deep.difference (deep.low to deep.high)"


@pytest.mark.parametrize(
    ("group", "names"),
    [("a", ["a"]), ("[a, b]", ["a", "b"]), ("[]", []), ("null", [])],
)
def test_a_claim_may_have_several_groups(group, names):
    (located,) = read(f"{CLAIM}  group: {group}\n")
    assert located.claim.group == names
    assert not read(CLAIM)[0].claim.group


def test_a_group_is_a_name():
    said = problem(f"{CLAIM}  group: [a, b/c]\n")
    assert said.startswith("claims.yaml:10: claims[0].group[1]: must be letters, digits")
    assert "claims[0].group: must be a list, not 3" in problem(f"{CLAIM}  group: 3\n")


def test_an_id_is_unique():
    text = CLAIM + CLAIM.removeprefix("claims:\n")
    assert problem(text) == "claims.yaml:10: claims[1].id: another claim has this id"


def test_a_profile_has_methods_and_its_own_metrics():
    text = CLAIM.replace("suite: depth_scaling", "profile: vgg8\n  compare: profile_ratio")
    text = text.replace("{difference} ({low} to {high})", "{ratio}").replace(
        ", model.depth: 16", ""
    )
    assert read(text)[0].claim.subject == "vgg8"
    said = problem(text + "  metric: step_tim\n")
    assert "no number of a profile; allowed: step_time, peak_memory; did you mean 'step" in said
    said = problem(text.replace("{method: ei}", "{methods: ei}"))
    assert "claims[0].cells.deep.methods: unknown key; allowed here: method" in said


@pytest.mark.parametrize("bound", [-0.1, 1.01, 60])
def test_a_share_is_bounded_from_0_to_1(bound):
    text = CLAIM.replace("  control: {method: batchnorm}\n", "  compare: share_trained\n")
    text = text.replace("{difference} ({low} to {high})", "{share}")
    assert read(text)
    assert "must be a share from 0 to 1" in problem(text.replace("bound: 0", f"bound: {bound}"))


def test_every_comparison_has_its_number_as_a_blank():
    for compare, names in BLANKS.items():
        number = {"share_trained": "share", "profile_ratio": "ratio"}.get(compare, compare)
        assert number in names


@pytest.mark.parametrize(
    ("relation", "region", "words"),
    [
        ("relation: below\n  bound: 2", (float("-inf"), 2), "below 2"),
        ("relation: above\n  bound: 2", (2, float("inf")), "above 2"),
        ("relation: within\n  margin: 0.5", (-0.5, 0.5), "within 0 ± 0.5"),
        ("relation: within\n  bound: 1\n  margin: 0.5", (0.5, 1.5), "within 1 ± 0.5"),
    ],
)
def test_a_relation_is_a_region(relation, region, words):
    (located,) = read(CLAIM.replace("relation: below\n  bound: 0", relation))
    assert located.claim.region == region
    assert located.claim.relation_words == words


def test_a_missing_file_names_its_neighbour():
    Path("claim.yaml").write_text(CLAIM)
    with pytest.raises(UserError, match=r"claims.yaml: no such file; did you mean 'claim.yaml'\?"):
        read_claims(Path("claims.yaml"))


def test_claims_are_selected_by_suite():
    text = CLAIM + CLAIM.removeprefix("claims:\n").replace("id: deep", "id: other").replace(
        "suite: depth_scaling", "suite: relays"
    )
    claims = read(text)
    assert [c.claim.id for c in select_claims(claims, [])] == ["deep", "other"]
    assert [c.claim.id for c in select_claims(claims, ["relays"])] == ["other"]
    assert select_claims(claims, ["ei_ratio"], ["ei_ratio"]) == ()
    with pytest.raises(UserError, match=r"relais: no claim about this suite.*mean 'relays'\?"):
        select_claims(claims, ["relays", "relais"])
