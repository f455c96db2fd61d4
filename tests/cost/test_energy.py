"""The model of energy, each number derived by hand."""

from __future__ import annotations

import pytest

from eibench.cost.constants import ARITHMETIC, BASE, Arithmetic, Memory
from eibench.cost.energy import (
    USES,
    ProductWork,
    Setting,
    Work,
    ann_bits,
    base_settings,
    energy,
    price,
    settings,
)
from eibench.cost.summary import CountedRun, summarize

MEMORY = Memory("memory", 2.0, 100.0)
KNOWN = Arithmetic("round numbers", 3.0, 1.0, 4, 4, (MEMORY,), "this test", division=5.0)
WORK = Work(
    timesteps=4,
    neurons=10,
    potentials=12,
    products=(
        ProductWork(effective=40, by_weight=40, bits=None, weights=10, inputs=8),  # the image
        ProductWork(effective=20, by_weight=80, bits=1, weights=20, inputs=40),  # spikes
        ProductWork(effective=16, by_weight=16, bits=None, weights=4, inputs=4),  # cells
        ProductWork(effective=9, by_weight=30, bits=2, weights=5, inputs=12),  # sums of spikes
    ),
    neuron_operations={"mac": 30, "compare": 40, "ac": 40},
    other_operations={"divide": 8, "multiply": 4, "function": 1},
)
# without memory: image 40 x 4, spikes 20 x 1, cells 16 x 4, sums 9 x 2
ACTIVE = 20 + 18
OTHER = 160 + 64 + 8 * 15 + 4 * 3 + 15
NEURONS = 30 * 4 + 80
# the ANN: 3 bits cost 3 additions; one of 4 steps; a comparison for each neuron
ANN = OTHER / 4 + 10 + (80 + 30) / 4 * 3
READ = 8 * 32 + 40 * 1 + 4 * 32 + 12 * 2 + 10 * 4  # bits, with 10 neurons' spikes of 4 steps
READ_ANN = (8 * 32 + 40 * 3 + 4 * 32 + 12 * 3) / 4 + 10 * 3


@pytest.mark.parametrize(
    ("use", "snn", "ann"),
    [
        ("compute", 0, 0),
        ("layerwise", 39 * 8 + READ / 4, 39 * 8 + READ_ANN / 4),
        ("stepwise", 4 * 39 * 8 + 8 * 8 * 12 + READ / 4, 39 * 8 + READ_ANN / 4),
        # every operation: 8 for its weight, 16 for its sum
        ("events", 85 * 24 + 8 * 8 * 12 + READ / 4, (56 / 4 + 110 / 4) * 24 + READ_ANN / 4),
    ],
)
def test_energy_by_hand(use, snn, ann):
    """A byte costs 2, a number of 4 bytes 8, a bit 1/4."""
    found = energy(WORK, Setting(use, KNOWN, MEMORY))
    assert found.snn == pytest.approx(ACTIVE + OTHER + NEURONS + snn)
    assert found.ann == pytest.approx(ANN + ann)


def test_break_even_is_where_both_cost_the_same():
    found = energy(WORK, Setting("compute", KNOWN, MEMORY))
    assert (found.active, found.fully_active) == (ACTIVE, 80 + 30 * 2)
    assert found.break_even == 0.0  # neurons alone cost more than what the ANN saves
    cheap = Work(**{**vars(WORK), "neuron_operations": {}, "other_operations": {}})
    found = energy(cheap, Setting("compute", KNOWN, MEMORY))
    rest = 160 + 64
    assert found.ann == pytest.approx(rest / 4 + 10 + 82.5)
    assert found.break_even == 0.0
    spikes = Work(4, 0, 0, WORK.products[:2], {}, {})
    found = energy(spikes, Setting("compute", KNOWN, MEMORY))
    # 160 + 80 r = 160 / 4 + 80 / 4 x 3: r = -60 / 80, never
    assert found.break_even == 0.0
    first = ProductWork(0, 0, None, 0, 0)
    found = energy(
        Work(4, 0, 0, (first, WORK.products[1]), {}, {}), Setting("compute", KNOWN, MEMORY)
    )
    assert found.break_even == pytest.approx(3 / 4)  # b / T: bits are steps
    assert (
        energy(Work(4, 0, 0, (first,), {}, {}), Setting("compute", KNOWN, MEMORY)).break_even
        is None
    )


@pytest.mark.parametrize(
    ("steps", "bits"), [(1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4), (16, 5)]
)
def test_bits_of_the_ann(steps, bits):
    """3 bits hold 0 to 7."""
    assert ann_bits(steps) == bits


def test_price_is_that_of_additions_or_of_one_multiplication():
    assert [price(KNOWN, bits) for bits in (1, 2, 3, 4, 9, None)] == [1, 2, 3, 4, 4, 4]
    assert price(BASE, None) == pytest.approx(4.6) and price(BASE, 1) == 0.9


def test_constants_have_sources_and_memories_by_size():
    assert all(known.source and known.multiply > known.add > 0 for known in ARITHMETIC)
    names = [BASE.memory_for(size).name for size in (1, 8192, 8193, 2**20, 2**20 + 1)]
    assert names == ["8 KB SRAM", "8 KB SRAM", "32 KB SRAM", "1 MB SRAM", "DRAM"]


def test_the_range_has_the_same_settings_for_every_network():
    small, large = (list(settings(Work(4, 1, 1, (ProductWork(1, 1, 1, n, 1),), {}, {})))
                    for n in (1, 10**9))  # fmt: skip
    assert [s.use for s in small] == [s.use for s in large]
    assert base_settings(WORK).keys() == set(USES)


def test_summary_compares_with_the_control_over_the_range():
    """Twice the work is twice the energy under all constants."""
    values = {"products": [vars(p) for p in WORK.products]}
    work = {**vars(WORK), **values}
    twice = {
        **work, "potentials": 24, "neurons": 20,
        "products": [{**p, **{k: 2 * p[k] for k in ("effective", "by_weight", "weights", "inputs")}}
                     for p in values["products"]],
        **{key: {k: 2 * n for k, n in work[key].items()}
           for key in ("neuron_operations", "other_operations")},
    }  # fmt: skip
    common = {"images": 1, "timesteps": 4, "nb_macs": 1.0}
    found = summarize(
        [
            CountedRun("a", {**common, "work": work}, "a"),
            CountedRun("b", {**common, "work": twice}, "a"),
        ],
        "a",
    )
    a, b = found["rows"]
    for use in USES:
        assert b["energy"][use]["snn"] == pytest.approx(2 * a["energy"][use]["snn"])
        assert b["energy"][use]["to_control_range"] == pytest.approx([2, 2])
        assert "to_control_range" not in a["energy"][use]
    assert a["mean"] == {"nb_macs": 1.0} and a["std"] == {}
