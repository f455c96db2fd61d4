"""Parts that are called as they are: which modules a container may compute in its own way."""

from __future__ import annotations

from torch import nn
from torch.nn.modules import module as torch_module

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
GLOBAL_HOOKS = tuple(f"_global{kind}" for kind in HOOKS)


def watched(module: nn.Module) -> bool:
    """Return whether a hook waits for a call of `module`, or its `forward` was replaced.

    Hooks are its own and those of every module (`torch.nn.modules.module.register_module_*`). Old
    style pruning, weight norm and spectral norm are hooks too.
    """
    if "forward" in vars(module) or any(getattr(module, kind) for kind in HOOKS):
        return True
    return any(getattr(torch_module, kind) for kind in GLOBAL_HOOKS)


def made_in(kind: type[nn.Module], name: str) -> int:
    """Return how far up the bases of `kind` the attribute `name` is defined; 0 is `kind` itself."""
    bases = kind.__mro__
    return next((i for i, base in enumerate(bases) if name in vars(base)), len(bases))
