"""The Triton kernels in Triton's interpreter, against the oracle and against torch's operations.

The interpreter is chosen when Triton is loaded, so the tests run in a process of their own.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

from eibench.nn import LIF, Chain, Circuit, EIConv2d, initialize
from eibench.nn.kernels.division import stabilize

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
inside = pytest.mark.skipif(not INTERPRETED, reason="runs in the process of test_in_interpreter")
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)
old_interpreter = pytest.mark.skipif(
    importlib.util.find_spec("triton") is not None
    and version("triton").startswith(("3.0", "3.1", "3.2"))
    and np.lib.NumpyVersion(np.__version__) >= "2.4.0",
    reason="the interpreter of Triton 3.2 cannot loop under numpy 2.4",
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")


@needs_triton
@old_interpreter
@pytest.mark.skipif(INTERPRETED, reason="is the interpreter's process")
def test_in_interpreter():
    here = Path(__file__)
    env = {**os.environ, "TRITON_INTERPRET": "1", "EIBENCH_KERNELS": "triton"}
    options = ["-p", "no:cacheprovider", "--rootdir", str(here.parents[2])]
    command = [sys.executable, "-m", "pytest", "-q", *options, str(here)]
    done = subprocess.run(
        command, env=env, cwd=here.parents[2], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@inside
@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("kind", ["sigmoid", "atan"])
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize(("steps", "size"), [(1, 5), (4, 1500)])
def test_neuron(reset, kind, detach, steps, size):
    from oracle import lif_backward, lif_forward

    rng = np.random.default_rng(steps)
    x = (0.3 + rng.normal(size=(steps, 1, size))).astype(np.float32)
    expected, u = lif_forward(x.astype(np.float64), 2.0, 1.0, reset)
    assert np.abs(u - 1.0).min() > 1e-6
    grad = rng.normal(size=x.shape).astype(np.float32)
    d_x = lif_backward(grad.astype(np.float64), x, 2.0, 1.0, reset, kind, detach)
    current = torch.from_numpy(x).requires_grad_()
    spikes = LIF(2.0, 1.0, reset, kind, detach)(current)
    spikes.backward(torch.from_numpy(grad))
    np.testing.assert_array_equal(spikes.detach().numpy(), expected)
    np.testing.assert_allclose(current.grad.numpy(), d_x, rtol=1e-5, atol=1e-6)


@inside
def test_neuron_of_a_repeated_current():
    x = torch.rand(1, 2, 700) * 1.5
    torch.testing.assert_close(LIF()(x.expand(4, -1, -1)), LIF()(x.repeat(4, 1, 1)))


@inside
@pytest.mark.parametrize("size", [3, 1024, 2500])
def test_stabilize(size, monkeypatch):
    torch.manual_seed(size)
    divisor = torch.rand(4, size) * (torch.rand(4, size) < 0.5)
    divisor[1] = 0.0
    divisor[2] *= -1.0
    found = stabilize(divisor)
    monkeypatch.setenv("EIBENCH_KERNELS", "torch")
    torch.testing.assert_close(found, stabilize(divisor), rtol=0, atol=0)
    assert found[1].isposinf().all()


@inside
def test_a_network_is_the_same(monkeypatch):
    x = (torch.rand(3, 2, 2, 5, 5) < 0.3).float()
    layer, neuron = EIConv2d(2, 8, 3), LIF()
    layer.initialize(x, torch.Generator().manual_seed(0))
    found = []
    for kernels in ("triton", "torch"):
        monkeypatch.setenv("EIBENCH_KERNELS", kernels)
        layer.zero_grad()
        y = neuron(layer(x))
        y.sum().backward()
        found.append([y.detach(), *(p.grad.clone() for p in layer.parameters())])
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-5)


CIRCUITS = {
    "paper": {},
    "no subtraction": {"subtractive": False},
    "epsilon": {"stabilization": "epsilon", "epsilon": 0.1},
    "leak": {"stabilization": "leak"},
    "signed": {"dale": False},
}


def fired_both_ways(model, x, grad, monkeypatch):
    """Spikes and gradients of a layer with its neuron by Triton and by torch."""
    found = []
    for kernels in ("triton", "torch"):
        monkeypatch.setenv("EIBENCH_KERNELS", kernels)
        model.zero_grad()
        leaf = x.clone().requires_grad_() if x.stride(0) else x
        spikes = model(leaf)
        spikes.backward(grad)
        inputs = [leaf.grad] if x.stride(0) else []
        found.append([spikes.detach(), *inputs, *(p.grad.clone() for p in model.parameters())])
    return found


@inside
@pytest.mark.parametrize("circuit", CIRCUITS)
@pytest.mark.parametrize("static", [True, False])
def test_layer_and_neuron(circuit, static, monkeypatch):
    """Silent samples, zero divisors, cells below zero; more channels and positions than a tile."""
    torch.manual_seed(0)
    layer = EIConv2d(3, 72, 3, padding=1, circuit=Circuit(**CIRCUITS[circuit]))
    model = Chain(layer, LIF()).double()
    x = (torch.rand(3, 4, 3, 6, 7) < 0.2).double()
    x[:, 2] = 0.0
    x = x[0].expand(3, *x.shape[1:]) if static else x
    initialize(model, x, torch.Generator().manual_seed(0))
    if circuit == "signed":
        with torch.no_grad():
            layer.weight_ie -= 0.7 * layer.weight_ie.mean()
    grad = torch.randn(3, 4, 72, 6, 7).double()
    triton, plain = fired_both_ways(model, x, grad, monkeypatch)
    torch.testing.assert_close(triton, plain, rtol=1e-9, atol=1e-10)


@inside
@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("kind", ["sigmoid", "atan"])
@pytest.mark.parametrize("detach", [True, False])
def test_layer_and_neuron_against_the_oracle(reset, kind, detach):
    from oracle import Geometry, layer_backward, layer_forward, lif_backward, lif_forward
    from shapes import Shape, draw_parameters
    from test_fused import error, layer_like

    rng = np.random.default_rng(5)
    shape = Shape(Geometry(3, 1, 1), 3, 8)
    p, x = draw_parameters(rng, shape), rng.random(shape.input) * (rng.random(shape.input) < 0.3)
    current, _ = layer_forward(x, p, shape.geometry)
    spikes, u = lif_forward(current, 2.0, 1.0, reset)
    assert np.abs(u - 1.0).min() > 1e-6
    grad = rng.normal(size=spikes.shape)
    d_current = lif_backward(grad, current, 2.0, 1.0, reset, kind, detach)
    d_x, d_p = layer_backward(d_current, x, p, shape.geometry)
    model = Chain(layer_like(shape, p, torch.float64), LIF(2.0, 1.0, reset, kind, detach))
    activity = torch.from_numpy(x).requires_grad_()
    found = model(activity)
    found.backward(torch.from_numpy(grad))
    np.testing.assert_array_equal(found.detach().numpy(), spikes)
    assert error(activity.grad, d_x) <= 1e-8
    for name, parameter in model[0].named_parameters():
        assert error(parameter.grad, d_p[name]) <= 1e-8, name


@inside
def test_layer_and_neuron_in_bfloat16(monkeypatch):
    """A drive in bfloat16, the same on both ways; membrane and divisor in float32."""
    from test_fused import error

    monkeypatch.setattr("eibench.nn.ei_layer.worth_folding", lambda *_: False)
    model = Chain(EIConv2d(2, 8, 3, padding=1), LIF())
    x = (torch.rand(3, 4, 2, 5, 5) < 0.3).float()
    initialize(model, x, torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        grad = torch.randn(3, 4, 8, 5, 5).bfloat16()
        triton, plain = fired_both_ways(model, x, grad, monkeypatch)
    assert triton[0].dtype == torch.bfloat16
    assert torch.equal(triton[0], plain[0])
    for found, expected in zip(triton[1:], plain[1:], strict=True):
        assert error(found, expected.double().numpy()) < 0.01


@inside
def test_an_empty_batch_of_a_layer():
    model = Chain(EIConv2d(2, 8, 3), LIF())
    initialize(model, torch.rand(2, 3, 2, 5, 5))
    x = torch.rand(2, 0, 2, 5, 5, requires_grad=True)
    model(x).sum().backward()
    assert x.grad.shape == x.shape
    assert all((p.grad == 0).all() for p in model.parameters())


def test_choice(monkeypatch):
    from eibench.nn.kernels.dispatch import use_triton

    monkeypatch.delenv("EIBENCH_KERNELS", raising=False)
    assert not use_triton(torch.zeros(1))
    monkeypatch.setenv("EIBENCH_KERNELS", "torch")
    assert not use_triton(torch.zeros(1))
    monkeypatch.setenv("EIBENCH_KERNELS", "tritn")
    with pytest.raises(ValueError, match="EIBENCH_KERNELS must be torch or triton, not 'tritn'"):
        use_triton(torch.zeros(1))


@needs_gpu
def test_no_step_waits_for_the_gpu():
    """torch reports an error where the host would wait for the device."""
    from eibench.plan.options import DataShape
    from eibench.plan.spec import RunSpec
    from eibench.profile.subjects import make_experiment
    from eibench.training.fit import train_step

    device = torch.device("cuda")
    for method in ("ei", "batchnorm"):
        spec = RunSpec.parse({"method": method, "model": "vgg", "data": "digits"})
        experiment = make_experiment(spec, DataShape((3, 32, 32), 10), device)
        batch = experiment.data.train.images, experiment.data.train.labels
        train_step(experiment, batch, 0.001)
        torch.cuda.set_sync_debug_mode("error")
        try:
            train_step(experiment, batch, 0.001)
        finally:
            torch.cuda.set_sync_debug_mode("default")
