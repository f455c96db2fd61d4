"""`eibench check`: the message for each violation of a contract."""

from pathlib import Path

import pytest

NORM = "my_norm.py"
CLASS_END = "        return RMSNorm2d(channels, self.eps)\n"
FORWARD = "        square = x"
INIT = "        self.eps, self.scale"

BROKEN_METHODS = {
    "wrong shape": (
        ["return x / ", "return x[..., 1:] / "],
        "conv(2, 6, 3, stride=1, branches=1, summed=1) gives [1, 1, 6, 8, 7] for an input of "
        "[1, 1, 2, 8, 8]; it must be [1, 1, 6, 8, 8]",
    ),
    "NaN on silence": (
        ["(square + self.eps)", "square"],
        "for an input of zeros in training mode: add a small number to what divides",
    ),
    "a parameter in no group": (
        [
            CLASS_END,
            CLASS_END + "\n    def param_groups(self, model, weight_decay):\n"
            "        groups = super().param_groups(model, weight_decay)\n"
            "        return groups[:1]\n",
        ],
        "is in no group, so it would not be trained",
    ),
    "a parameter in two groups": (
        [
            CLASS_END,
            CLASS_END + "\n    def param_groups(self, model, weight_decay):\n"
            "        return super().param_groups(model, weight_decay) * 2\n",
        ],
        "is in more than one place",
    ),
    "vectors that decay": (
        [
            CLASS_END,
            CLASS_END + "\n    def param_groups(self, model, weight_decay):\n"
            '        return [{"params": list(model.parameters()), "weight_decay": weight_decay}]\n',
        ],
        "of 1 dimensions, has the weight decay 0.5 where 0.0 is asked",
    ),
    "buffers that change in evaluation": (
        [
            INIT,
            '        self.register_buffer("seen", torch.zeros(()))\n' + INIT,
            FORWARD,
            "        self.seen += 1\n" + FORWARD,
        ],
        "conv0.1.seen, conv2.1.seen, conv4.1.seen changed in evaluation mode",
    ),
    "chance in evaluation": (
        ["* self.scale.view(-1, 1, 1)", "* (self.scale.view(-1, 1, 1) + torch.randn_like(x))"],
        "two passes over one input differ in evaluation mode",
    ),
    "preparation outside the state": (
        [
            INIT,
            "        self.gain = 1.0\n" + INIT,
            "return x / ",
            "return self.gain * x / ",
            CLASS_END,
            CLASS_END + "\n    def prepare(self, model, batch, generator):\n"
            "        for part in model.modules():\n"
            "            if isinstance(part, RMSNorm2d):\n"
            "                part.gain = 3.0\n",
        ],
        "must be a parameter or a buffer (register_buffer), not a plain attribute",
    ),
    "project that goes on": (
        [
            CLASS_END,
            CLASS_END + "\n    def project(self, model):\n"
            "        with torch.no_grad():\n"
            "            for p in model.parameters():\n"
            "                p.mul_(0.9)\n",
        ],
        "`project` twice is not `project` once",
    ),
    "a dead parameter": (
        [INIT, "        self.unused = nn.Parameter(torch.ones(3))\n" + INIT],
        "no gradient for conv0.1.unused, conv2.1.unused, conv4.1.unused in plain-depth3",
    ),
    "a gradient cut off": (
        ["return x / ", "return x.detach() / ", "square = x", "square = x.detach()"],
        "the gradient of conv0.0.module.weight",
    ),
    "a second neuron": (
        [
            "        return RMSNorm2d(channels, self.eps)",
            "        from eibench.nn import LIF\n"
            "        return nn.Sequential(RMSNorm2d(channels, self.eps), LIF(**self.lif))",
        ],
        "has neurons of ",
    ),
    "numbers read while building": (
        [INIT, "        assert torch.ones(channels).sum().item() == channels\n" + INIT],
        "broken.py:24: RuntimeError: ",
    ),
    "no summary": (
        ['"""Root mean square norm of each sample at each step."""', '"""norm"""'],
        "the first line of its docstring is 'norm'",
    ),
    "a default that is refused": (["Field(1e-5, gt=0)", "Field(-1.0, gt=0)"], "`eps` is refused"),
    "a value that YAML cannot write": (
        ["eps: float = Field(1e-5, gt=0)", "eps: complex = 1e-5j"],
        "`eps` is 1e-05j, a complex, which YAML cannot write",
    ),
    "same_as that is not so": (
        [
            "\n\nclass RMSNorm2d",
            "\n    def same_as(self, model, neuron, timesteps):\n"
            "        from eibench.methods.norms import TDBNOptions\n"
            "        return TDBNOptions()\n\n\nclass RMSNorm2d",
        ],
        "`same_as` says that it computes what tdbn does (at T = 1), and their logits differ",
    ),
}


@pytest.mark.parametrize("why", BROKEN_METHODS)
def test_a_broken_method_is_told(cli, broken, why):
    changes, words = BROKEN_METHODS[why]
    done = cli("check", broken(NORM, *changes))
    assert done.code == 1
    assert "FAILS" in done.out and words in done.out, done.out
    assert done.err == f"running the code of {Path('broken.py').resolve()}\n"
    assert done.out.splitlines()[-1].endswith(("1 contract fails", "contracts fail"))


MODEL = "my_model.py"
BROKEN_MODELS = {
    "a crash in place of a refusal": (
        ["    parts = [", "    assert height > 4\n    parts = ["],
        "it cannot be built for images of 4x4; raise a ValueError, in words, for images that are "
        "too small: broken.py:37: AssertionError",
    ),
    "weights of its own": (
        ["method.readout(width * left, classes)", "nn.Linear(width * left, classes)"],
        "it never asks for `method.readout`",
    ),
    "a part of its own": (
        ["body, method", "body, nn.LayerNorm(width * left), method"],
        "1.weight, 1.bias did not come from the method",
    ),
    "branches that it does not own up to": (
        ["    sums_currents = True\n", ""],
        "its options need the line `sums_currents = True`",
    ),
    "a wrong number of logits": (
        ["* left, classes)", "* left, classes + 1)"],
        "logits are [2, 3, ",
    ),
    "chance of its own": (
        [
            "    return nn.Sequential(body, ",
            "    import random\n"
            "    for p in body.parameters():\n"
            "        nn.init.constant_(p, random.random())\n"
            "    return nn.Sequential(body, ",
        ],
        "two networks under one seed differ",
    ),
    "no size at all": (
        ["if min(height, breadth) < 2**blocks", "if min(height, breadth) < 1000"],
        "no image of 1 to 64 pixels a side suits it",
    ),
    "only some methods": (
        [
            "self.neuron = method.neuron(c_out)",
            "self.neuron = method.neuron(c_out)\n        assert 'ei_ratio' not in repr(method)",
        ],
        "it fails over the method dann: broken.py:26: AssertionError",
    ),
}


@pytest.mark.parametrize("why", BROKEN_MODELS)
def test_a_broken_model_is_told(cli, broken, why):
    changes, words = BROKEN_MODELS[why]
    done = cli("check", broken(MODEL, *changes))
    assert done.code == 1
    assert words in done.out, done.out


DATA = "my_data.py"
RETURN = '    return ImageData(("columns", "rows"), split(512), split(128), split(256))'
BROKEN_DATA = {
    "splits that leak": (
        [
            RETURN,
            RETURN.replace("return ", "data = ") + "\n    images = data.test.images\n"
            "    images[:64] = data.train.images[:64]\n    return data",
        ],
        "64 of 256 images of test occur in train too",
    ),
    "values outside": (["noisy.clamp(0, 1)", "noisy"], "scale them to [0, 1]"),
    "bytes of another kind": (["noisy.clamp(0, 1)", "noisy.clamp(0, 1).double()"], "torch.float64"),
    "an empty split": (["split(128)", "split(0)"], "validation is empty"),
    "short labels": (
        ["clamp(0, 1), labels)", "clamp(0, 1), labels[1:])"],
        "train has 512 images and labels of [511]",
    ),
    "narrow labels": (["clamp(0, 1), labels)", "clamp(0, 1), labels.int())"], "not int64"),
    "labels beyond the classes": (["arange(count) % 2", "arange(count) % 3"], "go from 0 to 2"),
    "a class without images": (['"rows")', '"rows", "dots")'], "no training image of dots"),
    "a class twice": (['"rows")', '"columns")'], "2 classes are called 'columns'"),
    "new each time": (
        ["torch.Generator().manual_seed(0)", "None"],
        "two calls give different data",
    ),
    "not an ImageData": ([RETURN, RETURN.replace("ImageData(", "tuple((") + ")"], "gives a tuple"),
    "sizes that differ": (
        [
            "return Split(noisy.clamp(0, 1), labels)",
            "return Split(noisy.clamp(0, 1)[..., : 8 - (count == 256)], labels)",
        ],
        "images of test are (1, 8, 7), those of train (1, 8, 8)",
    ),
    "an exception": (
        ["    draw =", "    open('nowhere')\n    draw ="],
        "broken.py:19: FileNotFound",
    ),
}


@pytest.mark.parametrize("why", BROKEN_DATA)
def test_broken_data_are_told(cli, broken, why):
    changes, words = BROKEN_DATA[why]
    done = cli("check", broken(DATA, *changes))
    assert done.code == 1
    assert words in done.out, done.out


def test_settings_reach_the_options(cli, tutorial):
    assert "data stripes-noise0.1" in cli("check", DATA, "--set", "noise=0.1").out
    assert cli("check", DATA, "--set", "nose=1").errors == [
        "--set nose=1: unknown option; allowed: noise; did you mean 'noise'?"
    ]
    assert cli("check", DATA, "--set", "noise=-1").errors == [
        "stripes: noise must be at least 0.0, not -1; --set gives options"
    ]


def test_a_required_option_is_asked_for(cli, broken):
    done = cli("check", broken(DATA, "Field(0.3, ge=0)", "Field(ge=0)"))
    assert (done.code, done.errors) == (2, ["stripes: noise is missing; --set gives options"])
