"""Several processes train one network: the numbers are those of one with the whole batch."""

import pytest
import rank_pair
import torch
from rank_pair import Pair, spec_of
from torch import nn

from eibench.data.base import ImageData, Split
from eibench.errors import UserError
from eibench.nn.shared_batch import batch_mean, batch_total, shared_batch
from eibench.plan import RunSpec
from eibench.training.batch_of_one import check_batches, check_shares
from eibench.training.pieces import bounds, slices, take

BLANKET = {"name": "ei", "preset": "blanket"}
PLASTIC = {"name": "ei", "divisive": False, "plasticity": 0.2}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    made = Pair(tmp_path_factory.mktemp("pair") / "store")
    yield made
    made.close()


def same(states, wanted, within=1e-8):
    """Both processes have equal states, and those of the one process.

    In float64 but for the loss, differences were at most 1e-10 under SGD, and 2e-9 under Muon.
    """
    first, second = states
    assert first.keys() == second.keys() == wanted.keys()
    for key, value in wanted.items():
        assert torch.equal(first[key], second[key]), key
        assert torch.allclose(first[key].double(), value.double(), rtol=0, atol=within), key


METHODS = [
    "ei",
    BLANKET,
    PLASTIC,
    "batchnorm",
    {"name": "batchnorm", "stats": "per_step"},
    "tdbn",
    "bntt",
    "tebn",
    "tab",
    "mpbn",
    "dann",
    "spikeinit",
]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_twenty_steps_equal_those_of_one_process(pair, method):
    spec = spec_of(method)
    (first, records), (second, other) = pair("train", spec)
    state, wanted = rank_pair.train(None, spec)
    same((first, second), state)
    assert records == other
    for key in ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy"):
        assert records[0][key] == pytest.approx(wanted[0][key], abs=1e-6)
    assert records[0]["firing_rate_by_layer"] == wanted[0]["firing_rate_by_layer"]


@pytest.mark.parametrize("train", [{"optimizer": "muon"}, {"clip_norm": 0.01}, {"accumulate": 3}])
def test_options_of_training_see_the_whole_gradient(pair, train):
    spec = spec_of("ei", **train)
    runs = pair("train", spec)
    same([state for state, _ in runs], rank_pair.train(None, spec)[0])


def test_statistics_are_those_of_a_piece_in_any_number_of_processes(pair):
    spec = spec_of("batchnorm", accumulate=3)
    runs = pair("train", spec)
    same([state for state, _ in runs], rank_pair.train(None, spec)[0])


def test_evaluation_counts_the_same_in_two_processes(pair):
    """52 images in batches of 7: the last has 3."""
    spec = spec_of("ei")
    first, second = pair("score", spec, 7)
    alone = rank_pair.score(None, spec, 7)
    assert first == second
    assert first["loss"] == pytest.approx(alone.pop("loss"), abs=1e-6)
    assert {key: first[key] for key in alone} == alone


@pytest.mark.parametrize("saved_by_two", [True, False])
def test_a_checkpoint_serves_another_number_of_processes(pair, tmp_path, saved_by_two):
    spec, path = spec_of(BLANKET), str(tmp_path / "checkpoint")
    wanted = rank_pair.train(None, spec, 2)[0]
    if saved_by_two:
        pair("save", spec, path)
        state, _ = rank_pair.train(None, spec, 2, path)
        same((state, state), wanted)
    else:
        rank_pair.save(None, spec, path)
        same([state for state, _ in pair("train", spec, 2, path)], wanted)


def test_an_error_is_that_of_all_processes(pair):
    for where in ([0], [1], [0, 1]):
        first = where[0]
        texts = [f"RankError: process {first}: ValueError: mine is {first}"] * 2
        texts[first] = f"ValueError: mine is {first}"
        assert pair("fail", where) == texts
    assert pair("fail", []) == [1, 1]


# ------------------------------------------------------------------------------ accumulation


def test_pieces_add_up_to_the_whole_batch():
    state = rank_pair.train(None, spec_of("ei", accumulate=4))[0]
    same((state, state), rank_pair.train(None, spec_of("ei"))[0])


def test_bounds_and_slices_by_hand():
    assert bounds(7, 2) == [(0, 3), (3, 7)]
    assert slices(7, 2) == [(0, 3), (3, 7)]
    assert slices(7, 2, 0, 2) == [(0, 1), (3, 5)]
    assert slices(7, 2, 1, 2) == [(1, 3), (5, 7)]
    assert slices(2, 5) == [(0, 1), (1, 2)]


@pytest.mark.parametrize("n", range(1, 30))
def test_every_image_has_one_place(n):
    index = torch.randperm(n)
    for pieces in range(1, 6):
        for ranks in range(1, 4):
            parts = [take(index, pieces, rank, ranks) for rank in range(ranks)]
            assert torch.equal(torch.cat(parts).sort()[0], index.sort()[0])


# ---------------------------------------------------------------------- statistics by themselves


class Alone:
    """One process that shares its batch with nobody."""

    rank, size = 0, 1

    def total(self, number):
        return number

    def sum_(self, x):
        return x


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_shared_batch_norm_is_torchs(affine, momentum):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(6, 3, 4, 4, generator=g, dtype=torch.float64)
    ways = []
    for processes in (None, Alone()):
        norm = nn.BatchNorm2d(3, momentum=momentum, affine=affine).double()
        own = x.clone().requires_grad_()
        with shared_batch(processes):
            y = norm(own) + norm(own)
        (y * x.cos()).sum().backward()
        ways.append([y, own.grad, *[p.grad for p in norm.parameters()], *norm.buffers()])
    for one, other in zip(*ways, strict=True):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-12)


def test_shared_batch_norm_under_autocast():
    """bfloat16 in and out, statistics and gradients of parameters in float32."""
    x = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    ways = []
    for processes in (None, Alone()):
        norm, own = nn.BatchNorm2d(3), x.clone().requires_grad_()
        with shared_batch(processes), torch.autocast("cpu", torch.bfloat16):
            y = norm(own)
        (y.float() * x.float().cos()).sum().backward()
        assert y.dtype == own.grad.dtype == torch.bfloat16
        ways.append([y, own.grad, norm.weight.grad, norm.running_var])
    for one, other in zip(*ways, strict=True):
        assert one.dtype == other.dtype
        assert torch.allclose(one.float(), other.float(), rtol=0.02, atol=0.02)


def test_evaluation_and_other_functions_are_left_alone():
    norm, x = nn.BatchNorm2d(3).eval(), torch.randn(2, 3, 4, 4)
    with shared_batch(Alone()):
        assert torch.allclose(norm(x), x / (1 + 1e-5) ** 0.5)
        assert batch_total(5) == 5
        assert torch.allclose(batch_mean(x, (0, 2, 3)), x.mean((0, 2, 3)))
    assert torch.equal(batch_mean(x, (0,)), x.mean(0))


def test_no_process_is_left_without_an_image():
    split = lambda n: Split(torch.zeros(n, 1, 4, 4), torch.zeros(n).long())  # noqa: E731
    data = ImageData(("a", "b"), split(41), split(9), split(9))
    check_shares(spec_of("ei"), data, 1)
    with pytest.raises(
        UserError, match=r"^train.batch_size 20 leaves a batch of 1 images of train"
    ):
        check_shares(spec_of("ei"), data, 2)
    check_shares(spec_of("ei", batch_size=41), data, 9)
    with pytest.raises(UserError, match=r"^validation has 9 images for 10 processes"):
        check_shares(spec_of("ei", batch_size=41), data, 10)
    with pytest.raises(UserError, match=r"in 6 pieces \(train.accumulate\) for 7 processes"):
        check_shares(spec_of("ei", batch_size=41, accumulate=6), data, 7)


def test_a_piece_of_one_image_is_refused_where_the_network_needs_more():
    split = lambda n: Split(torch.zeros(n, 1, 4, 4), torch.zeros(n).long())  # noqa: E731
    data = ImageData(("a", "b"), split(40), split(9), split(9))
    method, dense = {"name": "batchnorm", "stats": "per_step"}, {"name": "mlp", "depth": 1}
    values = spec_of(method, accumulate=13).to_dict()
    run = RunSpec.parse({**values, "model": dense})
    with pytest.raises(
        UserError,
        match=r"^train.accumulate 13 makes a piece of one image of a batch"
        " of 20.*; it may be at most 10$",
    ):
        check_batches(run, data)
    values["train"]["accumulate"] = 10
    check_batches(RunSpec.parse({**values, "model": dense}), data)
    check_batches(spec_of("batchnorm", accumulate=20), data)  # maps have many values
