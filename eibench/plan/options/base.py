"""Base classes of all options: validation, names and comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from eibench.limits import LARGEST, LARGEST_NUMBER

Count = Annotated[int, Field(ge=1, le=LARGEST)]
"""Whole number of items."""
LONGEST_LINE = 1000


def _one_line(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be one line of printable text, without spaces around it")
    return text


Line = Annotated[str, Field(min_length=1, max_length=LONGEST_LINE), AfterValidator(_one_line)]
"""One line of text for tables and terminals."""
PRESET = "preset"
"""Key beside a choice's name that stands for several options."""
NESTED = "nested_choice"
"""Kind of the validation error of a choice within a choice; its context holds the `problems`."""


class Options(BaseModel):
    """Values that a suite may set; unknown keys and silent conversions are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _one_zero(cls, value: Any) -> Any:
        """Return 0.0 for -0.0, so that equal values have equal identities."""
        if isinstance(value, float) and abs(value) > LARGEST_NUMBER:
            raise ValueError(f"must be at most {LARGEST_NUMBER:g} in size")
        return value + 0.0 if isinstance(value, float) else value

    def changed(self) -> dict[str, Any]:
        """Return the values that differ from the defaults, in the order of the class."""
        return self.model_dump(exclude_defaults=True)


@dataclass(frozen=True)
class Plugin:
    """Origin of a method, model or data set that is not part of eibench."""

    name: str
    """File name, or installed package and version."""
    digest: str
    """First 16 hexadecimal digits of the SHA-256 of the source."""
    installed: bool = False

    @property
    def identity(self) -> str:
        """The text for a run's identity: a file may be renamed, a package has a version."""
        return f"{self.name} {self.digest}" if self.installed else self.digest

    def __str__(self) -> str:
        return f"{self.name} (sha256 {self.digest})"


class Preset(NamedTuple):
    """Options under one name, which a suite may give in their place."""

    summary: str
    """One line for `eibench list`."""
    values: Mapping[str, Any]


class Choice(Options):
    """Options of something that has a name in a registry."""

    name: ClassVar[str]
    presets: ClassVar[Mapping[str, Preset]] = {}
    """Presets by name. The key `preset` stands for options and is none itself."""
    withheld: ClassVar[frozenset[str]] = frozenset()
    """Options that eibench carries out itself; the code of the choice does not receive them."""
    plugin: ClassVar[Plugin | None] = None
    """Its origin; None for eibench's own."""

    def made_by(self) -> Plugin | None:
        """Return the plugin whose code is used; None for eibench's own."""
        return self.plugin

    @property
    def label(self) -> str:
        """The name and the options that differ from the defaults: `batchnorm-per_step`.

        From a preset, where that is shorter: `ei-blanket`, `ei-blanket-kappa0.5`.
        """
        starts = [[], *([preset] for preset in self.presets)]
        labels = [[*start, *self._words(*start)] for start in starts]
        return "-".join([self.name, *min(labels, key=len)])

    def _words(self, preset: str | None = None) -> list[str]:
        """Return the options that differ from the defaults, or from a preset, in words."""
        usual = dict(self.presets[preset].values) if preset else {}
        changed = self.changed()
        reset = {k: getattr(self, k) for k in usual if k not in changed}
        return [
            _word(key, value)
            for key, value in {**changed, **reset}.items()
            if key not in usual or usual[key] != value
        ]

    @classmethod
    def summary(cls) -> str:
        """Return one line for `eibench list`."""
        return (cls.__doc__ or "").strip().partition("\n")[0]

    def __repr_name__(self) -> str:
        """Return the name, which is unique; class names of several plugins need not be."""
        return self.name


WITHOUT_KEY = ("stats", "init")
"""Options whose values need no key beside them in a label."""


def _word(key: str, value: Any) -> str:
    """Return an option as a label shows it: `per_step`, `no_dale`, `ei_ratio2`."""
    if isinstance(value, bool):
        return key if value else f"no_{key}"
    if value is None:
        return f"no_{key}"
    if isinstance(value, Mapping):  # a choice of its own
        return "-".join(_word(key if k == "name" else k, v) for k, v in value.items())
    if isinstance(value, str):
        return value if key in WITHOUT_KEY else f"{key}_{value}"
    return f"{key}{value}".replace("+", "")  # 1e+16 is no part of a file's name
