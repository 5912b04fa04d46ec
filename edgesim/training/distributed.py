"""One training in several processes, on the CPUs or GPUs of one machine or more:

    torchrun --nproc-per-node 2 -m edgesim train ...

Each process augments and embeds an equal share of every batch. The embeddings are gathered, so that the loss
is that of the whole batch with all its pairs, and the gradients are added up: they are those of one process
with that batch, and all processes keep equal weights. BatchNorm alone sees one share only. Its running
statistics, which no training step reads, differ between processes, and those of the first are kept.

torchrun says in the environment which process this is; without it, all of this does nothing.
"""

from __future__ import annotations

import atexit
import os

import torch
from torch import Tensor, distributed, nn

from edgesim.errors import UsageError
from edgesim.training.device import pick_device


def processes() -> int:
    """Return how many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return the number of this process, 0 .. processes() - 1."""
    return int(os.environ.get("RANK", "0"))


def is_first() -> bool:
    """Tell whether this is the process that writes files, prints and measures."""
    return rank() == 0


def connect(device: str) -> None:
    """Connect the processes, once: by NCCL, each with a GPU of its own, or by Gloo on CPUs."""
    if processes() == 1 or distributed.is_initialized():
        return
    on_gpu = pick_device(device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    atexit.register(distributed.destroy_process_group)


def check_batch(size: int) -> None:
    """Raise `UsageError` if a batch of `size` views has no equal shares."""
    if size % processes():
        raise UsageError(
            f"{processes()} processes need batches that divide by {processes()}, got {size} views; "
            "change batch_size, or --nproc-per-node"
        )


def share(rows: Tensor) -> Tensor:
    """Return this process's rows (B / processes,) of a batch (B,): of every class and image about as many."""
    return rows[rank() :: processes()]


def gather(part: Tensor) -> Tensor:
    """Return the parts (B / processes, ...) of all processes, by rank, as one tensor (B, ...).

    Only this process's part carries gradient; `add_gradients` adds that of the others.
    """
    if processes() == 1:
        return part
    parts = [torch.empty_like(part) for _ in range(processes())]
    distributed.all_gather(parts, part.detach().contiguous())
    parts[rank()] = part
    return torch.cat(parts)


def add_gradients(encoder: nn.Module, loss: nn.Module) -> None:
    """Make every process's gradients those of the whole batch.

    The encoder's are the sum over processes, since each went through its own share. Class weights met the
    whole batch in every process: theirs are equal up to rounding, which the mean makes equal too.
    """
    if processes() == 1:
        return
    of_loss = _gradients(loss)
    for gradient in of_loss:
        gradient /= processes()
    gradients = _gradients(encoder) + of_loss
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    for gradient, total in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(total.view_as(gradient))


def _gradients(module: nn.Module) -> list[Tensor]:
    return [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
