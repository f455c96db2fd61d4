"""Constants of the energy model, with their sources: edit them here, and nowhere else.

Arithmetic is in picojoules per operation, memory in picojoules per byte. They are for one
technology each and leave out control, clock, leakage and the network on the chip: they order
designs at best, and measure none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

HOROWITZ = "Horowitz, ISSCC 2014"
JOUPPI = "Jouppi et al., ISCA 2021, table 2"
MANZOURI = "Manzouri et al., Frontiers in Neurology 2022, table 3 (measured on a Cortex-M4F)"
DIVISION = 7.1
"""Energy of a division over that of a multiplication; functions such as roots cost as much."""
DIVISIONS = (1.0, DIVISION, 20.0)
"""Its range: from a reciprocal by table lookup to an iterative divider."""


@dataclass(frozen=True)
class Memory:
    """A memory and the energy of an access."""

    name: str
    picojoules: float
    """For a byte; sources state accesses of 8 bytes."""
    capacity: float
    """Bytes."""


@dataclass(frozen=True)
class Arithmetic:
    """Energy of operations in one technology and number format."""

    name: str
    multiply: float
    add: float
    """Also of a comparison, which is a subtraction."""
    weight_bytes: int
    sum_bytes: int
    """Bytes of a membrane potential or a sum."""
    memories: tuple[Memory, ...]
    """From small to large; the last is outside the chip."""
    source: str
    division: float = DIVISION

    def with_division(self, ratio: float) -> Arithmetic:
        """Return the same with another cost of divisions, in multiplications."""
        return replace(self, division=ratio)

    def memory_for(self, size: float) -> Memory:
        """Return the smallest memory that holds `size` bytes."""
        return next((m for m in self.memories if size <= m.capacity), self.memories[-1])


KIB = 1024
_45_NM = (
    Memory("8 KB SRAM", 10 / 8, 8 * KIB),
    Memory("32 KB SRAM", 20 / 8, 32 * KIB),
    Memory("1 MB SRAM", 100 / 8, KIB**2),
    Memory("DRAM", 1300 / 8, float("inf")),
)
_7_NM = (
    Memory("8 KB SRAM", 7.5 / 8, 8 * KIB),
    Memory("32 KB SRAM", 8.5 / 8, 32 * KIB),
    Memory("1 MB SRAM", 14 / 8, KIB**2),
    Memory("HBM2", 250 / 8, float("inf")),
)
ARITHMETIC = (
    Arithmetic("45 nm, 32-bit float", 3.7, 0.9, 4, 4, _45_NM, HOROWITZ),
    Arithmetic("45 nm, 16-bit float", 1.1, 0.4, 2, 2, _45_NM, HOROWITZ),
    Arithmetic("45 nm, 8-bit integer", 0.2, 0.1, 1, 4, _45_NM, HOROWITZ),
    Arithmetic("7 nm, 32-bit float", 1.31, 0.38, 4, 4, _7_NM, JOUPPI),
    Arithmetic("7 nm, 8-bit integer", 0.07, 0.03, 1, 4, _7_NM, JOUPPI),
)
"""The first is the field's convention: 4.6 pJ for a MAC, 0.9 pJ for an AC."""
BASE = ARITHMETIC[0]
