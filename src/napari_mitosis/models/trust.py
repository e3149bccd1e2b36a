"""Where a model version comes from: with this program, from this machine, accepted by its reader, or from elsewhere.

A version is known by a hash over its card, which holds the hash of its weights: whatever is changed in either makes it
another one. Nothing in a version can run code; what comes from elsewhere may still be poor or meant to mislead, so it
is shown as such before it first runs. Imports no torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib import metadata, resources
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import TypeAdapter

from ..errors import WeightsError
from ..files import write_whole
from .card import ModelCard, cards_in
from .registry import ENTRY_POINTS, registered

Origin = Literal["shipped", "made here", "accepted", "elsewhere"]

_KNOWN = TypeAdapter(dict[str, Literal["made here", "accepted"]])


def trust_file() -> Path:
    """Where the hashes are kept; not beside the models, for it must not travel with them."""
    return Path(platformdirs.user_state_dir("napari-mitosis", appauthor=False)) / "known-models.json"


def version_hash(card: ModelCard) -> str:
    """Sha256 of a card and, by the hash in it, of its weights."""
    return hashlib.sha256(card.model_dump_json().encode()).hexdigest()


def origin(card: ModelCard) -> Origin:
    """Where a version comes from; ``elsewhere`` too where its card does not say which weights it describes."""
    return origins([card])[0]


def origins(cards: Iterable[ModelCard]) -> list[Origin]:
    """Where versions come from, as `origin`; what has members and no weights is what its members are."""
    shipped = {version_hash(card) for _, card in cards_in(Path(str(resources.files("napari_mitosis") / "weights")))[0]}
    known = _read()
    listed: list[Origin] = []
    for card in cards:
        mark = version_hash(card)
        if mark in shipped or card.members:
            listed.append("shipped")
        else:
            listed.append(known.get(mark, "elsewhere") if card.sha256 else "elsewhere")
    return listed


def from_elsewhere(cards: Iterable[ModelCard]) -> list[ModelCard]:
    """Those that a reader should be told of before they first run."""
    listed = list(cards)
    return [card for card, where in zip(listed, origins(listed), strict=True) if where == "elsewhere"]


def accept(card: ModelCard, how: Literal["made here", "accepted"] = "accepted") -> None:
    """Remember a version, so that it is not shown as one from elsewhere any more.

    Raises
    ------
    WeightsError
        If that cannot be noted, or its card does not say which weights it describes.
    """
    if not card.sha256:
        raise WeightsError(f"{card.name} cannot be accepted: its card holds no hash of its weights")
    path = trust_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, _KNOWN.dump_json({**_read(), version_hash(card): how}, indent=1).decode())
    except OSError as error:
        raise WeightsError(f"{card.name} cannot be noted in {path.parent}: {error.strerror or error}") from error


def packages() -> Mapping[str, str]:
    """The other package that each detector or verifier comes from, by its name; those of this program are not there.

    Imports torch where there are such packages.
    """
    points = [point for point in metadata.entry_points(group=ENTRY_POINTS) if point.dist is not None]
    if not points:
        return {}
    owners = {}
    for name, cls in registered().items():
        for point in points:
            module = str(getattr(cls, "__module__", ""))
            if point.dist is not None and (module == point.module or module.startswith(f"{point.module}.")):
                owners[name] = f"{point.dist.name} {point.dist.version}"
    return owners


def _read() -> dict[str, Literal["made here", "accepted"]]:
    """A file that cannot be read makes every version one from elsewhere, and none unusable."""
    try:
        return _KNOWN.validate_json(trust_file().read_bytes())
    except (OSError, ValueError):
        return {}
