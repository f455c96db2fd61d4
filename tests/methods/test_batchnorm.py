"""First weights of networks under batch norm."""

import pytest
import torch

from eibench.methods.norms import BatchNorm, BatchNormOptions
from eibench.plan.options import NeuronOptions


def kernel(**choice):
    chosen = BatchNormOptions(**choice)
    method = BatchNorm(options=chosen, lif={}, timesteps=4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return method.conv(64, 128, 3).get_submodule("0.module").weight.detach()


def test_torchs_own_initialisation():
    """Uniform within 1 / sqrt(fan-in), which is what a convolution of torch draws by itself."""
    weight = kernel(init="torch")
    bound = (64 * 9) ** -0.5
    assert 0.999 * bound < weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.01)


def test_kaimings_is_the_default():
    weight = kernel()
    assert torch.equal(weight, kernel(init="kaiming"))
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.01)
    assert BatchNormOptions(init="torch").label == "batchnorm-torch"


def test_scale_and_shift_are_where_it_starts():
    """On the first batch each channel has that deviation and mean, for both statistics."""
    x = torch.rand(3, 8, 4, 6, 6)
    for stats in ("joint", "per_step"):
        options = BatchNormOptions(stats=stats, scale=0.6, shift=0.3)
        method = BatchNorm(options=options, lif=NeuronOptions().model_dump(), timesteps=3)
        norm = method.norm(4, 1)
        current = norm.train()(x).movedim(2, 0).flatten(1)
        torch.testing.assert_close(current.mean(1), torch.full((4,), 0.3), rtol=0, atol=1e-4)
        torch.testing.assert_close(current.std(1), torch.full((4,), 0.6), rtol=0, atol=0.01)
