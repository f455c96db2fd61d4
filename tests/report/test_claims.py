"""Claims decided by results that were made by hand."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eibench.cli import app
from eibench.errors import BadSuite, UserError
from eibench.plan.claims import read_claims
from eibench.report.model.claim_results import FAIL, MISSING, PASS, UNDECIDED, agreement
from eibench.report.model.claims import ClaimEvidence
from eibench.report.model.layers import make_pivots
from tests.report.conftest import FakeSuite

TEXTS = {
    "difference": "{difference} [{low}, {high}]: {mean} ± {std}, {control_mean} ± {control_std}",
    "ratio": "{ratio} [{low}, {high}]",
    "mean": "{mean} [{low}, {high}], n = {n}",
    "share_trained": "{share} train",
    "profile_ratio": "{ratio} times",
}
WORK = Path("results")
KNOWN = {"test_images": 360, "classes": 10}
"""Of such test sets 99.9 % of guesses are right in at most 15.3 %."""


def write(*claims, **values):
    """Write a file of claims; without any, one of the values."""
    claims = claims or [values]
    Path("claims.yaml").write_text(json.dumps({"claims": [complete(**c) for c in claims]}))
    return read_claims(Path("claims.yaml"))


def complete(compare="difference", **values):
    """A claim about `ei` at depth 4 beside batch norm, with what is not given filled in."""
    known = {"id": "claim", "text": TEXTS[compare], "compare": compare, "suite": "depth_scaling"}
    known |= {"cells": {"cell": {"method": "ei"}}, "relation": "any", "n": 3}
    if compare in ("difference", "ratio", "profile_ratio"):
        known["control"] = {"method": "batchnorm"}
    return {**known, **values}


def decide(folder=WORK, **values):
    (result,) = ClaimEvidence([folder]).decide(write(**values))
    return result


@pytest.fixture
def fake(tmp_path):
    """An empty suite `depth_scaling` in `results`."""
    return FakeSuite(tmp_path / "results")


@pytest.fixture
def pair(fake):
    """`ei` with mean 90, deviation 1, n = 3; batch norm with mean 94, deviation 2, n = 3."""
    fake.seeds([89.0, 90.0, 91.0], "ei")
    fake.seeds([92.0, 94.0, 96.0], "batchnorm")
    return fake


# Welch: v = 1/3 and 4/3; se = sqrt(5/3); freedom (5/3)² / ((1/9 + 16/9) / 2) = 50/17; t(0.975) =
# 3.2193 there, so the interval is -4 ± 4.156.
DIFFERENCE = "-4.0 [-8.2, +0.2]: 90.0 ± 1.0, 94.0 ± 2.0"


@pytest.mark.parametrize(
    ("relation", "status"),
    [
        ({"relation": "below"}, UNDECIDED),
        ({"relation": "below", "bound": 0.2}, PASS),
        ({"relation": "below", "bound": -8.2}, FAIL),
        ({"relation": "above", "bound": -8.2}, PASS),
        ({"relation": "above", "bound": -8.1}, UNDECIDED),
        ({"relation": "above", "bound": 0.2}, FAIL),
        ({"relation": "within", "margin": 8.2}, PASS),
        ({"relation": "within", "margin": 8.1}, UNDECIDED),
        ({"relation": "within", "bound": 10, "margin": 9.8}, FAIL),
        ({"relation": "within", "bound": -4, "margin": 4.2}, PASS),
        ({"relation": "any"}, PASS),
        ({"relation": "any", "n": 4}, UNDECIDED),
    ],
)
def test_a_difference_is_decided_by_its_interval(pair, relation, status):
    result = decide(**relation)
    assert (result.status, result.sentence) == (status, DIFFERENCE)
    assert (result.reasons == []) == (status == PASS)


def test_a_reason_has_the_interval_and_the_claim(pair):
    assert decide(relation="below").reasons == [
        "difference -4.0 [-8.2, +0.2], and the claim is below 0"
    ]
    assert decide(n=4).reasons == ["n = 3, and the claim needs 4"]


@pytest.mark.parametrize(
    ("relation", "status"),
    [
        ({"relation": "above", "bound": 87.5}, PASS),
        ({"relation": "above", "bound": 88}, UNDECIDED),
        ({"relation": "above", "bound": 92.5}, FAIL),
        ({"relation": "below", "bound": 92.5}, PASS),
        ({"relation": "within", "bound": 90, "margin": 2.5}, PASS),
        ({"relation": "within", "bound": 90, "margin": 2.4}, UNDECIDED),
        ({"relation": "within", "bound": 80, "margin": 7.5}, FAIL),
    ],
)
def test_a_mean_is_decided_by_its_interval(pair, relation, status):
    """90 ± t(0.975, 2) 1/sqrt(3) = 90 ± 4.3027 / 1.7321 = 90 ± 2.484."""
    result = decide(compare="mean", **relation)
    assert (result.status, result.sentence) == (status, "90.0 [87.5, 92.5], n = 3")


@pytest.mark.parametrize(
    ("relation", "status"),
    [
        ({"relation": "below", "bound": 1.01}, PASS),
        ({"relation": "below", "bound": 1}, UNDECIDED),
        ({"relation": "below", "bound": 0.9}, FAIL),
        ({"relation": "above", "bound": 0.9}, PASS),
        ({"relation": "within", "bound": 1, "margin": 0.1}, PASS),
        ({"relation": "within", "bound": 1, "margin": 0.05}, UNDECIDED),
        ({"relation": "within", "bound": 2, "margin": 0.5}, FAIL),
    ],
)
def test_a_ratio_is_decided_by_its_interval(pair, relation, status):
    result = decide(compare="ratio", **relation)
    assert (result.status, result.sentence) == (status, "0.96 [0.92, 1.00]")


@pytest.mark.parametrize(
    ("relation", "status"),
    [
        ({"relation": "below", "bound": 0.4}, PASS),
        ({"relation": "below", "bound": 0.39}, FAIL),
        ({"relation": "above", "bound": 0.4}, PASS),
        ({"relation": "above", "bound": 0.5}, FAIL),
        ({"relation": "within", "bound": 0.5, "margin": 0.1}, PASS),
        ({"relation": "any"}, PASS),
        ({"relation": "any", "n": 6}, UNDECIDED),
    ],
)
def test_a_share_counts_diverged_runs_as_untrained(fake, relation, status):
    fake.seeds([98.0, 10.0, 97.0, 15.0], "ei", result=KNOWN)
    fake.fail("diverged", "loss is nan", "ei", 4, 4)
    result = decide(compare="share_trained", **relation)
    assert (result.status, result.sentence) == (status, "2 of 5 train")


def test_a_share_waits_for_all_runs(fake):
    fake.seeds([98.0, 97.0, 96.0], "ei", result=KNOWN)
    fake.plan("ei", 4, 3)
    result = decide(compare="share_trained", relation="above", bound=0.5)
    assert (result.status, result.reasons) == (UNDECIDED, ["1 of 4 runs have not ended"])


def test_older_records_do_not_tell_what_trains(fake):
    fake.seeds([98.0, 97.0, 96.0], "ei")
    result = decide(compare="share_trained", relation="above", bound=0.5)
    assert (result.status, result.sentence) == (UNDECIDED, "? train")
    assert "do not tell how many test images" in result.reasons[0]


@pytest.mark.parametrize("compare", ["difference", "mean", "ratio"])
def test_a_mean_beside_failed_runs_decides_nothing(pair, compare):
    pair.fail("diverged", "loss is nan", "ei", 4, 3)
    result = decide(compare=compare, relation="above", bound=-1000)
    assert result.status == UNDECIDED
    assert "1 of 4 runs have no number (diverged (1))" in result.reasons[0]


def test_failed_controls_are_named_so(pair):
    pair.fail("out_of_memory", "no room", "batchnorm", 4, 3)
    (reason,) = decide(relation="below").reasons
    assert reason.startswith("control: 1 of 4 runs have no number (out of memory (1))")


def test_all_runs_failed(fake):
    for seed in range(3):
        fake.fail("diverged", "loss is nan", "ei", 4, seed)
    result = decide(compare="mean")
    assert (result.status, result.reasons) == (UNDECIDED, ["diverged (3)"])
    assert result.sentence == "? [?, ?], n = 0"


def test_runs_that_have_not_ended_are_missing(fake):
    for seed in range(3):
        fake.plan("ei", 4, seed)
    result = decide(compare="mean")
    assert (result.status, result.reasons) == (MISSING, ["no run has ended: missing (3)"])


def test_cells_that_no_run_has_are_missing(pair):
    result = decide(cells={"cell": {"method": "tdbn"}})
    assert (result.status, result.reasons) == (
        MISSING,
        ["no run of depth_scaling has method tdbn"],
    )


def test_a_suite_without_results_is_missing(pair):
    result = decide(suite="methods")
    assert result.status == MISSING
    assert result.reasons == ["no results of methods in results"]
    assert result.sentence.startswith("? [?, ?]")


def test_one_run_has_no_interval(fake):
    fake.seeds([90.0], "ei")
    fake.seeds([80.0], "batchnorm")
    assert decide(relation="above", n=1).reasons == [
        "there is no bounded interval, and the claim is above 0"
    ]
    assert decide(relation="any", n=1).status == PASS


@pytest.mark.parametrize("compare", ["difference", "ratio", "mean"])
@pytest.mark.parametrize("size", [2e99, 1e-100, 0.0])
def test_numbers_of_any_size_are_decided(fake, compare, size):
    for seed, factor in enumerate((1, -1, 2)):
        fake.run(50, "ei", 4, seed, result={"test_loss": factor * size})
        fake.run(50, "batchnorm", 4, seed, result={"test_loss": size * factor * factor})
    write(compare=compare, metric="test_loss", relation="within", bound=0, margin=1)
    done = eibench("--format", "json")
    assert done.exit_code in (0, 1)
    assert json.loads(done.stdout)


@pytest.mark.parametrize(
    ("relation", "status"),
    [
        ({"relation": "within", "margin": 1}, PASS),
        ({"relation": "within", "bound": 2, "margin": 1}, FAIL),
        ({"relation": "above", "bound": -1}, PASS),
        ({"relation": "above"}, UNDECIDED),
    ],
)
def test_the_same_computation_differs_by_0(pair, relation, status):
    pair.seeds([92.0, 94.0, 96.0], "tdbn")
    result = decide(cells={"cell": {"method": "tdbn"}}, **relation)
    assert (result.status, result.sentence) == (status, "+0.0 [+0.0, +0.0]: 94.0 ± 2.0, 94.0 ± 2.0")


def test_the_worst_cell_counts(fake):
    fake.seeds([98.0, 97.0, 96.0], "ei", 4, result=KNOWN)
    fake.seeds([10.0, 10.0, 98.0], "ei", 8, result=KNOWN)
    fake.plan("ei", 16)
    cells = {f"d{depth}": {"method": "ei", "model.depth": depth} for depth in (4, 8, 16, 32)}
    order = []
    for names in (["d4"], ["d4", "d16"], ["d4", "d16", "d8"], ["d32", "d4"]):
        chosen = {name: cells[name] for name in names}
        text = "".join(f"{{{name}.share}}, " for name in names).removesuffix(", ")
        given = {"text": text, "cells": chosen, "relation": "above", "bound": 0.9}
        order.append(decide(compare="share_trained", **given).status)
    assert order == [PASS, MISSING, FAIL, MISSING]


def test_seeds_that_differ_in_an_axis_are_no_sample(fake):
    """Two commands with other options and other seeds: a mean over both would mix them."""
    fake.content["axes"].append("neuron.reset")
    for seed in range(4):
        fake.run(90.0 + seed, "ei", 4, seed, neuron={"reset": ("soft", "hard")[seed // 2]})
    with pytest.raises(BadSuite, match=r"selects seeds that differ in neuron\.reset too"):
        decide(compare="mean", cells={"cell": {"method": "ei"}})
    named = {"method": "ei", "neuron.reset": "soft"}
    assert decide(compare="mean", cells={"cell": named}).cells["cell"].numbers["n"] == 2
    with pytest.raises(UserError, match=r"differ in neuron\.reset; a mean would mix them"):
        make_pivots([fake.folder], None, ["method"], ["timesteps"])


def test_a_run_that_broke_off_tells_nothing_of_training(fake):
    fake.seeds([98.0, 97.0], "ei", 4, result=KNOWN)
    fake.fail("diverged", "nan", "ei", 4, 2)
    cells = {"cell": {"method": "ei"}}
    found = decide(compare="share_trained", cells=cells, relation="above", bound=0.5)
    assert found.status == PASS
    fake.fail("out_of_memory", "a small GPU", "ei", 4, 3)
    found = decide(compare="share_trained", cells=cells, relation="above", bound=0.5)
    assert found.status == UNDECIDED
    assert "1 of 4 runs broke off (diverged (1), out of memory (1))" in found.reasons[0]


def test_layers_of_probes_are_fields(tmp_path):
    suite = FakeSuite(tmp_path / "results", kind="probe")
    for seed, last in enumerate((1.0, 2.0, 3.0)):
        suite.probe([0.1, last], "ei", 2, seed)
    result = decide(compare="mean", metric="gradient", cells={"last": {"method": "ei", "layer": 2}})
    assert result.cells["last"].numbers["mean"] == 2.0
    assert decide(compare="mean").metric.name == "gradient_decades"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"metric": "test_acuracy"}, "claims[0].metric: test_acuracy: no such metric; allowed: "),
        ({"metric": "test_acuracy"}, "did you mean 'test_accuracy'?"),
        (
            {"cells": {"cell": {"methods": "ei"}}},
            "claims[0].cells.cell.methods: no run of depth_scaling has this field; did you mean",
        ),
        (
            {"control": {"model.dept": 4}},
            "claims[0].control.model.dept: no run of depth_scaling has this field; did you mean",
        ),
        (
            {"cells": {"cell": {"data": "digits"}}},
            "claims[0].cells.cell: selects runs that differ in method",
        ),
        ({"area": "method"}, "claims[0].area: method: is not a number in every run"),
        ({"area": "depht"}, "claims[0].area: depht: no run of depth_scaling has this field"),
    ],
)
def test_a_claim_that_does_not_fit_the_results_is_bad_input(pair, values, message):
    with pytest.raises(BadSuite) as caught:
        decide(**values)
    (found,) = caught.value.problems
    assert found.startswith("claims.yaml:1: ")
    assert message in found


def test_areas_are_compared(fake):
    for depth, by_method in {4: (90.0, 92.0), 8: (70.0, 80.0)}.items():
        for method, mean in zip(("ei", "batchnorm"), by_method, strict=True):
            fake.seeds([mean - 1, mean, mean + 1], method, depth=depth)
    found = decide(area="depth", text="{mean} ± {std}, {control_mean}, {difference}")
    assert (found.status, found.sentence) == (PASS, "80.0 ± 1.0, 86.0, -6.0")


def test_a_suite_that_is_there_twice_is_bad_input(pair):
    FakeSuite(WORK / "more").seeds([1.0], "ei")
    with pytest.raises(UserError, match=r"depth_scaling: has results in .*; name one by --results"):
        decide()
    assert decide(WORK / "more", compare="mean", n=1).status == PASS


# ------------------------------------------------------------------------------ profiles

ROW = {"name": "ei", "step_seconds": {"median": 0.3}, "ratio": 1.4, "peak_mib": 90.0}


def profile(**changes):
    """Write a profile in which `ei` takes 1.4 times batch norm's time."""
    norm = {"name": "batchnorm", "step_seconds": {"median": 0.2}, "ratio": 1.0, "peak_mib": 100.0}
    bare = {"name": "bare", "step_seconds": {"median": 0.1}, "ratio": 0.5, "peak_mib": None}
    content = {"device": "cpu", "environment": {"cpu": "Abacus"}, "steps": 20}
    content |= {"reference": "batchnorm", "rows": [ROW, norm, bare], **changes}
    path = WORK / "performance" / "vgg8.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def of_profile(folder=WORK, **values):
    return decide(
        folder, **{"compare": "profile_ratio", "profile": "vgg8", "suite": None, **values}
    )


@pytest.mark.parametrize(
    ("values", "sentence", "status"),
    [
        ({"relation": "below", "bound": 1.4}, "1.40 times", PASS),
        ({"relation": "below", "bound": 1.3}, "1.40 times", FAIL),
        ({"relation": "above", "bound": 1.4}, "1.40 times", PASS),
        ({"control": {"method": "bare"}}, "3.00 times", PASS),
        ({"metric": "peak_memory"}, "0.90 times", PASS),
        ({"metric": "peak_memory", "control": {"method": "bare"}}, "? times", MISSING),
        ({"control": {"method": "tdbn"}}, "? times", MISSING),
        ({"profile": "vgg16"}, "? times", MISSING),
    ],
)
def test_a_profile_is_decided_by_its_number(values, sentence, status):
    profile()
    result = of_profile(**values)
    assert (result.sentence, result.status) == (sentence, status)


def test_profiles_lie_beside_the_evidence(monkeypatch):
    profile()
    (WORK / "evidence").mkdir()
    assert of_profile(WORK / "evidence").status == PASS
    assert of_profile(WORK / "performance").status == PASS
    monkeypatch.chdir(WORK / "evidence")
    assert of_profile(Path()).status == PASS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": []}, "rows: must not be empty"),
        ({"rows": [{**ROW, "ratio": "1"}]}, "rows.0.ratio: must be a number, not '1'"),
        ({"rows": [{**ROW, "peak_mib": 0}]}, "rows.0.peak_mib: must be above 0"),
        ({"rows": [{**ROW, "step_seconds": {"median": 0}}]}, "must be above 0"),
        ({"environment": None}, "environment: must be a mapping"),
    ],
)
def test_a_damaged_profile_is_refused(changes, message):
    profile(**changes)
    with pytest.raises(UserError, match=r"vgg8\.json: damaged") as caught:
        of_profile()
    assert message in str(caught.value)


# ------------------------------------------------------------------------- other results


def test_means_agree_if_the_interval_of_their_difference_holds_0(pair, tmp_path):
    other = FakeSuite(tmp_path / "other")
    other.seeds([90.5, 91.5, 92.5], "ei")
    other.seeds([70.0, 71.0, 72.0], "batchnorm")
    claims = write(relation="any")
    ours, theirs = (ClaimEvidence([p]).decide(claims)[0] for p in (WORK, tmp_path / "other"))
    assert agreement(ours, ours) == ("agrees", "")
    assert agreement(ours, theirs) == (
        "differs",
        "cell control 94.0 ± 2.0 here, 71.0 ± 1.0 there",
    )


def test_results_that_are_not_there_are_absent(pair, tmp_path):
    claims = write(relation="any")
    (tmp_path / "other").mkdir()
    ours, theirs = (ClaimEvidence([p]).decide(claims)[0] for p in (WORK, tmp_path / "other"))
    assert agreement(ours, theirs) == agreement(theirs, ours) == ("absent", "")


def test_shares_agree_if_the_status_does(fake, tmp_path):
    fake.seeds([98.0, 97.0, 10.0], "ei", result=KNOWN)
    FakeSuite(tmp_path / "other").seeds([98.0, 97.0, 96.0], "ei", result=KNOWN)
    for bound, word in ((0.6, "agrees"), (0.9, "differs")):
        claims = write(compare="share_trained", relation="above", bound=bound)
        ours, theirs = (ClaimEvidence([p]).decide(claims)[0] for p in (WORK, tmp_path / "other"))
        assert agreement(ours, theirs)[0] == word


# --------------------------------------------------------------------- the real command


def eibench(*words):
    return CliRunner().invoke(app, ["verify", *map(str, words)])


def test_exit_code_0_when_all_claims_pass(pair):
    write(relation="above", bound=-9)
    done = eibench()
    assert done.exit_code == 0
    assert "claim  PASS    3  Abacus 9000" in done.stdout
    assert done.stdout.endswith("1 claim: 1 PASS, 0 UNDECIDED, 0 MISSING, 0 FAIL.\n")


def test_an_edited_record_turns_a_claim_into_a_failure(pair):
    write(relation="above", bound=-9)
    for record in pair.folder.glob("ei_*/record.json"):
        content = json.loads(record.read_text())
        content["result"]["test_accuracy"] -= 40
        record.write_text(json.dumps(content))
    done = eibench()
    assert done.exit_code == 1
    assert "FAIL: `claim`: difference -44.0 [-48.2, -39.8], and the claim is above -9." in (
        " ".join(done.stdout.split())
    )


@pytest.mark.parametrize("values", [{"relation": "below"}, {"suite": "relays"}, {"n": 9}])
def test_exit_code_1_when_a_claim_is_undecided_or_missing(pair, values):
    write(**values)
    assert eibench().exit_code == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["depth_scalin"], "depth_scalin: no claim about this suite; allowed: depth_scaling, "),
        (["--claims", "claim.yaml"], "claim.yaml: no such file; did you mean 'claims.yaml'?"),
        (["--results", "elsewhere"], "elsewhere: no results here"),
        (["--compare", "elsewhere"], "elsewhere: no results here"),
        (["--out", "."], ".: cannot be written: it is a folder"),
    ],
)
def test_exit_code_2_for_bad_input(pair, words, message):
    write()
    done = eibench(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr


def test_json_has_the_numbers(pair):
    write(relation="below")
    done = eibench("--format", "json", "--compare", WORK)
    (found,) = json.loads(done.stdout)
    assert found["counts"] == {"PASS": 0, "UNDECIDED": 1, "MISSING": 0, "FAIL": 0}
    (claim,) = found["claims"]
    assert (claim["sentence"], claim["status"]) == (DIFFERENCE, UNDECIDED)
    assert claim["evidence"] == {"agreement": "agrees", "details": ""}
    numbers = claim["cells"]["cell"]["numbers"]
    assert (numbers["difference"], numbers["control_std"], numbers["planned"]) == (-4.0, 2.0, 3)
    assert numbers["high"] == pytest.approx(-4 + 3.2193 * (5 / 3) ** 0.5, abs=1e-3)


def test_markdown_into_a_file(pair):
    write({"relation": "any"}, {"id": "a|b<c".replace("|b<", "."), "text": "|<b>{mean}*"})
    done = eibench("--format", "markdown", "--out", "summary.md")
    told = (
        "2 claims: 2 PASS, 0 UNDECIDED, 0 MISSING, 0 FAIL. 2 report numbers and claim no relation."
    )
    assert done.stdout.splitlines()[-1] == told
    text = Path("summary.md").read_text()
    assert text.startswith("### Claims\n")
    assert r"\|\<b\>90.0\*" in text


def test_a_suite_need_not_have_claims(pair):
    write()
    Path("suites").mkdir()
    Path("suites/relays.yaml").write_text("")
    done = eibench("relays")
    assert done.exit_code == 0
    assert done.stdout.endswith("\n0 claims: 0 PASS, 0 UNDECIDED, 0 MISSING, 0 FAIL.\n")
    assert eibench("relay").exit_code == 2


def test_claims_of_other_suites_are_left_out(pair):
    write({"relation": "any"}, {"id": "other", "suite": "relays"})
    assert eibench().exit_code == 1
    done = eibench("depth_scaling")
    assert done.exit_code == 0
    assert "other" not in done.stdout


def test_runs_that_broke_off_do_not_show_that_a_method_fails_to_train(fake):
    for seed in range(3):
        fake.fail("error", "[Errno 28] No space left on device", "ei", 4, seed)
        fake.fail("diverged", "epoch 2: loss is nan", "wta", 4, seed)
    known = {"compare": "share_trained", "relation": "below", "bound": 0.5}
    assert decide(**known).status == UNDECIDED
    result = decide(**known, cells={"cell": {"method": "wta"}})
    assert (result.status, result.sentence) == (PASS, "0 of 3 train")


def test_the_bound_of_a_share_is_reached_whatever_its_last_digit(fake):
    """4 of 5 is 0.8, and 0.7 + 0.1 a little less in floating point."""
    fake.seeds([98.0] * 4 + [10.0], "ei", result=KNOWN)
    known = {"compare": "share_trained", "relation": "within", "bound": 0.7, "margin": 0.1}
    assert decide(**known).status == PASS


@pytest.mark.parametrize(
    ("accuracy", "status"), [([10.0] * 3, UNDECIDED), ([97.0, 98.0, 97.5], PASS)]
)
def test_equal_numbers_are_one_computation_only_where_they_vary(fake, accuracy, status):
    """Two methods at chance agree too, and show nothing."""
    for method in ("ei", "batchnorm"):
        fake.seeds(accuracy, method, result=KNOWN)
    assert decide(relation="within", margin=1).status == status


def test_times_of_unlike_machines_and_unlike_images_decide_nothing(fake):
    for seed in range(3):
        fake.run(95.0 + seed, "ei", 4, seed, environment={"cpu": "Fast 9000"})
        fake.run(94.0 + seed, "batchnorm", 4, seed)
    known = {"compare": "ratio", "metric": "seconds", "relation": "within", "bound": 1, "margin": 2}
    result = decide(**known)
    assert result.status == UNDECIDED
    assert "is of unlike machines" in result.reasons[0]
    assert decide(compare="difference", relation="within", margin=50).status == PASS
    fake.seeds([95.0, 96.0, 97.0], "wta", result={"data_digest": "d2"})
    result = decide(relation="within", margin=50, cells={"cell": {"method": "wta"}})
    assert result.status == UNDECIDED
    assert result.reasons == ["runs of one data set were trained on different images"]


def test_a_claim_of_which_a_cell_is_absent_does_not_differ(fake, tmp_path):
    fake.seeds([89.0, 90.0, 91.0], "ei")
    fake.seeds([92.0, 94.0, 96.0], "batchnorm")
    cells = {
        "four": {"method": "ei", "model.depth": 4},
        "eight": {"method": "ei", "model.depth": 8},
    }
    values = {
        "compare": "mean",
        "text": "{four.mean}",
        "cells": cells,
        "relation": "below",
        "bound": 50,
    }
    one = decide(**values)
    assert one.status == FAIL
    assert agreement(one, one)[0] == "absent"
