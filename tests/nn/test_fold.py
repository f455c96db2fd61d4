"""Batch norm folded into its convolution: equal currents and logits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from eibench.nn import LIF, Chain, Current, TimeDistributed, affine_synapse, fold_batchnorm
from eibench.nn.norms import BatchNorm2d, BatchNormPerStep2d, TDBatchNorm2d
from eibench.nn.sequence_norms import TEBatchNorm2d

X = torch.rand(4, 3, 2, 6, 6, generator=torch.manual_seed(1), dtype=torch.float64)
NORMS = {
    "joint": BatchNorm2d,
    "per step": BatchNormPerStep2d,
    "td": lambda n: TDBatchNorm2d(n, threshold=0.7, alpha=0.5),
}


def trained(norm, bias: bool = False) -> Chain:
    torch.manual_seed(2)
    conv = TimeDistributed(nn.Conv2d(2, 5, 3, padding=1, bias=bias))
    model = Chain(Current(conv, norm(5)), LIF(), nn.Flatten(2), nn.Linear(180, 3)).double()
    with torch.no_grad():
        for parameter in model[0][1].parameters():
            parameter.uniform_(0.5, 1.5)
        for _ in range(5):
            model.train()(X + 0.1)
    return model.eval()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("bias", [False, True])
def test_currents_and_logits_are_equal(norm, bias):
    model = trained(NORMS[norm], bias)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    folded = fold_batchnorm(model)
    assert [type(part) for part in folded[0]] == [TimeDistributed]
    assert (folded[0](X) - model[0](X)).abs().max() < 1e-12
    assert (folded(X) - model(X)).abs().max() < 1e-6
    single = fold_batchnorm(model.float())
    assert (single[0](X.float()) - model[0](X.float())).abs().max() < 1e-6
    assert all(torch.equal(v.float(), model.state_dict()[k].float()) for k, v in before.items())


def test_plain_torch_and_norms_without_affine():
    torch.manual_seed(3)
    norm = nn.BatchNorm2d(5, affine=False)
    model = nn.Sequential(nn.Conv2d(2, 5, 3), norm, nn.ReLU()).train()
    model(X[0].float())
    folded = fold_batchnorm(model)
    assert len(folded) == 2
    assert (folded(X[0].float()) - model.eval()(X[0].float())).abs().max() < 1e-6


def test_what_stays():
    """A factor for each step, no running statistics, and a norm behind something else."""
    for parts in (
        [TimeDistributed(nn.Conv2d(2, 5, 3)), TEBatchNorm2d(5, 4)],
        [nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5, track_running_stats=False)],
        [nn.Conv2d(2, 5, 3), nn.ReLU(), nn.BatchNorm2d(5)],
    ):
        model = nn.Sequential(*parts)
        folded = fold_batchnorm(model)
        assert [type(p) for p in folded] == [type(p) for p in parts] and folded is not model


def test_no_affine_map():
    with pytest.raises(ValueError, match="ReLU is no affine map"):
        affine_synapse(nn.ReLU())


class Skipped(nn.Sequential):
    """A sequence that is not applied one part after another."""

    def forward(self, x):
        y = self[0](x)
        return y + self[1](y)


def test_what_another_part_needs_as_it_is_stays():
    """A convolution under two norms, one that is also used bare, and hooks on either."""
    torch.manual_seed(0)
    conv, hooked, norm, asked = (
        *(nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3)),
        *(nn.BatchNorm2d(3), nn.BatchNorm2d(3)),
    )
    for one in (hooked, norm):
        one.register_forward_hook(lambda module, inputs, out: 2 * out)
    asked.register_forward_pre_hook(lambda module, inputs: (inputs[0] + 1,))
    x = torch.randn(8, 2, 5, 5)
    for parts in (
        (nn.Sequential(conv, nn.BatchNorm2d(3)), nn.Sequential(conv, nn.BatchNorm2d(3))),
        (nn.Sequential(conv, nn.BatchNorm2d(3)), conv),
        (nn.Sequential(hooked, nn.BatchNorm2d(3)),),
        (nn.Sequential(nn.Conv2d(2, 3, 3), norm),),
        (nn.Sequential(nn.Conv2d(2, 3, 3), asked),),
        (Skipped(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)),),
    ):
        model = nn.ModuleList(parts)
        for part in model:
            part(3 * x + 1)
        folded = fold_batchnorm(model)
        for part, other in zip(model.eval(), folded, strict=True):
            assert torch.allclose(part(x), other(x), atol=1e-5)
