"""Optional libraries of exports."""

from __future__ import annotations

import importlib.util

from eibench.errors import UserError


def require(extra: str, *packages: str) -> None:
    """Raise `UserError` where libraries of an extra are not installed."""
    lacking = [name for name in packages if importlib.util.find_spec(name) is None]
    if lacking:
        raise UserError(
            f"this needs {' and '.join(lacking)}, which is not installed;"
            f" `pip install 'eibench[{extra}]'` installs what is needed"
        )
