"""`init_from`: training that starts from the weights of another run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

import eibench
from eibench.data import ImageData
from eibench.plan.options import METHODS, DataShape
from eibench.plan.spec import RunSpec
from eibench.training.build import Experiment, make_method, make_network
from eibench.training.start import set_first_weights
from eibench.training.weights import save_weights

ONE = {"grid": {"method": ["batchnorm"]}, "base": {"train": {"keep": "last"}}}


def only_run(suite: str = "tiny") -> Path:
    (record,) = Path("results").glob(f"{suite}/*/record.json")
    return record.parent


@pytest.fixture
def first(cli, project) -> str:
    """The folder of a trained run with weights."""
    assert cli("run", project.suite(**ONE)).code == 0
    return str(only_run())


def more(project, **changes) -> Path:
    base = {"train": {"lr": 1e-9, "weight_decay": 0.0}, **changes.pop("base", {})}
    return project.suite("more.yaml", name="more", **{**ONE, **changes, "base": base})


def test_training_goes_on_from_the_weights(cli, project, first):
    """With a rate of nearly zero the network stays what it was."""
    done = cli("run", more(project, base={"init_from": first}), "--keep", "last")
    assert done.code == 0, done.err
    old, new = (load_file(Path(run) / "model.safetensors") for run in (first, only_run("more")))
    assert old.keys() == new.keys()
    for key in old:
        if "running" not in key and "num_batches" not in key:
            assert torch.allclose(old[key], new[key], atol=1e-6), key
    frame = eibench.load_results("results/more")
    assert frame.status[0] == "ok"
    spec = yaml.safe_load((only_run("more") / "spec.yaml").read_text())
    assert spec["init_from"]["run"] == first and spec["init_from"]["readout"] == "keep"
    assert eibench.load_model(only_run("more"))


def test_the_identity_has_the_digest_and_not_the_place(cli, project, first):
    def run_id(**init: object) -> str:
        spec = RunSpec.parse({"method": "batchnorm", "model": "plain", "data": "digits", **init})
        assert RunSpec.parse(spec.to_dict()).run_id == spec.run_id
        from eibench.results.identity import run_id_of

        assert run_id_of(json.loads(json.dumps(spec.fields()))) == spec.run_id
        return spec.run_id

    shutil.copytree(first, "elsewhere")
    here, there, new = (
        run_id(init_from=value)
        for value in (first, {"run": "elsewhere"}, {"run": first, "readout": "new"})
    )
    assert here == there != new and len({run_id(), run_id(init_from=None), here}) == 2
    path = Path("elsewhere/model.safetensors")
    path.write_bytes(path.read_bytes() + b" ")
    assert run_id(init_from="elsewhere") != here


def test_an_axis_compares_starts(cli, project, first):
    grid = {"init_from": [None, first], "method": ["batchnorm"]}
    assert cli("run", more(project, grid=grid)).code == 0
    frame = eibench.load_results("results/more")
    assert len(frame) == 2
    done = cli("report", "results/more")
    assert done.code == 0 and "init from" in done.out


def test_costs_before_training_are_those_of_the_start(cli, project, first):
    path = more(project, grid={"init_from": [None, first], "method": ["batchnorm"]})
    done = cli("cost", path, "--initialised", "--images", 4)
    assert done.code == 0, done.err
    frame = eibench.load_results("results/more-cost")
    assert frame["nb_acs"].nunique() == 2


def test_transfer_to_other_classes_draws_a_readout(cli, project, first, few_digits, monkeypatch):
    from eibench.plan.options import DATASETS

    two = ImageData(("even", "odd"), *(s.__class__(s.images, s.labels % 2) for s in (
        few_digits.train, few_digits.validation, few_digits.test)))  # fmt: skip
    monkeypatch.setitem(DATASETS.code, "digits", lambda: two)
    done = cli("run", more(project, base={"init_from": first}))
    assert done.code == 2
    assert "readout.bias: has shape [10], the network needs [2]" in done.err
    assert "`init_from.readout: new` draws one for" in done.err
    path = more(project, base={"init_from": {"run": first, "readout": "new"}})
    assert cli("run", path, "--keep", "last").code == 0
    old, new = (load_file(Path(run) / "model.safetensors") for run in (first, only_run("more")))
    assert torch.allclose(old["conv0.0.module.weight"], new["conv0.0.module.weight"], atol=1e-6)
    assert new["readout.weight"].shape == (2, *old["readout.weight"].shape[1:])


def test_what_does_not_fit_is_said_before_any_run(cli, project, first):
    def error(init: object, **base: object) -> str:
        done = cli("run", more(project, base={"init_from": init, **base}))
        assert done.code == 2 and not Path("results/more").exists(), done.out
        return done.err

    assert "more.yaml:" in error("nowhere") and "no folder nowhere" in error("nowhere")
    assert "no model.safetensors in results; `eibench run SUITE" in error("results")
    assert "init_from.readout: must be 'keep' or 'new'" in error({"run": first, "readout": "old"})
    assert "unknown key; allowed here: readout, run, sha256" in error({"run": first, "runs": 1})
    assert "init_from: must be a mapping" in error(3)
    assert "init_from.run: is missing" in error({"readout": "new"})
    text = error(first, model={"width": 5})
    assert "the weights of batchnorm_plain" in text and "has shape" in text
    text = error(first, model={"depth": 3})
    assert "conv4.0.module.weight: is missing" in text and "readout: new" not in text
    pinned = {"run": first, "sha256": "0" * 64}
    assert "has other weights than 00000000..." in error(pinned)
    text = error({**pinned, "sha256": "0"})
    assert "init_from.sha256: must be the 64 hexadecimal digits of a SHA-256, not '0'" in text
    assert "no file can have this name" in error("a\0b")
    Path("linked").mkdir()
    Path("linked/model.safetensors").symlink_to(Path(first).absolute() / "model.safetensors")
    assert "is a link" in error("linked")
    Path("other").mkdir()
    Path("other/model.safetensors").write_bytes(b"x")
    assert "is not a safetensors file" in error("other")


def test_weights_that_change_before_the_run_begins(cli, project, first):
    from eibench.plan import load_plan

    plan = load_plan(more(project, base={"init_from": first}), [])
    path = Path(first) / "model.safetensors"
    start = plan.runs[0].spec.init_from
    path.unlink()
    from eibench.errors import UserError
    from eibench.training.start import load_start

    with pytest.raises(UserError, match="no such file"):
        load_start(torch.nn.Linear(1, 1), start)


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_trains_on(method, tmp_path):
    """Without an initialization on data: what it would have set is in the weights."""
    shape, x = DataShape((1, 8, 8), 10), torch.rand(4, 3, 1, 8, 8)
    values = {"method": method, "model": {"name": "plain", "depth": 1, "width": 8, "pools": 1},
              "data": "digits"}  # fmt: skip
    spec = RunSpec.parse(values)
    network = make_network(spec, make_method(spec), shape)
    make_method(spec).prepare(network, x, torch.manual_seed(1))
    save_weights(tmp_path, network.state_dict(), spec, shape)
    spec = RunSpec.parse({**values, "init_from": str(tmp_path), "seed": 1})
    method = make_method(spec)
    other = make_network(spec, method, shape)
    set_first_weights(Experiment(spec, None, method, other, None, None, None))
    with torch.no_grad():
        assert torch.equal(network.eval()(x), other.eval()(x))
    other.train()(x).sum().backward()
