"""Every kind of user error: exit code 2, one `error:` line per problem, nothing written."""

import os
from pathlib import Path

import pytest
import torch
from other_process import other_process

from eibench.plan import load_plan


@pytest.fixture
def refused(project, cli):
    """Run a command that must be refused; returns its `error:` lines."""

    def call(*words):
        before = project.files()
        done = cli(*words)
        assert done.code == 2, done
        assert "Traceback" not in done.err
        assert done.err.splitlines() == [f"error: {line}" for line in done.errors]
        assert done.errors
        assert project.files() == before
        return done.errors

    return call


@pytest.fixture
def tiny(project):
    return project.suite()


# ------------------------------------------------------------------------------- suites


def test_missing_suite(refused, tiny):
    (line,) = refused("run", "tyny.yaml")
    assert line == "tyny.yaml: no such file; did you mean 'tiny.yaml'?"


def test_missing_suite_by_name(refused, project):
    project.suite("suites/quickstart.yaml")
    (line,) = refused("run", "quickstrat")
    assert line == "quickstrat: no such suite or file; did you mean 'quickstart'?"


def test_a_name_that_no_file_can_have(refused):
    (line,) = refused("run", "a" * 300)
    assert line.startswith("aaa")


def test_folder_in_place_of_a_suite(refused, project):
    project.suite("suites/quickstart.yaml")
    assert refused("run", "suites") == ["suites: cannot be read: Is a directory"]


def test_not_yaml(refused, project):
    (line,) = refused("run", project.write("name: x\nbase: [1\n"))
    assert line.startswith("tiny.yaml:3: not valid YAML: ")


def test_not_text(refused):
    Path("tiny.yaml").write_bytes(b"\x89PNG\xff\xfe")
    assert refused("run", "tiny.yaml") == ["tiny.yaml: cannot be read: it is not UTF-8 text"]


def test_empty_suite(refused, project):
    (line,) = refused("run", project.write(""))
    assert line == "tiny.yaml: must be a mapping of keys to values, not nothing"


def test_one_line_for_each_problem(refused, project):
    path = project.suite(base={"train": {"lr": -1, "epochs": 0}, "timesteps": 0, "modle": 1})
    lines = refused("run", path)
    assert len(lines) == 4
    assert all(line.startswith("tiny.yaml:") for line in lines)


@pytest.mark.parametrize(
    "text",
    [
        "name: x\ntitle: y\nbase: {name: x, method: ei, model: plain, data: digits}\n",
        'name: x\ntitle: "\\UFFFFFFFF"\n',
        "name: x\ntitle: y\nseeds: [" + "9" * 5000 + "]\n",
    ],
    ids=["a name in base", "beyond unicode", "5000 digits"],
)
def test_odd_suites(refused, project, text):
    refused("run", project.write(text))


# ------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.epoch=3", "--set train.epoch=3: unknown key; allowed here: accumulate, batch_size"),
        ("trian.lr=3", "--set trian.lr=3: unknown key; allowed here: data"),
        ("epochs", "--set epochs: must be KEY=VALUE, such as train.epochs=5"),
        ("=3", "--set =3: must be KEY=VALUE, such as train.epochs=5"),
        ("train.lr=[1", "--set train.lr=[1"),
        ("train.lr=-1", "--set train.lr=-1: must be above 0.0, not -1"),
        ("train.lr=.inf", "--set train.lr=.inf: must be finite, not inf"),
        ("train.clip_norm=.inf", "--set train.clip_norm=.inf: must be finite, not inf"),
        ("neuron.tau=.inf", "--set neuron.tau=.inf: must be finite, not inf"),
        ("method=bachnorm", "--set method=bachnorm: unknown method 'bachnorm'; allowed: dann, ei"),
        ("seed=1", "--set seed=1: "),
    ],
)
def test_bad_set(refused, tiny, setting, message):
    (line,) = refused("run", tiny, "--set", setting)
    assert line.startswith(message)


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ("depth=1", "--only depth=1: unknown key"),
        ("modle.depth=1", "--only modle.depth=1: unknown key; did you mean 'model.depth'?"),
        ("model.depth=9", "--only model.depth=9: no run has 9; allowed: 1, 2"),
        ("method", "--only method: must be KEY=VALUE"),
        ("method=", "--only method=: no run has None; allowed: ei"),
        ("model.depth=[1,2]", "--only model.depth=[1,2]"),
    ],
)
def test_bad_only(refused, tiny, only, message):
    (line,) = refused("run", tiny, "--only", only)
    assert line.startswith(message)


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ("a", "--seeds a: must be whole numbers, such as 0,1,2"),
        ("", "--seeds : must be whole numbers, such as 0,1,2"),
        ("0,", "--seeds 0,: must be whole numbers, such as 0,1,2"),
        ("1.5", "--seeds 1.5: must be whole numbers, such as 0,1,2"),
        ("0 1", "--seeds 0 1: must be whole numbers, such as 0,1,2"),
        ("-1", "--seeds -1: a seed is "),
        ("3,1,3", "--seeds 3,1,3: a seed is listed twice"),
        (str(2**63), f"--seeds {2**63}: a seed is "),
    ],
)
def test_bad_seeds(refused, tiny, seeds, message):
    (line,) = refused("run", tiny, "--seeds", seeds)
    assert line.startswith(message)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_cuda_where_there_is_none(refused, tiny, more):
    (line,) = refused("run", tiny, "--device", "cuda", *more)
    assert line.startswith("--device cuda: torch sees no CUDA device here")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["run"], "SUITE"),
        (["run", "tiny.yaml", "--frobnicate"], "--frobnicate"),
        (["run", "tiny.yaml", "--device", "tpu"], "--device"),
        (["run", "tiny.yaml", "--set"], "--set"),
        (["run", "tiny.yaml", "other.yaml"], "other.yaml"),
        (["rnu"], "rnu"),
        (["list", "method"], "method"),
        (["list", "methods", "--jsn"], "--jsn"),
        (["doctor", "now"], "now"),
    ],
)
def test_wrong_usage(project, cli, tiny, words, named):
    """Typer's own words, but the same exit code and nothing written."""
    before = project.files()
    done = cli(*words)
    assert done.code == 2
    assert named in done.err
    assert "Traceback" not in done.err
    assert project.files() == before


# --------------------------------------------------------------- networks, data, machines

DRY = pytest.mark.parametrize("more", [[], ["--dry-run"]], ids=["run", "dry-run"])


@DRY
def test_a_network_too_deep_for_the_images(refused, project, more):
    path = project.suite(
        base={"model": {"name": "vgg", "width": ..., "depth": 8, "pools": ...}}, grid={}
    )
    (line,) = refused("run", path, *more)
    assert line.startswith("model vgg on data set digits: needs images of at least 32x32")
    assert line.endswith("not 8x8")


@DRY
@pytest.mark.parametrize(
    ("method", "neuron", "message"),
    [
        (
            {"name": "no_norm", "init": "spikeinit", "rate": 0.4},
            {"tau": 2.0},
            "method no_norm-spikeinit-rate0.4: a firing rate of 0.4 has no fixed point with tau "
            "2.0; rates up to 0.391 have one, a smaller tau allows more",
        ),
        (
            "weight_standardization",
            {"threshold": 40.0},
            "method weight_standardization: a current of unit deviation does not reach a threshold "
            "of 40.0",
        ),
    ],
)
def test_a_method_that_does_not_exist_for_the_neuron(
    refused, project, more, method, neuron, message
):
    path = project.suite(base={"method": method, "neuron": neuron}, grid={})
    assert refused("run", path, *more) == [message]


@DRY
@pytest.mark.parametrize("root", ["nowhere", "~nobody-of-that-name/x", "a\0b", "tiny.yaml"])
def test_a_data_set_that_is_not_there(refused, project, root, more):
    data = {"name": "imagefolder", "root": root}
    (line,) = refused("run", project.suite(base={"data": data}), *more)
    assert line.startswith("data set imagefolder: ")


@DRY
@pytest.mark.parametrize("setting", ["model.width=1000000000000", "train.batch_size=" + "9" * 30])
def test_a_size_that_no_machine_can_count(refused, tiny, setting, more):
    """Beyond 64 bits torch raises what is neither a user's error nor out of memory."""
    refused("run", tiny, "--set", setting, *more)


def test_an_estimate_that_does_not_fit_into_memory_is_no_traceback(cli, tiny):
    """`run` records out_of_memory for this; `--dry-run` has to say something, too."""
    done = cli("run", tiny, "--dry-run", "--set", "model.width=10000000")
    assert done.code in (0, 1, 2)


# ------------------------------------------------------------------------ results folders


def file_in_the_way(where):
    Path(where).write_text("mine")
    return where


def file_above(where):
    Path(where).write_text("mine")
    return f"{where}/deeper"


def dangling_link(where):
    Path(where).symlink_to("nowhere")
    return where


def suite_is_a_file(where):
    Path(where).mkdir()
    Path(where, "tiny").write_text("mine")
    return where


def read_only(where):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    Path(where).mkdir(mode=0o500)
    return where


OBSTACLES = [file_in_the_way, file_above, dangling_link, suite_is_a_file]


@pytest.mark.parametrize("obstacle", [*OBSTACLES, read_only], ids=lambda f: f.__name__)
def test_results_that_cannot_be_written(refused, tiny, obstacle):
    (line,) = refused("run", tiny, "--results", obstacle("out"))
    assert line.startswith("out")
    assert "cannot be written" in line


def name_too_long(where):
    return where * 100


@pytest.mark.parametrize("obstacle", [*OBSTACLES, name_too_long], ids=lambda f: f.__name__)
def test_a_plan_over_an_unusable_folder_is_no_traceback(project, cli, tiny, obstacle):
    words = ["run", tiny, "--dry-run", "--results", obstacle("out")]
    before = project.files()
    done = cli(*words)
    assert done.code in (0, 2)
    assert project.files() == before


def test_runs_that_another_command_computes(cli, tiny, project):
    """The rest is done; the end says who has the others, and that not all are done."""
    taken, free = (run.run_id for run in load_plan(tiny, []).runs)
    with other_process(Path("results/tiny"), taken) as other:
        done = cli("run", tiny)
    assert done.code == 1
    assert f"other commands compute 1 of these runs: 1 on {other}" in done.out
    assert "1 of 2 runs ok, 1 not run" in done.out
    assert set(project.records()) == {free}
    assert cli("run", tiny).code == 0
    assert set(project.records()) == {taken, free}


# --------------------------------------------------------------------- damaged results

DAMAGE = [b"", b"{", b"[]", b"3", b"\xff\xfe\x00", b'{"status": "ok"', b"null"]


ONE = ["--only", "model.depth=1", "--only", "method=ei"]


@pytest.fixture
def finished(half):
    """The folder of a finished run."""
    (record,) = Path("results/half").glob("ei*/record.json")
    return record.parent


@pytest.mark.parametrize("content", [*DAMAGE, b"{}", b'{"state": 1}'])
@DRY
def test_a_damaged_record(cli, half, finished, content, more):
    """It is named, and not written over: somebody may want to know what was in it."""
    (finished / "record.json").write_bytes(content)
    done = cli("run", half, *ONE, *more)
    assert done.code == 2
    (line,) = done.errors
    assert line.startswith(f"{finished}/record.json: ")
    assert (finished / "record.json").read_bytes() == content


@DRY
def test_a_folder_in_place_of_a_record(cli, half, finished, more):
    (finished / "record.json").unlink()
    (finished / "record.json").mkdir()
    done = cli("run", half, *ONE, *more)
    assert done.code == 2
    assert done.errors[0].startswith(f"{finished}/record.json: ")


@pytest.mark.parametrize("content", DAMAGE)
def test_a_damaged_plan_is_made_again(cli, half, finished, content):
    """It is drawn from the suite each time."""
    plan = finished.parent / "plan.json"
    whole = plan.read_bytes()
    plan.write_bytes(content)
    assert cli("run", half, *ONE).code == 0
    assert plan.read_bytes() == whole


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"epoch": 1}\n{"epo', b"3\n"])
def test_damaged_epochs_do_not_stop_a_plan(cli, half, finished, content):
    (finished / "epochs.jsonl").write_bytes(content)
    assert cli("run", half, *ONE, "--dry-run").code == 0


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half"])
def test_a_damaged_checkpoint_is_left_behind(cli, half, finished, content, caplog, project):
    before = project.records("half")[finished.name]
    (finished / "record.json").unlink()
    (finished / "checkpoint.pt").write_bytes(content)
    assert cli("run", half, *ONE).code == 0
    assert f"{finished}/checkpoint.pt: not a checkpoint of this run" in caplog.text
    assert project.records("half")[finished.name]["result"] == before["result"]
    assert not (finished / "checkpoint.pt").exists()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("lr=1", "did you mean 'train.lr'?"),
        ("depth=4", "did you mean 'model.depth'?"),
        ("tau=3", "did you mean 'neuron.tau'?"),
        ("train.lr=1e150", "must be at most 1e+100"),
        ("neuron.tau=1e150", "neuron.tau=1e150: must be at most 1e+100"),
    ],
)
def test_settings_that_no_run_has(refused, tiny, change, text):
    assert any(text in line for line in refused("run", tiny, "--set", change))


@pytest.mark.parametrize("name", ["search", "evidence"])
def test_names_of_folders_within_results(refused, project, name):
    (line,) = refused("run", project.suite(name=name))
    assert "is the name of a folder within results" in line
