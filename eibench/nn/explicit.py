"""Blanket inhibition spelled out: the same network with one more inhibitory cell in each layer.

With N = W_EE - W_EI W_IE, beta the strength of the blanket inhibition, mu = beta mean(N) for each
row and |N'| the norm of the balanced row, the layer's current is that of a plain E-I circuit whose
weights are all >= 0 where W_EE, W_IE and W_EI are:

    W_IE'  = [W_IE; 1]           one more cell, which hears all inputs alike
    W_EI'  = [W_EI, max(mu, 0)]
    W_EE'  = W_EE + max(-mu, 0)  where inhibition alone exceeds excitation
    g_E'   = g_E / |N'|          with scaled rows
    g_I'   = [g_I, 0]            the cell does not divide
    b_E'   = b_E - g_E N'' m     the tonic current of plastic inhibition, as it has become

A circuit that divides without subtracting gets W_EI W_IE added to W_EE, which its cells, now
subtracting too, take away again.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from eibench.nn.circuit import PAPER_BALANCE
from eibench.nn.ei_layer import EILayer
from eibench.nn.functional.balance import LEAST

M = TypeVar("M", bound=nn.Module)


@torch.no_grad()
def explicit_inhibition(model: M, where_possible: bool = False) -> M:
    """Return a copy of `model` whose blanket inhibition is cells: equal outputs, to rounding.

    Its layers are for use, not for training: they follow the paper's rules of learning. With
    `where_possible` layers made without Dale's law stay as they are.

    Raises:
        ValueError: a layer is made without Dale's law, is not initialised, or has spiking cells
            that only divide.
    """
    out = copy.deepcopy(model)
    for layer in out.modules():
        if not isinstance(layer, EILayer) or not layer.nets:
            continue
        if not where_possible or (layer.circuit.dale and not _only_divides_by_spikes(layer)):
            _spell_out(layer)
    return out


def _only_divides_by_spikes(layer: EILayer) -> bool:
    """Return whether cells divide that would have to subtract too, and are not linear."""
    return layer.divides and not layer.subtracts and not layer.circuit.linear_cells


def _spell_out(layer: EILayer) -> None:
    """Turn the blanket inhibition of `layer` into a cell, in place."""
    if not layer.circuit.dale or not layer.is_initialized():
        raise ValueError("explicit inhibition needs Dale's law and a layer that is initialised")
    if _only_divides_by_spikes(layer):
        raise ValueError("spiking cells that only divide have no explicit form beside a blanket")
    if layer.plastic:
        layer.bias = nn.Parameter(layer.tonic(layer.whole_synapse()))
    ee = layer.weight_ee.flatten(1)
    ie, ei = ee.new_zeros(0, ee.shape[1]), ee.new_zeros(len(ee), 0)
    if layer.subtracts or layer.divides:
        ie, ei = layer.weight_ie.flatten(1), layer.weight_ei
    net = ee - ei @ ie if layer.subtracts else ee
    if not layer.subtracts:
        ee = ee + ei @ ie
    mean = layer.balance.blanket * net.mean(1, keepdim=True)
    if layer.balance.unit_rows and not layer.readout:
        norm = (net - mean).square().sum(1).add(LEAST).sqrt()
        layer.gain_e = nn.Parameter(layer.gain_e / norm)  # the old one may be shared

    def shaped(weight: Tensor) -> nn.Parameter:
        return nn.Parameter(weight.view(len(weight), *layer.receptive_field))

    layer.weight_ee = shaped(ee + (-mean).clamp_min(0))
    layer.weight_ie = shaped(torch.cat([ie, torch.ones_like(ee[:1])]))
    layer.weight_ei = nn.Parameter(torch.cat([ei, mean.clamp_min(0)], 1))
    if layer.divides:
        layer.gain_i = nn.Parameter(torch.cat([layer.gain_i, layer.gain_i.new_zeros(1)]))
    layer.blanket_cells = 1
    layer.register_buffer("mean_input", None)
    circuit = replace(layer.circuit, subtractive=True)
    if len(layer.weight_ie) == layer.blanket_cells:  # the blanket's cell alone
        circuit = replace(circuit, inhibitory_cell="rectifier")
    layer.rearrange(circuit, layer.init, PAPER_BALANCE)
