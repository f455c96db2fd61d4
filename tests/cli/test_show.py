"""`eibench show`: counts against hand-computed numbers, and refused input."""

import json

import pytest

from eibench.data import DataError
from eibench.plan import METHODS, MODELS
from eibench.plan.options import DATASETS

PLAIN = ["plain", "--set", "model={name: plain, depth: 1, width: 8, pools: 1}"]


def network(cli, *words):
    done = cli("show", *words, "--json")
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)["network"]


def parts(part):
    """Every part that is no group, in order."""
    inside = [p for child in part["parts"] for p in parts(child)]
    return inside or [part]


def test_a_circuit_by_hand(cli):
    """Digits, one E-I layer of 8 and 2 cells, fan-in 9: at each of 64 positions and 4 steps 10 * 9
    products for W_EE and W_IE, and 8 * 2 for each inhibition; pooled to 4x4, 10 classes and 2
    cells on 128, which are mixed once."""
    conv, neuron, pool, readout = parts(network(cli, *PLAIN))
    assert conv == {
        "name": "conv0",
        "kind": "EIConv2d 3x3",
        "output": [8, 8, 8],
        "fan_in": 9,
        "parameters": 10 * 9 + 16 + 2 + 8 + 8,
        "operations": 4 * 64 * (10 * 9 + 2 * 16),
        "neurons": 0,
        "neuron_layers": 0,
        "parts": [],
    }
    assert (neuron["kind"], neuron["output"], neuron["neurons"]) == ("LIF", [8, 8, 8], 512)
    assert (pool["kind"], pool["output"], pool["operations"]) == ("AvgPool2d", [8, 4, 4], 0)
    assert (readout["kind"], readout["output"], readout["fan_in"]) == ("EILinear", [10], 128)
    assert readout["parameters"] == 12 * 128 + 20
    assert readout["operations"] == 4 * (12 * 128 + 20)


@pytest.mark.parametrize(
    ("settings", "per_position"),
    [
        ("method.subtractive=false", 10 * 9 + 16),
        ("method.divisive=false", 8 * 9),
        ("method={name: ei, divisive: false, dale: false}", 10 * 9 + 16),
        ("method.ei_ratio=2", 12 * 9 + 2 * 32),
        ("method={name: ei, subtractive: false, divisive: false}", 8 * 9),
        ("method=batchnorm", 8 * 9),
    ],
)
def test_only_what_is_there_is_counted(cli, settings, per_position):
    first, *_ = parts(network(cli, *PLAIN, "--set", settings))
    assert first["operations"] == 4 * 64 * per_position


def test_operations_are_of_all_time_steps(cli):
    counts = [network(cli, *PLAIN, "--set", f"timesteps={t}")["operations"] for t in (1, 8)]
    assert counts[1] == 8 * counts[0]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_and_model_can_be_shown(cli, model, method):
    layout = ["--set", "model.layout=[4, P]"] if model == "vgg" else []
    width = ["--set", "model.width=4"] if not layout else []
    whole = network(cli, model, "--method", method, *layout, *width)
    leaves = parts(whole)
    for key in ("parameters", "operations", "neurons", "neuron_layers"):
        assert whole[key] == sum(part[key] for part in leaves) > 0
    assert all(part["output"] for part in leaves)


def test_a_residual_network_is_a_tree_of_stages_and_blocks(cli):
    done = cli("show", "resnet", "--method", "tdbn", "--set", "model.width=16")
    assert (done.code, done.err) == (0, "")
    lines = [line.rstrip() for line in done.out.splitlines()]
    assert lines[0] == ("resnet-width16, method tdbn, data digits: images 1x8x8, 10 classes, T = 4")
    words = [line.split() for line in lines]
    assert words[2] == ["layer", "kind", "output", "fan-in", "parameters", "operations"]
    # 16 * 9 kernels and 2 * 16; 4 steps, 64 positions
    conv = "│ ├─ conv Conv2d 3x3 + TDBatchNorm2d 16x8x8 9 176 36.9 k"
    assert conv.split() in words
    # 32 kernels of 16 and 2 * 32; 4 steps, 16 positions
    shortcut = "│ │ ├─ conv Conv2d 1x1/2 + TDBatchNorm2d 32x4x4 16 576 32.8 k"
    assert shortcut.split() in words
    tree = [line for line in lines if "─ stage" in line or "─ block" in line]
    assert [line.split("─ ")[1].split()[0] for line in tree] == [
        word for i in range(1, 5) for word in (f"stage{i}", "block1", "block2")
    ]
    assert max(map(len, lines)) <= 100
    assert "20 layers" in done.out
    assert "Elementwise work" in done.out


def test_data_of_known_shape_are_not_loaded(cli, monkeypatch):
    def absent():
        raise DataError("must not be needed")

    monkeypatch.setitem(DATASETS.code, "digits", absent)
    assert cli("show", *PLAIN).code == 0


def test_data_of_unknown_shape_are_loaded(cli, monkeypatch):
    digits = DATASETS.code["digits"]
    monkeypatch.setitem(DATASETS.code, "imagefolder", lambda **options: digits())
    done = cli("show", "plain", "--data", "imagefolder", "--set", "data.root=x")
    assert "data imagefolder: images 1x8x8, 10 classes" in done.out


def test_nothing_is_written(cli, project):
    cli("show", *PLAIN)
    assert project.files() == {}


def test_a_plugin_can_be_shown(cli, project):
    project.write(
        """
from torch import nn
from eibench.plan.options import ModelOptions
from eibench.plugins import add_model

class OneOptions(ModelOptions):
    \"\"\"One convolution, nothing more.\"\"\"
    name = "one"
    fails: bool = False

def one(method, image, classes, *, fails):
    if fails:
        raise KeyError("no such thing")
    body = nn.Sequential(method.conv(image[0], 2, 1), method.neuron(2), nn.Flatten(2))
    return nn.Sequential(body, method.readout(2 * image[1] * image[2], classes))

add_model(OneOptions, one)
""",
        "mine.py",
    )
    done = cli("show", "one", "--plugin", "mine.py", "--method", "no_norm")
    assert done.code == 0
    assert "Conv2d 1x1" in done.out
    done = cli("show", "one", "--plugin", "mine.py", "--set", "model.fails=true")
    assert done.code == 2
    (line,) = done.errors
    assert line.startswith("mine.py:")
    assert "no such thing" in line


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["resent"], "MODEL resent: unknown model 'resent'; allowed: mlp, plain, vgg, resnet"),
        (["plain", "--data", "digit"], "--data digit: unknown data set 'digit'"),
        (["plain", "--method", "tdnb"], "--method tdnb: unknown method 'tdnb'"),
        (["plain", "--set", "model.dpeth=2"], "pools, width; did you mean 'depth'?"),
        (["plain", "--set", "model.depth"], "--set model.depth: must be KEY=VALUE"),
        (["vgg", "--set", "model.depth=9"], "--set model.depth=9: must be 8, 11, 16 or 19"),
        (["vgg"], "needs images of at least 32x32 for its 5 poolings, not 8x8"),
        (["resnet", "--set", "model.stem=large"], "at least 32x32 for its large stem, not 8x8"),
        (["plain", "--set", "neuron.threshold=90", "--method", "weight_standardization"],
         "does not reach a threshold of 90.0"),
        (["plain", "--data", "imagefolder", "--set", "data.root=none"], "no such folder"),
        (["plain", "--plugin", "none.py"], "none.py: no such file"),
        (["mlp", "--set", "model.width=2000000000"], "at most 65536"),
    ],
)  # fmt: skip
def test_bad_input_is_one_message(cli, words, text):
    done = cli("show", *words)
    assert (done.code, done.out) == (2, "")
    (line,) = done.errors
    assert text in line


def test_every_problem_is_told_at_once(cli):
    done = cli("show", "resent", "--data", "digit", "--set", "train.lr=-1")
    assert done.code == 2
    assert [line.split(":")[0] for line in done.errors] == [
        "MODEL resent",
        "--data digit",
        "--set train.lr=-1",
    ]
