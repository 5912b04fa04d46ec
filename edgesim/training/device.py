"""Where a training computes, and in what precision."""

from __future__ import annotations

import torch

from edgesim.errors import UsageError


def pick_device(name: str) -> torch.device:
    """Return the device of a name: `cpu`, `cuda`, or `auto`, a GPU if there is one. Raises `UsageError`."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: no GPU that torch can use here; pass --device cpu or leave it out")
    return torch.device(name)


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return the context in which an encoder runs; see `TrainingConfig.precision`.

    `auto` leaves a CPU at float32, since only some compute faster in bfloat16 (AVX512-BF16, AMX): our choice.
    """
    mixed = precision == "bfloat16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16, enabled=mixed)
