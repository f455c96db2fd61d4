"""What a training step costs, method beside method: time, memory, and where the time goes."""

from eibench.execution.profiling.profile import Request, profile

__all__ = ["Request", "profile"]
