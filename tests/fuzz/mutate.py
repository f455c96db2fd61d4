"""Damage done to files at random: to their bytes, and to the plain values that they hold."""

from __future__ import annotations

import copy
import json
import math
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.0, 1e-320, 1e308, -1e308, 1e16, 3.0),
    *(math.nan, math.inf, -math.inf, 2**31 - 1, 2**31, 2**63, -(2**63), 10**30, 10**600),
    *(
        "",
        " ",
        "0",
        "1",
        "true",
        "null",
        "~",
        "-",
        ".",
        "..",
        "/",
        "nan",
        "1e999",
        "1_000",
        "٣",
        "½",
    ),
    *("a" * 300, "x" * 20_000, "9" * 700, "a." * 3000, "\0", "\ud800", "\u202egnp.exe", "\x1b[31m"),
    *("[red]", "=1+1", "$(id)", "<b>", "\\input{x}", "../..", "/dev/zero", "/dev/stdin", "CON"),
    *("a\nb", "a\tb", "\u2028", "\ufeff", "é", "\N{PILE OF POO}", "%s", "{0}", "name", "ei", "a=b"),
    *([], {}, [[]], [None], {"": 1}, {"name": None}, {"name": []}, [0] * 200, {"a": {"b": {}}}),
    *({"low": 1, "high": 2**31}, {"low": 0, "high": 1, "step": 1e-12}, {"choices": [1, 1]}),
]
"""Values that a file may hold where another one is expected."""
TOKENS = [
    *("[", "]", "{", "}", ":", ": ", ",", "- ", "\n", "\n\n", "  ", "\t", "#", '"', "'", "|", ">"),
    *("&a ", "*a", "<<: ", "!!python/object:os.system ", "!!binary ", "? ", "---\n", "...\n", "%"),
    *("null", "NaN", "Infinity", "1e999", "-", "\\", "\\ud800", "\\u0000", "[" * 200, "{a: " * 50),
]
"""Pieces of text that mean something in YAML or JSON."""

TIMES = [1, 1, 1, 2, 4]
"""How often a file is damaged."""


def count(usual: int) -> int:
    """Number of files to damage: `EIBENCH_FUZZ` (see `make fuzz`), or the `usual` one."""
    return int(os.environ.get("EIBENCH_FUZZ", usual))


def mutated_bytes(content: bytes, chance: random.Random) -> bytes:
    """`content` with one or a few pieces flipped, cut, doubled, moved or put in."""
    damaged = bytearray(content)
    for _ in range(chance.choice(TIMES)):
        a = chance.randint(0, len(damaged))
        b = min(len(damaged), a + chance.choice([1, 1, 2, 8, 64, 1000]))
        kind = chance.randrange(5)
        if kind == 0 and a < len(damaged):
            damaged[a] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del damaged[a:b]
        elif kind == 2:
            damaged[a:a] = damaged[a:b] * chance.choice([1, 2, 50])
        elif kind == 3:
            damaged[a:b] = chance.choice(TOKENS).encode()
        else:
            damaged[a:a] = chance.choice(TOKENS).encode()
    return bytes(damaged[: a if chance.random() < 0.05 else None])


def mutated_data(data: Any, chance: random.Random) -> Any:
    """A copy of `data` with one or a few of its values or keys damaged."""
    whole = [copy.deepcopy(data)]
    for _ in range(chance.choice(TIMES)):
        holder, key = chance.choice(list(_places(whole)))
        chance.choice(_CHANGES)(holder, key, chance)
        if not whole:  # the document itself was removed
            return None
    return whole[0]


def _places(holder: Any) -> Iterator[tuple[Any, Any]]:
    """Every value within `holder`, as what holds it and its key there."""
    for key, value in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
        yield holder, key
        if isinstance(value, dict | list) and value:
            yield from _places(value)


def _replace(holder: Any, key: Any, chance: random.Random) -> None:
    holder[key] = copy.deepcopy(chance.choice(ODD))


def _remove(holder: Any, key: Any, chance: random.Random) -> None:
    del holder[key]


def _rename(holder: Any, key: Any, chance: random.Random) -> None:
    """Another key for the same value: with a typo, or an odd one."""
    if isinstance(holder, dict):
        odd = str(chance.choice(ODD))[:5000]
        where = chance.randint(0, len(key))
        holder[chance.choice([key[:where] + key[where + 1 :], key + key, key.upper(), odd])] = (
            holder.pop(key)
        )


def _nest(holder: Any, key: Any, chance: random.Random) -> None:
    for _ in range(chance.choice([1, 1, 2, 30, 200])):
        holder[key] = chance.choice([[holder[key]], {"name": holder[key]}])


def _repeat(holder: Any, key: Any, chance: random.Random) -> None:
    holder[key] = [holder[key]] * chance.choice([1, 2, 3, 100])


def _nudge(holder: Any, key: Any, chance: random.Random) -> None:
    """A number of another size or sign, or a text with another character in it."""
    value = holder[key]
    if isinstance(value, str):
        where = chance.randint(0, len(value))
        holder[key] = value[:where] + chance.choice("\0.é [{:-_0") + value[where + 1 :]
    elif isinstance(value, int | float) and abs(value) < 1e15:
        holder[key] = value * chance.choice([-1, 0, 0.5, 2, 10, 1000, 10**9])


def _move(holder: Any, key: Any, chance: random.Random) -> None:
    """Another value of the same holder."""
    keys = list(holder) if isinstance(holder, dict) else range(len(holder))
    holder[key] = copy.deepcopy(holder[chance.choice(list(keys))])


_CHANGES: list[Callable[[Any, Any, random.Random], None]] = [
    *(_replace, _replace, _replace, _remove, _rename, _nest, _repeat, _nudge, _nudge, _move)
]


def as_json(data: Any) -> bytes:
    """`data` as JSON, which is YAML as well; lone surrogates as escapes."""
    return json.dumps(data).encode()
