"""What plugins have added to the registries, taken away again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from eibench.plan import plugins
from eibench.plan.options import CHOICES


@contextmanager
def plugins_taken_away() -> Iterator[Callable[[], None]]:
    """Take away what plugins have added in the block, as in a new process; also when called."""
    before = {kind: set(registry) for kind, registry in CHOICES.items()}

    def take_away() -> None:
        plugins._loaded.clear()
        for name in [name for name in sys.modules if name.startswith(plugins.FILE_MODULE)]:
            del sys.modules[name]
        for kind, registry in CHOICES.items():
            for name in registry.keys() - before[kind]:
                registry.remove(name)

    try:
        yield take_away
    finally:
        take_away()
