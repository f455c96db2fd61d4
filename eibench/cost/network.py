"""Cost of a network on images, as plain values for one image over all steps.

Two forms of the network are counted. `full_*` is the network as its equations are written: norms
are operations, E-I layers have their cells (`nn.spell_out`). `folded_*` is the one that inference
would use (`nn.fold_network`). `nb_*` follows NeuroBench: products of each layer's input with its
weights, in the written form, without biases. Further products of a layer, as from inhibitory to
excitatory cells, norms, divisions and neurons are in the other two alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from eibench.cost.counter import CountedProduct, Counts, OperationCounter
from eibench.cost.energy import Energy, ProductWork, Work, base_settings, energy
from eibench.cost.products import ProductCount
from eibench.cost.rules import KINDS
from eibench.data.batches import over_time
from eibench.nn import LIF, EILayer, fold_network, spell_out
from eibench.training.evaluate import FiringProbe, input_dtype

SPIKE_BYTES = 1 / 8
LIF_CELLS = "lif"


@dataclass(frozen=True)
class _MergedProduct:
    """A product over all batches; operations are summed, and per image where a method says so."""

    module: str
    synapse: bool
    macs: int
    acs: int
    dense_acs: int
    counts: ProductCount
    biases: int

    def work(self, images: int) -> ProductWork:
        known = self.counts
        return ProductWork(
            known.effective / images,
            known.by_weight / images,
            known.bits,
            known.weights,
            known.inputs / images,
        )


@dataclass(frozen=True)
class _Form:
    """Counts of a form of the network."""

    network: nn.Module
    products: list[_MergedProduct]
    elementwise: Mapping[str, Mapping[str, int]]
    outputs: Mapping[str, tuple[int, ...]]

    def operations(self, dense: bool = False) -> Counter[str]:
        """Return all operations by kind; with `dense` no zero is skipped."""
        total: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
        for product in self.products:
            macs, acs = product.macs, product.acs
            if dense:
                macs, acs = product.counts.dense - product.dense_acs, product.dense_acs
            total.update({"mac": macs, "ac": acs + product.biases})
        for costs in self.elementwise.values():
            total.update(costs)
        return total


@torch.no_grad()
def count_network(network: nn.Module, batches: Iterable[Tensor], timesteps: int) -> dict[str, Any]:
    """Return the cost of `network`, in evaluation mode on the CPU, for one of the images.

    Args:
        network: takes [T, B, ...].
        batches: images [B, ...], or frames [B, T, ...].
        timesteps: T of images.

    Raises:
        UserError: the network has an operation of unknown cost.
    """
    written, folded = spell_out(network), fold_network(network)
    counters = [OperationCounter(form) for form in (written, folded)]
    images, parts, precision = 0, [], input_dtype(network)
    with FiringProbe(network) as probe:
        for batch in batches:
            images += len(batch)
            x = over_time(batch.to(precision), timesteps)
            network(x)
            parts.append([_count(counter, x.contiguous()) for counter in counters])
    forms = [_merge(form, [part[i] for part in parts]) for i, form in enumerate((written, folded))]
    neurons = [int(spikes.numel()) for spikes in probe.spikes]
    work = _work(forms[1], images, timesteps, sum(neurons))
    return {
        "images": images,
        "timesteps": timesteps,
        "firing_rate": probe.mean_rate(),
        "firing_rate_by_layer": probe.rates(),
        "neurons": sum(neurons),
        "neuron_updates": sum(neurons) * timesteps,
        **_neurobench(forms[0], images),
        **_full("full", forms[0], images),
        **_full("folded", forms[1], images),
        **_traffic(network, forms[1], work),
        **_energies(work),
        "weight_density": _densities(network),
        "layers": [_layer(product, images) for product in forms[0].products],
        "work": _values(work),
    }


def _count(counter: OperationCounter, x: Tensor) -> Counts:
    counter.counts = Counts()
    with counter.watch(x) as counts:
        counter.network(x)
    return counts


def _merge(network: nn.Module, parts: list[Counts]) -> _Form:
    """Add up the counts of all batches, product by product."""
    elementwise: dict[str, Counter[str]] = {}
    for part in parts:
        for module, costs in part.elementwise.items():
            elementwise.setdefault(module, Counter()).update(costs)
    same = zip(*(part.products for part in parts), strict=True)
    return _Form(network, [_sum(calls) for calls in same], elementwise, parts[0].outputs)


def _sum(calls: Iterable[CountedProduct]) -> _MergedProduct:
    """Return one product of the network over all batches.

    Each call is binary or not by itself, as NeuroBench has it.
    """
    calls = list(calls)
    counts = [call.count for call in calls]

    def total(name: str, binary: bool | None = None) -> int:
        chosen = (c for c in counts if binary is None or c.binary == binary)
        return sum(int(getattr(c, name)) for c in chosen)

    summed = ("dense", "by_input", "by_weight", "effective", "inputs", "nonzero", "ones", "outputs")
    bits = [c.bits for c in counts]
    merged = ProductCount(
        **{name: total(name) for name in summed},
        binary=all(c.binary for c in counts),
        bits=None if None in bits else max(b for b in bits if b is not None),
        weights=counts[0].weights,
        biased=counts[0].biased,
    )
    return _MergedProduct(
        calls[0].module,
        calls[0].synapse,
        macs=total("effective", binary=False),
        acs=total("effective", binary=True),
        dense_acs=total("dense", binary=True),
        counts=merged,
        biases=merged.outputs if merged.biased else 0,
    )


# --- Numbers of a network ------------------------------------------------------------------------


def _neurobench(form: _Form, images: int) -> dict[str, float]:
    """Return operations by NeuroBench's definition, and what its inputs are like."""
    synapses = [product for product in form.products if product.synapse]
    first = synapses[0]
    dense = sum(p.counts.dense for p in synapses)
    nonzero = sum(p.counts.nonzero for p in synapses[1:])
    ones = sum(p.counts.ones for p in synapses[1:])
    later = sum(p.counts.dense for p in synapses[1:])
    return {
        "nb_dense": dense / images,
        "nb_dense_acs": sum(p.dense_acs for p in synapses) / images,
        "nb_macs": sum(p.macs for p in synapses) / images,
        "nb_acs": sum(p.acs for p in synapses) / images,
        "first_layer_macs": (first.macs + first.acs) / images,
        "input_density": sum(p.counts.by_input for p in synapses[1:]) / later if later else 0.0,
        "binary_inputs": ones / nonzero if nonzero else 1.0,
    }


def _full(name: str, form: _Form, images: int) -> dict[str, Any]:
    """Return all operations: MACs with multiplications alone, ACs with comparisons."""
    made, dense = form.operations(), form.operations(dense=True)
    return {
        f"{name}_macs": (made["mac"] + made["multiply"]) / images,
        f"{name}_acs": (made["ac"] + made["compare"]) / images,
        f"{name}_divisions": (made["divide"] + made["function"]) / images,
        f"{name}_dense_macs": (dense["mac"] + dense["multiply"]) / images,
        f"{name}_dense_acs": (dense["ac"] + dense["compare"]) / images,
        f"{name}_operations": {kind: made[kind] / images for kind in KINDS},
    }


def _traffic(network: nn.Module, folded: _Form, work: Work) -> dict[str, float]:
    """Return bytes of weights and state, and what is read and written for an image, in float32."""
    reads = sum(p.inputs * (SPIKE_BYTES * (p.bits or 32)) for p in work.products)
    return {
        "nb_footprint": _bytes(network),
        "weight_bytes": _bytes(folded.network),
        "state_bytes": 4 * work.potentials,
        "weight_traffic": 4 * work.weights * work.timesteps,
        "state_traffic": 2 * 4 * work.potentials * work.timesteps,
        "activity_traffic": reads + SPIKE_BYTES * work.neurons * work.timesteps,
    }


def _bytes(network: nn.Module) -> int:
    """Return the memory of parameters and buffers, each once."""
    return sum(t.numel() * t.element_size() for t in (*network.parameters(), *network.buffers()))


def _work(folded: _Form, images: int, timesteps: int, neurons: int) -> Work:
    modules = dict(folded.network.named_modules())
    split: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for name, costs in folded.elementwise.items():
        split[isinstance(modules[name], LIF)].update(costs)
    split[False].update({"ac": sum(p.biases for p in folded.products)})
    other, own = ({kind: n / images for kind, n in part.items() if n} for part in split)
    products = tuple(product.work(images) for product in folded.products)
    cells = sum(
        _cells(module, folded.outputs[name])
        for name, module in modules.items()
        if name in folded.outputs
    )
    return Work(timesteps, neurons, neurons + cells, products, own, other)


def _cells(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Return the spiking inhibitory cells of an E-I layer with outputs [T, B, n_E, ...]."""
    if not isinstance(module, EILayer) or module.circuit.inhibitory_cell != LIF_CELLS:
        return 0
    inhibits = module.subtracts or module.divides
    return len(module.weight_ie) * torch.Size(shape[3:]).numel() if inhibits else 0


def _energies(work: Work) -> dict[str, float | None]:
    """Return nanojoules and break-even shares under the first constants."""
    found: dict[str, Energy] = {n: energy(work, s) for n, s in base_settings(work).items()}
    return {
        **{f"energy_{name}": one.snn / 1000 for name, one in found.items()},
        **{f"energy_ann_{name}": one.ann / 1000 for name, one in found.items()},
        **{f"break_even_{name}": one.break_even for name, one in found.items()},
    }


def _densities(network: nn.Module) -> dict[str, float]:
    """Return the share of weights that are not exactly zero, by the parameter's name."""
    total: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for name, weight in network.named_parameters():
        if weight.dim() > 1:
            key = name.rpartition(".")[2]
            total[key] += weight.numel()
            there[key] += int(weight.count_nonzero())
    return {key: there[key] / total[key] for key in total}


def _layer(product: _MergedProduct, images: int) -> dict[str, Any]:
    known = product.counts
    return {
        "name": product.module,
        "synapse": product.synapse,
        "dense": known.dense / images,
        "macs": product.macs / images,
        "acs": product.acs / images,
        "input_density": known.by_input / known.dense if known.dense else 0.0,
        "weight_density": known.by_weight / known.dense if known.dense else 0.0,
        "binary_inputs": known.ones / known.nonzero if known.nonzero else 1.0,
        "bits": known.bits,
    }


def _values(work: Work) -> dict[str, Any]:
    """Return the work as plain values, which `Work.from_values` takes."""
    return {**vars(work), "products": [vars(product) for product in work.products]}
