"""Which device to use, and in which precision a network runs fastest there without harm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ..errors import MitosisError


def available_devices() -> list[str]:
    """Devices of this machine, the best first; ``"cpu"`` is always the last."""
    devices = []
    if torch.cuda.is_available():
        devices.append("cuda")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return [*devices, "cpu"]


def choose_device(device: str) -> torch.device:
    """The device that ``"auto"``, ``"cuda"``, ``"cuda:1"``, ``"mps"`` or ``"cpu"`` means here.

    Raises
    ------
    MitosisError
        If this machine has no such device.
    """
    present = available_devices()
    name = present[0] if device == "auto" else device
    if name.split(":")[0] not in present:
        raise MitosisError(f"This machine has no device '{device}'; it has {', '.join(present)}.")
    return torch.device(name)


def precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor computes in it, else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "cpu" and _cpu_has_bfloat16():
        return torch.bfloat16
    return torch.float32


def _cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16; False where this torch cannot tell."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return False
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


@contextmanager
def inference_on(network: nn.Module, device: torch.device) -> Iterator[torch.dtype]:
    """Run `network` on `device` in its best precision within the block."""
    dtype = precision(device)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.eval()
    with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
        yield dtype
