"""Corruptions of test images, by hand-derived values and properties."""

from __future__ import annotations

import pytest
import torch

from eibench.data.base import Split
from eibench.data.batches import evaluation_batches
from eibench.data.corruptions import CORRUPTIONS, corrupt
from eibench.plan.conditions import CONDITIONS, effective

X = torch.rand(5, 3, 8, 6, generator=torch.manual_seed(1))


def chance(name: str = "", seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def changed(name: str, strength: float, images: torch.Tensor = X) -> torch.Tensor:
    return corrupt(images, {name: strength}, chance)


def test_every_condition_of_the_input_has_code():
    of_input = {name for name, known in CONDITIONS.items() if known.acts_on == "input"}
    assert of_input == CORRUPTIONS.keys()


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name != "gaussian_blur"])
def test_neutral_values_change_nothing(name):
    neutral = CONDITIONS[name].neutral
    assert effective({name: neutral}) == {}
    assert torch.allclose(changed(name, neutral), X, atol=1e-7)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("end", ["least", "largest"])
def test_ends_of_ranges_stay_within_images(name, end):
    strength = getattr(CONDITIONS[name], end) or 1e-3
    out = changed(name, strength)
    assert out.shape == X.shape and out.min() >= 0 and out.max() <= 1
    assert torch.equal(out, changed(name, strength))  # seeded


def test_values_by_hand():
    image = torch.tensor([[0.0, 0.2], [0.4, 1.0]])[None, None]
    assert torch.allclose(
        changed("contrast", 0.5, image), torch.tensor([[0.2, 0.3], [0.4, 0.7]])[None, None]
    )
    assert torch.equal(changed("contrast", 0.0, X)[0, 1], X[0, 1].mean().expand(8, 6))
    assert torch.allclose(
        changed("brightness", 0.3, image), torch.tensor([[0.3, 0.5], [0.7, 1.0]])[None, None]
    )
    noise = torch.randn(image.shape, generator=chance())
    expected = (image + 0.1 * noise).clamp(0, 1)
    assert torch.equal(changed("gaussian_noise", 0.1, image), expected)


def test_shares():
    grey = torch.full((4, 1, 100, 100), 0.5)
    out = changed("impulse_noise", 0.2, grey)
    assert (
        abs((out == 0).float().mean() - 0.1) < 0.01 and abs((out == 1).float().mean() - 0.1) < 0.01
    )
    out = changed("occlusion", 0.25, grey)
    assert ((out == 0).sum((1, 2, 3)) == 2500).all()
    rows = (out == 0).any(3).float().argmax(2).flatten()
    assert len(set(rows.tolist())) > 1  # each image has its own place
    assert (changed("occlusion", 1.0, grey) == 0).all()


def test_blur():
    flat = torch.full((1, 2, 5, 7), 0.3)
    assert torch.allclose(changed("gaussian_blur", 2.0, flat), flat)
    point = torch.zeros(1, 1, 9, 9)
    point[..., 4, 4] = 1
    out = changed("gaussian_blur", 1.0, point)[0, 0]
    assert torch.allclose(out, out.T) and torch.allclose(out, out.flip(0))
    assert abs(out.sum() - 1) < 1e-4
    assert abs(out[4, 5] / out[4, 4] - torch.exp(torch.tensor(-0.5))) < 1e-5
    assert torch.allclose(changed("gaussian_blur", 1e-3, X), X)


def test_several_in_the_order_of_the_registry():
    both = effective({"gaussian_noise": 0.1, "contrast": 0.5})
    assert list(both) == ["contrast", "gaussian_noise"]
    assert torch.equal(
        corrupt(X, both, chance), changed("gaussian_noise", 0.1, changed("contrast", 0.5))
    )


def test_batches_are_changed_before_they_are_normalized():
    split = Split((X * 255).byte(), torch.zeros(5, dtype=torch.int64))
    seen = []

    def change(images: torch.Tensor, batch: int) -> torch.Tensor:
        seen.append((batch, images.dtype, len(images)))
        return images * 0

    batches = list(evaluation_batches(split, 3, None, change))
    assert seen == [(0, torch.float32, 3), (1, torch.float32, 2)]
    assert all((images == 0).all() for images, _ in batches)
