"""One colour for each method in all figures; shades of it for variants: `ei`, `ei-blanket` ...

A colour depends on the label alone, so that figures of suites with other methods agree. It is taken
from the colour cycle of the style file.
"""

from __future__ import annotations

import colorsys
import functools
from collections.abc import Sequence
from zlib import crc32

from matplotlib.colors import to_hex, to_rgb

from eibench.report.figures.look import OWN, current_look

CYCLE = ("ei", "batchnorm", "tdbn", "no_norm", "weight_standardization", "dann", "layernorm",
         "groupnorm", "wta", "bntt", "tebn", "tab", "mpbn", "spikeinit")  # fmt: skip
"""Methods in the order of the style's colours, of which those of plugins share the others."""
START = 6191
"""Start of the checksum by which options choose a shade: variants that suites compare differ."""
AMOUNTS = (0.22, 0.36, 0.5)
TURNS = (-0.03, 0.0, 0.03)
"""Shares of white or black in a variant's colour, and turns of its hue."""


def cycle() -> list[str]:
    """Return the colours of the style that is in use."""
    settings = {**OWN, **current_look().settings}
    return [to_hex(entry.get("color", "black")) for entry in settings["axes.prop_cycle"]]


def nth_colour(i: int) -> str:
    """Return the colour of the `i`th of things that are no methods."""
    colours = cycle()
    return colours[i % len(colours)]


def method_colour(label: str) -> str:
    """Return the colour of the method that has this label."""
    name, *options = label.split("-")
    return _shade(_base(name, tuple(cycle())), tuple(options))


def colours_of(labels: Sequence[str]) -> list[str]:
    """Return a colour for each of several labels: that of the method which each begins with.

    Where they do not all begin with a method of eibench, or two with the same, they have the first
    colours.
    """
    methods = [label.partition(",")[0].rpartition(" ")[2] for label in labels]
    known = all(method.partition("-")[0] in CYCLE for method in methods)
    if known and len(set(methods)) == len(methods):
        return [method_colour(method) for method in methods]
    return [nth_colour(i) for i in range(len(labels))]


@functools.cache
def _base(name: str, colours: Sequence[str]) -> str:
    """Return the colour of a method without options."""
    if name in CYCLE:
        return colours[CYCLE.index(name) % len(colours)]
    others = colours[len(CYCLE) :] or colours
    return others[crc32(name.encode()) % len(others)]


@functools.cache
def _shade(base: str, options: Sequence[str]) -> str:
    """Return the colour of a variant with `options` of a method of colour `base`.

    An odd number of options lightens it and an even one darkens it, so that a variant differs from
    the one with an option less; how much, and a turn of its hue, depend on the options.
    """
    if not options:
        return base
    other = 1.0 if len(options) % 2 else 0.0
    kind = crc32("-".join(options).encode(), START)
    amount, turn = AMOUNTS[kind % 3], TURNS[kind // 3 % 3]
    hue, lightness, saturation = colorsys.rgb_to_hls(*to_rgb(base))
    turned = colorsys.hls_to_rgb((hue + turn) % 1.0, lightness, saturation)
    red, green, blue = ((1 - amount) * part + amount * other for part in turned)
    return to_hex((red, green, blue))
