"""First weights of networks under batch norm."""

import pytest
import torch

from eibench.methods.norms import BatchNorm, BatchNormOptions


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
