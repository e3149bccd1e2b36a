"""Checkpoints that survive a kill at any moment. Tensors in safetensors, everything else in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import WeightsError
from ..files import replacing


def save_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a JSON header; the file appears whole or not at all.

    Raises
    ------
    WeightsError
        If it cannot be written, as on a full disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {k: v.detach().contiguous().cpu() for k, v in tensors.items()}
    try:
        with replacing(path) as partial:
            save_file(contiguous, partial, metadata={"json": json.dumps(dict(header))})
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path.name} cannot be written: {error}") from error


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote (or any safetensors file, with an empty header).

    Raises
    ------
    WeightsError
        If the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        return tensors, json.loads(metadata.get("json", "{}"))
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(f"{path.name} cannot be read as weights: {error}") from error


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The state of an optimiser as flat tensors named ``optimizer.<parameter>.<quantity>``."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{index}.{name}": value
        for index, quantities in state.items()
        for name, value in quantities.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


class MovingAverage:
    """Exponential moving average of weights and buffers, the version that is kept in the end."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {k: v.detach().clone() for k, v in network.state_dict().items()}

    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the weights of `network`; early steps move faster."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for key, value in network.state_dict().items():
            mean = self.tensors[key]
            if mean.dtype.is_floating_point:
                mean.lerp_(value.detach(), 1 - decay)
            else:
                mean.copy_(value)
