"""Weights that fall with distance, against a profile summed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from eibench.nn import EIConv2d, EIInit, EILinear
from eibench.nn import functional as F

SIDE, CORNER = math.exp(-1 / (2 * 0.5**2)), math.exp(-2 / (2 * 0.5**2))
"""A 3x3 kernel has its middle, four neighbours at distance 1 and four at sqrt(2); deviation 0.5."""


@pytest.mark.parametrize(("match", "power"), [("mean", 1), ("second_moment", 2)])
def test_a_profile_by_hand(match: str, power: int) -> None:
    size = ((1 + 4 * SIDE**power + 4 * CORNER**power) / 9) ** (1 / power)
    rows = [[CORNER, SIDE, CORNER], [SIDE, 1.0, SIDE], [CORNER, SIDE, CORNER]]
    wanted = torch.tensor(rows, dtype=torch.float64) / size
    torch.testing.assert_close(F.topographic((3, 3), 0.5, match), wanted, rtol=1e-12, atol=0)


def test_even_kernels_have_their_middle_between_pixels() -> None:
    assert F.topographic((2, 4), 0.7, "mean")[0].tolist() == pytest.approx(
        F.topographic((2, 4), 0.7, "mean")[1].flip(0).tolist()
    )


@pytest.mark.parametrize("kernel", [(), (1,), (1, 1)])
def test_without_extent_nothing_changes(kernel: tuple[int, ...]) -> None:
    assert F.topographic(kernel, 0.1, "mean").flatten().tolist() == [1.0]


def test_wide_is_uniform() -> None:
    profile = F.topographic((3, 3), 1e6, "second_moment")
    torch.testing.assert_close(profile, torch.ones_like(profile))


def layer(topography: float | None, match: str = "mean") -> EIConv2d:
    init = EIInit(weight_law="gamma", law_shape=0.3, law_match=match, topography=topography)
    made = EIConv2d(64, 128, 3, 1, 1, init=init).double()
    x = (torch.rand(2, 8, 64, 4, 4, generator=torch.Generator().manual_seed(0)) < 0.2).double()
    made.initialize(x, torch.Generator().manual_seed(1))
    return made


@pytest.mark.parametrize("match", ["mean", "second_moment"])
def test_both_synapses_are_the_same_draw_times_the_profile(match: str) -> None:
    near, plain, profile = layer(0.5, match), layer(None, match), F.topographic((3, 3), 0.5, match)
    for name in ("weight_ee", "weight_ie"):
        wanted = getattr(plain, name) * profile
        torch.testing.assert_close(getattr(near, name), wanted, rtol=1e-12, atol=0)
    for name in ("weight_ei", "gain_i", "gain_e", "bias"):
        assert torch.equal(getattr(near, name), getattr(plain, name))


@pytest.mark.parametrize("match", ["mean", "second_moment"])
def test_moments_of_profiled_weights(match: str) -> None:
    """Weights of 1 and 4, equally often at each position: mean 2.5, variance 2.25."""
    profile = F.topographic((3, 3), 0.5, match)
    weights = torch.stack([profile, 4 * profile])
    mean, variance = F.profiled((2.5, 2.25), profile)
    assert mean == pytest.approx(weights.mean().item(), rel=1e-12)
    assert variance == pytest.approx(weights.var(correction=0).item(), rel=1e-12)


def test_dense_layers_have_no_distance() -> None:
    x = torch.rand(2, 8, 12, generator=torch.Generator().manual_seed(0))
    made = [EILinear(12, 8, init=EIInit(topography=t)) for t in (None, 0.3)]
    for one in made:
        one.initialize(x, torch.Generator().manual_seed(1))
    assert torch.equal(made[0].weight_ee, made[1].weight_ee)


def test_out_of_range() -> None:
    with pytest.raises(ValueError, match="topography must be above 0, not 0"):
        EIInit(topography=0.0)
