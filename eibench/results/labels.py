"""Names of metrics and fields in words, with units: what a reader sees above a table or on an axis.

CSV and JSON keep the plain names, so that they can be read back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eibench.results.metrics import with_unit

LONGEST_REASON = 160
TRAINING = "perturb"
"""Section of fields that act in training, where others of the same name act afterwards."""

_FIELDS = {
    "model": ("network", ""),
    "timesteps": ("time steps", ""),
    "model.depth": ("depth", "layers"),
    "model.width": ("width", "channels"),
    "repeat": ("study", ""),
    "probe.steps": ("steps", "optimizer steps"),
    "neuron.tau": ("membrane time constant", "time steps"),
    "train.lr": ("learning rate", ""),
    "train.batch_size": ("batch size", "images"),
}
"""Words and unit of fields whose last part does not already say it."""


def field_words(field: str) -> str:
    """Return `learning rate` for `train.lr`."""
    section, _, name = field.rpartition(".")
    words = name.replace("_", " ")
    return _FIELDS.get(field, (f"{words} in training" if section == TRAINING else words, ""))[0]


def field_called(name: str, known: Iterable[str], preferred: Iterable[str] = ()) -> str | None:
    """Return the only field that tables call `name`: `depth`, `learning rate`, `lr`.

    Of several the only `preferred` one, if there is one.
    """
    words = name.lower().replace("_", " ")
    found = [f for f in known if words in (field_words(f), f.rpartition(".")[2].replace("_", " "))]
    exact = [field for field in found if field_words(field) == words]
    first = [field for field in found if field in preferred]
    return next((some[0] for some in (found, exact, first) if len(some) == 1), None)


def field_names(known: Sequence[str], preferred: Sequence[str] = ()) -> list[str]:
    """Return all names by which `field_called` or a field's own name finds one, preferred first."""
    fields = dict.fromkeys([*preferred, *known])
    words = [word for f in fields for word in (f.rpartition(".")[2], field_words(f))]
    return [*fields, *(w for w in dict.fromkeys(words) if field_called(w, known, preferred))]


def field_heading(field: str) -> str:
    """Return `depth (layers)` for `model.depth`."""
    return with_unit(field_words(field), _FIELDS.get(field, ("", ""))[1])


def show_value(value: object) -> str:
    """Return a field's value as short text; a dash where a run has no such field."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def show_field(field: str, value: object) -> str:
    """Return `depth 8`, or only `digits` where the value is a word already."""
    if isinstance(value, str):
        return value
    return f"{field_words(field)} {show_value(value)}"


def show_setting(value: object) -> str:
    """Return a value that a search chose, numbers to three digits; to be none is a setting too."""
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:g}"
    if isinstance(value, Mapping):  # a choice with options: its name, then what else it says
        parts = {key: show_setting(inner) for key, inner in value.items()}
        return " ".join(text if key == "name" else f"{key} {text}" for key, text in parts.items())
    return show_value(value)


def key_words(keys: Iterable[str]) -> dict[str, str]:
    """Return words for each dotted key; the key itself where another has the same words."""
    words = {key: field_words(key) for key in keys}
    taken = Counter(words.values())
    return {key: text if taken[text] == 1 else key for key, text in words.items()}


def capital(text: str) -> str:
    """Return `text` with a capital first letter."""
    return text[:1].upper() + text[1:]


def counted(n: int, noun: str = "run") -> str:
    """Return `1 run`, `2 runs`."""
    return f"{n} {noun}{'s' * (n != 1)}"


def format_duration(seconds: float) -> str:
    """Return a duration with its unit: 8 s, 3 min, 2.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def seeds_in_words(seeds: Sequence[int]) -> str:
    """Return `seed 1000`, or `seeds 0, 1, 2`."""
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def shortened(reason: str) -> str:
    """Return a reason on one line that is not too long."""
    line = " ".join(reason.split())
    return line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 3]}..."


def stated(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record says of its machine; a backtick would begin a name in a note."""
    return {k: v.replace("`", "'") if isinstance(v, str) else v for k, v in environment.items()}


def joined(names: Iterable[str]) -> str:
    """Return `a`, `a and b`, or `a, b and c`."""
    *front, last = names
    return f"{', '.join(front)} and {last}" if front else last


MACHINE = ("cpu", "cores", "device", "world_size", "backend")
"""Keys of a record that say which machine it is of."""


def machine_label(environment: Mapping[str, Any]) -> str:
    """Return the processor and the device of a record, and the processes that shared its run."""
    known = stated(environment)
    cores = known.get("cores")
    plural = "" if cores == 1 else "s"
    several = (
        f", {known['world_size']} processes ({known.get('backend')})"
        if "world_size" in known
        else ""
    )
    return f"{known.get('cpu')} ({cores} core{plural}), device: {known.get('device')}{several}"


def unlike_machines(environments: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether processor, cores or device differ between records."""
    return len({machine_label(one) for one in environments if one}) > 1
