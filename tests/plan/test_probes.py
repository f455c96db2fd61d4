"""Suites of `kind: probe`: what makes a run a probe, its identity, and where it is refused."""

import dataclasses

import pytest

from eibench.errors import BadSuite
from eibench.plan import Override, RunSpec, load_plan, load_probe
from eibench.plan.options import ProbeOptions

PLAIN = {"method": "ei", "model": "plain", "data": "digits"}


def spec(**changes):
    return RunSpec.parse({**PLAIN, **changes})


def steps(plan):
    return [run.spec.probe.steps for run in plan.runs]


def refusal(call, *args, **kwargs):
    with pytest.raises(BadSuite) as caught:
        call(*args, **kwargs)
    return caught.value.problems


# ----------------------------------------------------------------------------- identity


def test_a_training_run_has_no_probe_in_anything():
    run = spec()
    assert run.probe is None
    assert "probe" not in run.identity() | run.to_dict()
    assert not [key for key in run.fields() if key.startswith("probe")]


def test_ids_of_training_runs_are_what_they_were():
    """Taken from committed results before there were probes."""
    train = {"epochs": 10, "batch_size": 64, "optimizer": "sgd", "clip_norm": 1.0, "lr": 0.1}
    run = spec(model={"name": "plain", "depth": 4, "width": 32}, train=train)
    assert run.run_id == "ei_plain-depth4_digits_s0_5ced2d07"


def test_a_probe_is_another_run_than_the_training_and_than_other_steps():
    runs = [spec(), spec(probe={}), spec(probe={"steps": 5}), spec(probe={"steps": 6})]
    assert len({run.run_id for run in runs}) == 4
    assert len({run.run_id.rpartition("_")[2] for run in runs}) == 4
    assert spec(probe={}).run_id == spec(probe={"steps": 0}).run_id


def test_the_name_tells_the_steps():
    assert spec(probe={"steps": 5}, seed=3).run_id.startswith("ei_plain_digits_step5_s3_")


def test_values_come_back():
    run = spec(probe={"steps": 5})
    assert RunSpec.parse(run.to_dict()) == run
    assert run.fields()["probe.steps"] == 5
    assert run.probe == ProbeOptions(steps=5)


def test_equal_methods_are_equal_in_probes():
    run = spec(method="tdbn", probe={"steps": 5})
    assert run.simplest() == dataclasses.replace(spec(method="batchnorm"), probe=run.probe)


# --------------------------------------------------------------------------------- suites


def test_a_probe_suite(project):
    plan = load_plan(project.suite(kind="probe"), [])
    assert (plan.kind, plan.name, steps(plan)) == ("probe", "tiny", [0, 0])


def test_steps_as_an_axis(project):
    path = project.suite(kind="probe", grid={"probe.steps": [0, 5]})
    plan = load_plan(path, [])
    assert (plan.axes, steps(plan)) == (("probe.steps",), [0, 5])
    setting = Override.read("--set", "probe.steps=7")
    assert steps(load_plan(path, [setting])) == [7]


def test_steps_in_base(project):
    assert steps(load_plan(project.suite(kind="probe", base={"probe": {"steps": 3}}), [])) == [3, 3]


def test_a_training_suite_is_probed_under_another_name(project):
    path = project.suite()
    plan = load_probe(path, [])
    assert (plan.kind, plan.name, steps(plan)) == ("probe", "tiny-probe", [0, 0])
    assert load_plan(path, []).kind == "train"
    with_steps = load_probe(path, [], steps=[0, 9])
    assert steps(with_steps) == [0, 9, 0, 9]
    assert with_steps.axes == ("model.depth", "probe.steps")


def test_a_probe_suite_keeps_its_name(project):
    plan = load_probe(project.suite(kind="probe", grid={"probe.steps": [0, 5]}), [], [3], [7])
    assert (plan.name, steps(plan)) == ("tiny", [7])
    assert [run.spec.seed for run in plan.runs] == [3]


# --------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"base": {"probe": {"steps": 5}}}, "base.probe"),
        ({"base": {"probe": {}}}, "base.probe"),
        ({"grid": {"probe.steps": [0, 5]}}, "grid.probe.steps"),
        ({"zip": {"probe.steps": [0, 5]}}, "zip.probe.steps"),
        ({"per_method": {"ei": {"probe.steps": 5}}}, "per_method.ei.probe.steps"),
        ({"exclude": [{"probe.steps": 5}]}, "exclude[0].probe.steps"),
    ],
)
def test_a_training_suite_has_no_probe(project, changes, place):
    (problem,) = refusal(load_plan, project.suite(**changes), [])
    assert problem.startswith("tiny.yaml:")
    assert problem.endswith(f": {place}: belongs to suites of `kind: probe`")


def test_a_probe_set_on_a_training_suite(project):
    (problem,) = refusal(load_plan, project.suite(), [Override.read("--set", "probe.steps=5")])
    assert problem == (
        "--set probe.steps=5: belongs to suites of `kind: probe`; `eibench probe` measures this one"
    )


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ({"steps": -1}, "base.probe.steps: must be at least 0, not -1"),
        ({"steps": 1.5}, "base.probe.steps: must be a whole number, not 1.5"),
        ({"step": 1}, "unknown key; allowed here: steps; did you mean 'steps'?"),
        (5, "base.probe: must be a mapping of keys to values, not 5"),
    ],
)
def test_a_bad_probe(project, probe, message):
    problems = refusal(load_plan, project.suite(kind="probe", base={"probe": probe}), [])
    assert any(problem.endswith(message) for problem in problems), problems


def test_a_bad_kind(project):
    (problem,) = refusal(load_plan, project.suite(kind="prob"), [])
    assert "kind: must be 'train' or 'probe', not 'prob'; did you mean 'probe'?" in problem
