"""Environment that `torchrun` gives to each process of one large run; read without torch."""

from __future__ import annotations

import os
from typing import NamedTuple

from eibench.errors import UserError

VARIABLES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
NEEDED = ("MASTER_ADDR", "MASTER_PORT")


class Torchrun(NamedTuple):
    """This process among those of a run, over all machines and on this one."""

    size: int
    rank: int
    local_rank: int
    local_size: int


def torchrun() -> Torchrun | None:
    """Return this process's place under `torchrun`; None where it is alone.

    Raises:
        UserError: the variables are incomplete.
    """
    if os.environ.get("WORLD_SIZE", "") in ("", "1"):
        return None
    missing = [name for name in (*VARIABLES, *NEEDED) if not os.environ.get(name)]
    if not missing:
        try:
            place = Torchrun(*(int(os.environ[name]) for name in VARIABLES))
        except ValueError:
            pass
        else:
            if 0 <= place.rank < place.size and 0 <= place.local_rank < place.local_size:
                return place
    found = ", ".join(f"{name}={os.environ.get(name, '')}" for name in (*VARIABLES, *NEEDED))
    raise UserError(
        f"WORLD_SIZE asks for several processes, but the environment does not place this one"
        f" ({found}); start with torchrun --nproc-per-node N -m eibench run SUITE"
    )


def refuse_torchrun(what: str) -> None:
    """Raise `UserError` under `torchrun`, where only `eibench run` of one run at a time works."""
    if torchrun() is not None:
        raise UserError(
            f"torchrun trains one network on several devices; it does not work with {what}"
        )


def prints() -> bool:
    """Return whether this process prints: the first on its machine, or one that is not placed."""
    try:
        place = torchrun()
    except UserError:
        return True
    return place is None or place.local_rank == 0
