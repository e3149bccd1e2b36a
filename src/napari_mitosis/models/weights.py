"""Weights in and out of safetensors files, and in from the common published state dicts. Nothing is unpickled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..errors import WeightsError
from ..files import replacing
from .card import ModelCard


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file; half precision becomes float32.

    Raises
    ------
    WeightsError
        If the file is missing, damaged or a pickle.
    """
    if path.suffix in (".pth", ".pt", ".bin", ".ckpt"):
        raise WeightsError(f"{path.name} is a pickle and could run code; convert it to safetensors first")
    try:
        state = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(f"{path.name} cannot be read as weights: {error}") from error
    return {k: v.float() if v.dtype in (torch.float16, torch.bfloat16) else v for k, v in state.items()}


def blend(start: Mapping[str, Tensor], trained: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights on the way from those that a training began with (0) to the trained ones (1); counters as trained."""
    mixed = {}
    for name, value in trained.items():
        first = start[name].to(value)
        mixed[name] = torch.lerp(first, value, share) if value.is_floating_point() else value
    return mixed


def check_state(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Compare keys and shapes with those of `network`, and see that all values are finite.

    Raises
    ------
    WeightsError
        Naming the first keys that are missing, too many, of another shape or not finite.
    """
    expected = network.state_dict()
    problems = [f"{k} is missing" for k in expected if k not in state]
    problems += [f"{k} is unknown" for k in state if k not in expected]
    problems += [
        f"{k} holds values that are no numbers" for k in expected if k in state and not state[k].isfinite().all()
    ]
    problems += [
        f"{k} has shape {tuple(state[k].shape)}, not {tuple(expected[k].shape)}"
        for k in expected
        if k in state and state[k].shape != expected[k].shape
    ]
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise WeightsError(f"{source} does not fit the network: {'; '.join(problems[:3])}{more}")


def load_weights(network: nn.Module, path: Path) -> None:
    """Load a safetensors file into `network`.

    Raises
    ------
    WeightsError
        If it is damaged or does not fit.
    """
    load_state(network, read_state(path), path.name)


def load_state(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load weights into `network`; `source` names them in an error.

    Raises
    ------
    WeightsError
        If they do not fit.
    """
    check_state(network, state, source)
    network.load_state_dict(dict(state))


def publish(network: nn.Module, card: ModelCard, folder: Path) -> ModelCard:
    """Write weights (float16) and card as ``detector-version``; the card appears last, so never without weights.

    Returns
    -------
    ModelCard
        With its sha256.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{card.detector}-{card.version}"
    state = {
        k: (v.half() if v.dtype == torch.float32 else v).detach().cpu().contiguous()
        for k, v in network.state_dict().items()
    }
    with replacing(folder / f"{stem}.safetensors") as partial:
        save_file(state, partial)
        card = card.model_copy(update={"sha256": file_sha256(partial)})
    with replacing(folder / f"{stem}.json") as partial:
        card.save(partial)
    return card
