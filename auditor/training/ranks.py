"""Several processes that train one network together, as `torchrun` starts them; one process alone is the plain case.

Gradients are added up after the backward pass, in one flat tensor per type. DistributedDataParallel would overlap this with the
backward pass, but forbids what strategies do within one step: several forward passes, gradients for the images, a criterion
that learns.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import AuditError, ExitCode

if TYPE_CHECKING:
    from torch import Tensor, nn

PATIENCE = timedelta(hours=2)
"""How long the others wait for one process: reading a data set for the first time takes long."""


class LeftAlone(AuditError):
    """Another process of the training has ended; that one says why."""

    exit_code = ExitCode.INCOMPLETE


@dataclass(frozen=True)
class Ranks:
    """This process is number `number` of `of`."""

    number: int = 0
    of: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.number == 0

    def share(self, items: int) -> range:
        """The numbers of the items that are this process's: every item belongs to exactly one process."""
        return range(self.number, items, self.of)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.of > 1:
            with _together() as dist:
                dist.barrier()

    def gather(self, own: Any) -> list[Any]:
        """What each process gives, in order of their numbers, for all of them."""
        if self.of == 1:
            return [own]
        found: list[Any] = [None] * self.of
        with _together() as dist:
            dist.all_gather_object(found, own)
        return found

    def add_up(self, values: Tensor) -> Tensor:
        """The sum over the processes, in place."""
        if self.of > 1:
            with _together() as dist:
                dist.all_reduce(values)
        return values

    def add_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Every gradient becomes the sum over the processes; one that is absent here counts as zero."""
        if self.of == 1:
            return
        import torch

        learning = [weight for weight in weights if weight.requires_grad]
        for weight in learning:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        self._add([weight.grad for weight in learning if weight.grad is not None])

    def average(self, buffers: Iterable[Tensor]) -> None:
        """Every floating buffer (running means of batch norm) becomes the mean over the processes."""
        if self.of > 1:
            floating = [buffer for buffer in buffers if buffer.is_floating_point()]
            self._add(floating)
            for buffer in floating:
                buffer.div_(self.of)

    def _add(self, tensors: list[Tensor]) -> None:
        import torch

        for kind in dict.fromkeys(tensor.dtype for tensor in tensors):
            alike = [tensor for tensor in tensors if tensor.dtype == kind]
            flat = self.add_up(torch.cat([tensor.reshape(-1) for tensor in alike]))
            for tensor, part in zip(alike, torch.split(flat, [tensor.numel() for tensor in alike]), strict=True):
                tensor.copy_(part.view_as(tensor))


@contextmanager
def _together() -> Iterator[ModuleType]:
    """torch.distributed, whose errors mean that another process is gone."""
    import torch.distributed as dist

    try:
        yield dist
    except RuntimeError as error:
        raise LeftAlone(
            "another process of this training has ended or cannot be reached; what it says is the reason"
        ) from error


@contextmanager
def joined(device: str) -> Iterator[tuple[Ranks, str]]:
    """This process among those that torchrun started, and the device that is its own."""
    of = int(os.environ.get("WORLD_SIZE", "1"))
    if of == 1:
        yield Ranks(), device
        return
    import torch
    import torch.distributed as dist

    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=PATIENCE)
    ranks = Ranks(dist.get_rank(), of)
    try:
        yield ranks, device
        ranks.wait()  # a process that leaves while another still closes its connections makes that one abort
    finally:
        dist.destroy_process_group()
