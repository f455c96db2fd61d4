"""Processes that train one network together, each on its part of every batch.

They run the same program and meet before each exchange of tensors, on the CPU. A process that has
failed says so at its next meeting, and all others leave the run there: nobody waits for a process
that will not come.

Each process differentiates its share of the whole batch's mean loss, and the gradients are summed
once after the backward pass. That is exact, since every backward pass in eibench is linear in the
gradients of the images. `DistributedDataParallel` gives all parts equal weights, however many
images they have, and would have to be told of pieces and unused parameters.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from eibench.errors import ControlFlow, UserError, describe_error, reraise_interrupt
from eibench.training.pieces import take


class RankError(RuntimeError):
    """Error of another process."""


class RankLost(ControlFlow):
    """Raised where another process is gone, or does not answer in time."""


class _PeerFailed(ControlFlow):
    """Raised where another process says that it has failed."""


class _Failure(NamedTuple):
    """The error of a process, as the others hear of it."""

    kind: type[Exception]
    text: str
    trace: str


class Ranks:
    """The processes of a run, over a group for messages on the CPU and one for tensors.

    Args:
        control: a group whose backend is gloo.
        tensors: a group on the device of the network; by default `control`.
    """

    def __init__(self, control: Any, tensors: Any = None) -> None:
        self.control = control
        self.tensors = control if tensors is None else tensors
        self.rank, self.size = dist.get_rank(control), dist.get_world_size(control)
        self.backend = dist.get_backend(self.tensors)

    def part(self, pieces: int = 1) -> Callable[[Tensor], Tensor]:
        """Return the choice of this process's entries of a batch, each piece of which is shared."""
        return partial(take, pieces=pieces, rank=self.rank, ranks=self.size)

    # --- Exchanges -------------------------------------------------------------------------------

    def total(self, number: int) -> int:
        """Return the sum of a number over all processes."""
        return self._meet(number)

    def sum_(self, x: Tensor) -> Tensor:
        """Replace `x`, contiguous, by its sum over all processes; return it."""
        self._meet()
        _answered(lambda: dist.all_reduce(x, group=self.tensors))
        return x

    def from_first(self, value: Any) -> Any:
        """Return the first process's plain `value`."""
        self._meet()
        return self.hear(value)

    def hear(self, value: Any = None) -> Any:
        """Return the first process's `value`, for which the others may wait long."""
        box = [value]
        _answered(lambda: dist.broadcast_object_list(box, 0, self.control))
        return box[0]

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace each gradient by its sum over all processes."""
        grads = [p.grad for p in parameters if p.grad is not None]
        if not grads:
            return
        flat = torch.cat([grad.reshape(-1) for grad in grads])
        parts = self.sum_(flat).split([grad.numel() for grad in grads])
        for grad, part in zip(grads, parts, strict=True):
            grad.copy_(part.view_as(grad))

    @torch.no_grad()
    def copy_first(self, model: nn.Module) -> None:
        """Give the parameters and buffers of `model` the values of the first process."""
        self._meet()
        for value in model.state_dict().values():
            whole = value.contiguous()
            _answered(partial(dist.broadcast, whole, 0, self.tensors))
            value.copy_(whole)

    def _meet(self, number: int = 0, failed: bool = False) -> int:
        """Wait for all processes; return the sum of their numbers.

        Raises:
            _PeerFailed: a process has failed.
            RankLost: a process is gone.
        """
        sums = torch.tensor([int(failed), number])
        _answered(lambda: dist.all_reduce(sums, group=self.control))
        failures, total = sums.tolist()
        if failures:
            raise _PeerFailed
        return int(total)

    # --- Errors ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Raise an error within the block in all processes, that of the lowest rank in each.

        Raises:
            RankLost: a process is gone.
        """
        own: BaseException | None = None
        try:
            yield
            self._meet()
            return
        except _PeerFailed:
            pass
        except BaseException as error:
            reraise_interrupt(error)
            own = error
            with contextlib.suppress(_PeerFailed):
                self._meet(failed=True)
        found: list[Any] = [None] * self.size
        told = own and _failure(own)
        _answered(lambda: dist.all_gather_object(found, told, self.control))
        rank = next(i for i, failure in enumerate(found) if failure)
        if own is not None and rank == self.rank:
            raise own
        theirs: _Failure = found[rank]
        remote = theirs.kind(f"process {rank}: {theirs.text}")
        remote.add_note(f"process {rank}:\n{theirs.trace}")
        raise remote


def _failure(error: BaseException) -> _Failure:
    kind: type[Exception] = RankError
    if isinstance(error, UserError):
        kind = UserError
    elif isinstance(error, MemoryError | torch.OutOfMemoryError):
        kind = torch.OutOfMemoryError
    return _Failure(kind, describe_error(error), "".join(traceback.format_exception(error)))


def _answered(exchange: Callable[[], object]) -> None:
    """Call an exchange of torch's; raise `RankLost` where a process does not take part."""
    try:
        exchange()
    except RuntimeError as error:  # of gloo and NCCL: closed connections, timeouts
        raise RankLost(str(error)) from None
