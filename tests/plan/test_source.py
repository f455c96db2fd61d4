"""Nested choices: the images that `events_from` records, written, overridden and refused."""

import pytest
import yaml

from eibench.errors import BadSuite
from eibench.plan import DATASETS, Override, RunSpec, load_plan, select
from eibench.plan.validate import Invalid

FOLDER = {"name": "imagefolder", "root": "/data/x"}


def spec(source, **options):
    data = {"name": "events_from", "source": source, **options}
    return RunSpec.parse({"method": "ei", "model": "plain", "data": data})


def plan(project, source, settings=(), **changes):
    data = {"name": "events_from", "source": source}
    path = project.suite(base={"data": data}, **{"grid": {}, **changes})
    return load_plan(path, [Override.read("--set", text) for text in settings])


def problems(project, source, settings=(), **changes):
    with pytest.raises(BadSuite) as caught:
        plan(project, source, settings, **changes)
    return caught.value.problems


def test_a_name_alone_is_a_mapping_with_that_name():
    assert spec("digits") == spec({"name": "digits"})


def test_fields_are_flat_and_hashable():
    fields = spec(FOLDER, margin=3).fields()
    found = {key: value for key, value in fields.items() if key.startswith("data")}
    assert found == {
        "data": "events_from",
        "data.contrast": 0.3,
        "data.amplitude": 4.0,
        "data.saccades": 3,
        "data.steps": 20,
        "data.margin": 3,
        "data.dark": 0.1,
        "data.source": "imagefolder",
        "data.source.splits": "fixed",
        "data.source.train_images": None,
        "data.source.test_images": None,
        "data.source.root": "/data/x",
        "data.source.validation_share": 0.1,
        "data.source.size": None,
    }
    assert len(set(fields.items())) == len(fields)


@pytest.mark.parametrize("source", ["digits", FOLDER, {**FOLDER, "validation_share": 0.2}])
def test_there_and_back(source):
    """Through the plain values that a run's spec.yaml holds."""
    run = spec(source)
    again = RunSpec.parse(yaml.safe_load(yaml.safe_dump(run.to_dict())))
    assert again == run and hash(again) == hash(run) and again.run_id == run.run_id


def test_identity_has_the_name_and_what_is_not_default():
    assert spec("digits").identity()["data"] == {
        "name": "events_from",
        "source": {"name": "digits"},
    }
    assert spec({**FOLDER, "validation_share": 0.1}).identity()["data"]["source"] == FOLDER


def test_takes_part_in_the_identity():
    sources = ["digits", FOLDER, {**FOLDER, "root": "/data/y"}]
    assert len({spec(source).run_id for source in sources}) == 3


def test_label():
    assert spec("digits").data.label == "events_from-source_digits"
    label = spec({**FOLDER, "validation_share": 0.2}, margin=1).data.label
    assert label == "events_from-margin1-source_imagefolder-root_/data/x-validation_share0.2"


def test_shape_is_that_of_the_images_in_their_margin():
    assert spec("digits", margin=3).data.shape() == ((2, 14, 14), 10)
    assert spec(FOLDER).data.shape() is None


def test_it_holds_events():
    assert spec("digits").data.events
    assert [name for name, cls in DATASETS.items() if cls.events] == [
        *("digits_dvs", "events_from", "cifar10_dvs", "dvs_gesture", "nmnist", "shd"),
    ]


# ------------------------------------------------------------------------- axes and --set


def test_an_axis_over_sources(project):
    runs = plan(project, "digits", grid={"data.source": ["digits", FOLDER]}).runs
    assert [run.fields()["data.source"] for run in runs] == ["digits", "imagefolder"]
    chosen = select(plan(project, "digits", grid={"data.source": ["digits", FOLDER]}),
                    [Override.read("--only", "data.source=imagefolder")])  # fmt: skip
    assert [run.fields()["data.source.root"] for run in chosen] == ["/data/x"]


def test_an_axis_over_an_option_of_the_source(project):
    runs = plan(project, FOLDER, grid={"data.source.root": ["a", "b"]}).runs
    assert [run.fields()["data.source.root"] for run in runs] == ["a", "b"]


@pytest.mark.parametrize(
    ("before", "settings", "after"),
    [
        (FOLDER, ["data.source=digits"], {"name": "digits"}),
        (FOLDER, ["data.source={name: digits}"], {"name": "digits"}),
        (FOLDER, ["data.source.root=/y"], {**FOLDER, "root": "/y"}),
        ("imagefolder", ["data.source.root=/y"], {**FOLDER, "root": "/y"}),
        ("digits", ["data.source=imagefolder", "data.source.root=/y"], {**FOLDER, "root": "/y"}),
    ],
)
def test_set(project, before, settings, after):
    (run,) = plan(project, before, settings).runs
    assert run.spec.data == spec(after).data


def test_set_of_the_whole_data_set(project):
    (run,) = plan(project, "digits", ["data={name: events_from, source: digits, margin: 1}"]).runs
    assert run.spec.data == spec("digits", margin=1).data


# -------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("source", "line", "text"),
    [
        ("digit", "source: digit", "data.source.name: unknown data set 'digit'; allowed: digits, "),
        ("digit", "source: digit", "; did you mean 'digits'?"),
        ({"name": "digit"}, "name: digit", "data.source.name: unknown data set 'digit'; allowed"),
        ("imagefolder", "source: imagefolder", "data.source.root: is missing"),
        ({**FOLDER, "rot": 1}, "rot: 1", "data.source.rot: unknown key; allowed here: name, root"),
        ({**FOLDER, "root": 3}, "root: 3", "data.source.root: must be text, not 3"),
        ({"root": "x"}, "source:", "data.source: needs a name; allowed: digits, imagefolder"),
        (3, "source: 3", "data.source: must be a name or a mapping with one, not 3"),
        ("nmnist", "source: nmnist", "data.source.name: nmnist holds events already; allowed: d"),
        (
            {"name": "events_from", "source": "digits"},
            "name: events_from",
            "data.source.name: events_from holds events already",
        ),
    ],
)
def test_refused(project, source, line, text):
    (found,) = problems(project, source)
    lines = (project.path / "tiny.yaml").read_text().splitlines()
    number = int(found.split(":")[1])
    assert lines[number - 1].strip() == line, found
    assert text in found.removeprefix(f"tiny.yaml:{number}: base.")


def test_without_a_source(project):
    path = project.suite(base={"data": "events_from"}, grid={})
    with pytest.raises(BadSuite, match=r"base\.data\.source: is missing"):
        load_plan(path, [])


def test_all_problems_at_once():
    """Those of the source, and those beside it."""
    with pytest.raises(Invalid) as caught:
        spec({"name": "imagefolder", "validation_share": 2.0, "x": 1}, contrast=0, sacades=3)
    keys = {".".join(map(str, p.keys)) for p in caught.value.problems}
    expected = {"source.root", "source.validation_share", "source.x", "contrast", "sacades"}
    assert keys == {f"data.{key}" for key in expected}


def test_set_is_named_when_it_is_wrong(project):
    (found,) = problems(project, "digits", ["data.source=nmnist"])
    assert found.startswith("--set data.source=nmnist: nmnist holds events already")
    (found,) = problems(project, "digits", ["data.source.root=x"])
    assert found.startswith("--set data.source.root=x: unknown key; allowed here: name")


# ---------------------------------------------------------------------------------- plugins

PLUGIN = '''
"""Noise."""
import torch
from eibench.data import ImageData, Split
from eibench.plan.options import DataOptions
from eibench.plugins import add_dataset


class NoiseOptions(DataOptions):
    """Random images of two classes."""

    name = "noise"
    count: int = 8


def noise(count):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 2
    parts = [Split(torch.rand(count, 1, 4, 4, generator=generator), labels) for _ in range(3)]
    return ImageData(("a", "b"), *parts)


add_dataset(NoiseOptions, noise)
'''


def test_images_of_a_plugin(project, cli):
    """They are recorded like any, and an edited plugin is another run."""
    project.write(PLUGIN, "noise.py")
    data = {"name": "events_from", "source": {"name": "noise", "count": 12}}
    model = {"name": "plain", "depth": 1, "width": 4, "pools": 0}
    path = project.suite(base={"data": data, "model": model}, grid={}, plugins=["noise.py"])
    done = cli("run", path)
    assert done.code == 0
    (said,) = done.err.splitlines()
    assert said.startswith("running the code of ") and said.endswith("noise.py")
    (run,) = load_plan(path, []).runs
    assert run.spec.sources()["plugins"]["data"].startswith("noise.py (sha256 ")
    assert run.spec.identity()["plugins"].keys() == {"data"}
    assert list(project.records()) == [run.run_id]
