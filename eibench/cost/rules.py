"""Operations of torch that the counter knows, and what each costs.

A cost is a number of operations of some kinds:

    mac        multiplication and addition
    ac         addition; also a product with an operand of -1, 0 and 1, which only selects
    multiply   multiplication alone
    compare    comparison of two numbers
    divide     division
    function   square root, exponential and others

Only operations on activity are asked for: what weights alone determine is computed once, before any
image. Views, copies and selections (`where`) cost nothing here. Products of matrices and
convolutions are in `products`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

KINDS = ("mac", "ac", "multiply", "compare", "divide", "function")
Cost = dict[str, int]

_FREE = """
    _reshape_alias _to_copy _unsafe_view abs alias as_strided cat chunk clone constant_pad_nd
    contiguous copy detach diagonal empty_like expand flatten flip full_like gather index
    index_select lift_fresh logical_and logical_not logical_or masked_fill neg new_empty
    new_empty_strided new_full new_ones new_zeros narrow ones_like permute repeat reshape roll
    scatter select slice split split_with_sizes squeeze stack t to transpose unbind unfold
    unsqueeze view view_as where zeros_like
"""
FREE = frozenset(_FREE.split())
"""Moves, views, selections and changes of sign."""


@dataclass(frozen=True)
class Call:
    """One call of an operation."""

    args: Sequence[Any]
    options: dict[str, Any]
    out: Any
    is_activity: Callable[[Any], bool]
    """Tells whether a value depends on the network's input."""

    def argument(self, place: int, name: str, default: Any = None) -> Any:
        """Return an argument given by place or by name."""
        found = self.args[place] if len(self.args) > place else self.options.get(name)
        return default if found is None else found

    @property
    def results(self) -> int:
        """Numbers that it gives."""
        out = self.out[0] if isinstance(self.out, tuple | list) else self.out
        return int(out.numel())

    @property
    def inputs(self) -> int:
        """Numbers in its first argument."""
        return int(self.args[0].numel())


def is_binary(x: Tensor) -> bool:
    """Return whether all entries are -1, 0 or 1."""
    return x.dtype == torch.bool or bool(((x == 0) | (x.abs() == 1)).all())


def _selects(call: Call, values: Sequence[Any]) -> bool:
    return any(isinstance(x, Tensor) and call.is_activity(x) and is_binary(x) for x in values)


def _add(call: Call) -> Cost:
    """Return the cost of `a + alpha b`, and of `b - alpha a`."""
    alpha = call.options.get("alpha", 1)
    scaled = call.args[1:2]
    plain = abs(alpha) == 1 or _selects(call, scaled)
    return {"ac" if plain else "mac": call.results}


def _multiply(call: Call) -> Cost:
    return {"ac" if _selects(call, call.args[:2]) else "multiply": call.results}


def _divide(call: Call) -> Cost:
    """Return the cost of a quotient; a constant divisor is a factor that is computed once."""
    return {"divide" if call.is_activity(call.args[1]) else "multiply": call.results}


def _power(call: Call) -> Cost:
    return {"multiply" if call.args[1] == 2 else "function": call.results}


def _each(**costs: int) -> Callable[[Call], Cost]:
    """Return a rule of so many operations for each result."""
    return lambda call: {kind: n * call.results for kind, n in costs.items()}


def _reduce(kind: str, scaled: bool = False) -> Callable[[Call], Cost]:
    """Return the rule of a sum or a search over all but the results' axes."""

    def rule(call: Call) -> Cost:
        more = {"multiply": call.results} if scaled else {}
        return {kind: max(0, call.inputs - call.results), **more}

    return rule


def _clamp(call: Call) -> Cost:
    bounds = [call.argument(1, "min"), call.argument(2, "max")]
    return {"compare": call.results * sum(bound is not None for bound in bounds)}


def _window(kind: str, scaled: bool = False) -> Callable[[Call], Cost]:
    """Return the rule of a pooling over windows of a fixed size."""

    def rule(call: Call) -> Cost:
        sides = call.args[1]
        size = math.prod(sides) if len(sides) > 1 else sides[0] ** 2
        more = {"multiply": call.results} if scaled else {}
        return {kind: call.results * (size - 1), **more}

    return rule


def _batch_norm(call: Call) -> Cost:
    """Return the cost of a scale and a shift for each channel, from stored statistics."""
    if True in [arg for arg in call.args[5:] if isinstance(arg, bool)]:
        raise ValueError("batch norm with statistics of the batch; count in evaluation")
    return {"mac": call.results}


def _group_norm(call: Call) -> Cost:
    """Return the cost of sums and squares of groups, and of a scale and a shift by channel."""
    _, mean, _ = call.out
    n, samples, channels = call.results, int(call.args[3]), int(call.args[4])
    maps = samples * channels
    return {
        "ac": n,
        "mac": 2 * n + maps,
        "multiply": maps + 2 * mean.numel(),
        "function": mean.numel(),
    }


def _variance(call: Call) -> Cost:
    """Return the cost of a sum and a sum of squares."""
    return {"ac": call.inputs, "mac": call.inputs + call.results, "multiply": 2 * call.results}


RULES: dict[str, Callable[[Call], Cost]] = {
    **dict.fromkeys(("add", "sub", "rsub"), _add),
    "mul": _multiply,
    "div": _divide,
    "pow": _power,
    **dict.fromkeys(("addcmul", "lerp"), _each(mac=1)),
    "addcdiv": _each(divide=1, ac=1),
    "square": _each(multiply=1),
    "reciprocal": _each(divide=1),
    **dict.fromkeys(
        ("sqrt", "rsqrt", "exp", "log", "sigmoid", "tanh", "erf", "gelu", "silu"),
        _each(function=1),
    ),
    **dict.fromkeys(
        ("eq", "ne", "ge", "gt", "le", "lt", "relu", "leaky_relu", "maximum", "minimum"),
        _each(compare=1),
    ),
    **dict.fromkeys(("clamp", "clamp_min", "clamp_max", "hardtanh"), _clamp),
    **dict.fromkeys(("amax", "amin", "max", "min", "argmax", "argmin"), _reduce("compare")),
    "topk": lambda call: {"compare": call.inputs},
    **dict.fromkeys(("sum", "cumsum"), _reduce("ac")),
    "mean": _reduce("ac", scaled=True),
    **dict.fromkeys(("var", "std", "var_mean", "std_mean"), _variance),
    "avg_pool2d": _window("ac", scaled=True),
    "_adaptive_avg_pool2d": _reduce("ac", scaled=True),
    "max_pool2d_with_indices": _window("compare"),
    **dict.fromkeys(
        ("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm"),
        _batch_norm,
    ),
    "native_group_norm": _group_norm,
}
"""Rules by the operation's name, without the underscore of one in place."""
