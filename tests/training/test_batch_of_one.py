"""A batch of one image that a norm cannot process: found before anything runs, by every command."""

import json

import pytest

from eibench.data.digits import digits
from eibench.errors import UserError
from eibench.plan.options import METHODS
from eibench.plan.spec import RunSpec
from eibench.training.batch_of_one import check_batches, sizes_that_leave_one
from eibench.training.build import build, prepare
from eibench.training.fit import Progress, final_result, fit

SIZE = 53
"""1167 training images leave one over: 22 * 53 + 1."""
DENSE = {"name": "mlp", "depth": 1, "width": 8}
PER_STEP = {"name": "batchnorm", "stats": "per_step"}


@pytest.fixture(scope="module")
def data():
    return digits()


def spec(method, model=DENSE, size=SIZE, timesteps=2, **more):
    train = {"batch_size": size, "epochs": 1, **more.pop("train", {})}
    return RunSpec.parse(
        {"method": method, "model": model, "data": "digits", "timesteps": timesteps, "train": train}
        | more
    )


def refusal(run, data):
    with pytest.raises(UserError) as caught:
        check_batches(run, data)
    return str(caught.value)


def test_the_message(data):
    assert refusal(spec(PER_STEP), data).startswith(
        "train.batch_size 53 leaves one image of the 1167 in train for the last batch, which "
        "method batchnorm-per_step in model mlp-depth1-width8 cannot process (Expected more than 1 "
    )
    assert refusal(spec(PER_STEP), data).endswith("; train.batch_size 54 leaves none")


@pytest.mark.parametrize("timesteps", [1, 3])
@pytest.mark.parametrize("method", METHODS)
def test_it_says_what_training_would(method, timesteps, data):
    """Refused if, and only if, the epoch ends in an error."""
    run = spec(method, timesteps=timesteps)
    experiment = build(run, data)
    prepare(experiment)
    if (objection := ends_in_an_error(experiment)) is None:
        check_batches(run, data)
    else:
        assert objection in refusal(run, data)


def ends_in_an_error(experiment):
    """Return the error of an epoch of training and its evaluations, if any."""
    progress = Progress()
    try:
        for _ in fit(experiment, progress):
            pass
        final_result(experiment, progress)
    except ValueError as error:
        return " ".join(str(error).split())
    return None


@pytest.mark.parametrize(
    "run",
    [
        spec(PER_STEP, size=54),
        spec(PER_STEP, model={"name": "plain", "depth": 2, "width": 8, "pools": 1}),
        spec("batchnorm"),  # joint: two steps are two values
        spec("layernorm"),
    ],
    ids=["another size", "larger maps", "joint statistics", "no batch"],
)
def test_what_can_be_trained(run, data):
    check_batches(run, data)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (spec("batchnorm", timesteps=1), "batch_size 53 leaves one image"),
        (
            spec("bntt", {"name": "vgg", "layout": "8 P 8 P 8 P 8"}),
            "batch_size 53 leaves one image",
        ),
        (spec("tab", size=1), "train.batch_size 1 makes a batch of one image of train"),
        (spec("tab", size=64, train={"init_batch_size": 1}), "makes a batch of one image of train"),
        (spec("mpbn", size=1166), "train.batch_size 1166 leaves one image"),
    ],
    ids=["T = 1", "small maps", "size 1", "first batch", "almost all"],
)
def test_routes(run, words, data):
    assert words in refusal(run, data)


def test_the_validation_split_is_counted_too(data):
    """Group norm needs two values in evaluation as well; 270 images leave one over."""
    assert "of the 270 in validation" in refusal(spec("groupnorm", size=269, timesteps=1), data)


def test_a_probe_that_ends_before_the_last_batch(data):
    check_batches(spec(PER_STEP, probe={"steps": 21}), data)
    assert refusal(spec(PER_STEP, probe={"steps": 23}), data)


def test_sizes(data):
    assert sizes_that_leave_one(data, lambda n: 40 < n < 120) == [53, 106]
    assert sizes_that_leave_one(data, lambda n: n < 3) == [1, 2]


# ------------------------------------------------------------------------------ commands


def suite(project, **more):
    """A suite of dense networks under batch norm of each step."""
    base = {"method": PER_STEP, "model": DENSE, "data": "digits", "train": {"epochs": 1}}
    content = {"name": "tiny", "title": "Tiny", "base": base, "seeds": [0], **more}
    return project.write(json.dumps(content), "tiny.yaml")  # YAML without aliases


@pytest.mark.parametrize("more", [[], ["--dry-run"], ["--jobs", 2]])
def test_a_suite(cli, project, more):
    path = suite(project, grid={"method": ["ei", PER_STEP], "train.batch_size": [64, SIZE]})
    done = cli("run", path, *more)
    assert done.code == 2 and "error: train.batch_size 53 leaves one image" in done.err
    assert not list(project.path.rglob("record.json"))


@pytest.mark.parametrize(
    ("known", "found"),
    [
        ({"choices": [64, SIZE, 128]}, 53),
        ({"low": 40, "high": 60}, 53),
        ({"low": 60, "high": 100}, 0),
    ],
    ids=["choices", "range", "whole"],
)
def test_a_search(cli, project, known, found):
    """Values between the ends of a range count too."""
    search = {
        "space": {"train.batch_size": known},
        "trials": 1,
        "seeds": [1000],
    }
    path = suite(project, search=search)
    done = cli("search", path, "--device", "cpu")
    if found:
        assert done.code == 2 and f"with train.batch_size {found}: train.batch_size" in done.err
        assert not list(project.path.rglob("record.json"))
    else:
        assert done.code == 0


def test_a_run_that_was_not_looked_at_before(cli, project, monkeypatch):
    """The run itself looks too, before its first epoch."""
    monkeypatch.setattr("eibench.execution.dataset_cache.check_batches", lambda *_: None)
    done = cli("run", suite(project), "--set", f"train.batch_size={SIZE}")
    assert done.code == 1
    (record,) = [json.loads(p.read_text()) for p in project.path.rglob("record.json")]
    assert record["status"] == "error" and "train.batch_size 53 leaves one" in record["reason"]
    assert not list(project.path.rglob("epochs.jsonl"))
