"""Versions of each detector: which one is in use, where it comes from, and how a fine-tuned one joins them.

A version is a card with weights; nothing here ever changes or deletes one. Adopting is a line in a file
(`adoption`), and going back takes that line out again. Imports no torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path

from pydantic import BaseModel

from ..errors import WeightsError, brief
from ..names import inside
from .adoption import read_adopted, write_adopted
from .card import ModelCard, read_card
from .registry import find_version, installed, user_folder, version_key

TUNED = "+tuned."
"""Stands between the version that a line of fine-tuned ones began with and their number."""


def adopted(detector: str, folder: Path | None = None) -> str:
    """Name of the version that is in use: the adopted one, else the newest that is not fine-tuned.

    Parameters
    ----------
    detector : str
    folder : Path, optional
        Where models and the choice lie, instead of the shipped and the user's.

    Raises
    ------
    WeightsError
        If there is no version of it.
    """
    return find_version(detector, folder)[0].name


def adopt(name: str, folder: Path | None = None) -> None:
    """Use this version from now on wherever no other is asked for.

    Raises
    ------
    WeightsError
        If there is no such version, or the choice cannot be kept.
    """
    card, _ = find_version(name, folder)
    if card.name == adopted(card.detector, folder):
        return
    place = folder or user_folder()
    chosen = read_adopted(place)
    chosen[card.detector] = (*chosen.get(card.detector, ()), card.name)
    write_adopted(place, chosen)


def before(detector: str, folder: Path | None = None) -> str | None:
    """Name of the version that `go_back` would bring, or None where nothing was adopted."""
    names = read_adopted(folder or user_folder()).get(detector, ())
    if not names:
        return None
    there = {card.name for card, _ in installed(folder)}
    kept = next((name for name in reversed(names[:-1]) if name in there), None)
    return kept or _standard(detector, folder)


def go_back(detector: str, folder: Path | None = None) -> str:
    """Use the version that was in use before the present one; its name.

    Raises
    ------
    WeightsError
        If there is no version of this detector, or the choice cannot be kept.
    """
    place = folder or user_folder()
    chosen = read_adopted(place)
    there = {card.name for card, _ in installed(folder)}
    names = list(chosen.get(detector, ()))[:-1]
    while names and names[-1] not in there:  # its file was deleted
        names.pop()
    chosen[detector] = tuple(names)
    write_adopted(place, chosen)
    return adopted(detector, folder)


def lineage(name: str, folder: Path | None = None) -> list[ModelCard]:
    """The card of a version, its parent's, and so on, as far as they are here.

    Raises
    ------
    WeightsError
        If there is no such version.
    """
    card, _ = find_version(name, folder)
    cards = {one.name: one for one, _ in installed(folder)}
    line = [card]
    while (parent := line[-1].parent) in cards and cards[str(parent)] not in line:
        line.append(cards[str(parent)])
    return line


def versions(detector: str, folder: Path | None = None) -> list[ModelCard]:
    """Every version of a detector, adopted or not, oldest first."""
    cards = [card for card, _ in installed(folder) if card.detector == detector]
    return sorted(cards, key=lambda card: version_key(card.version))


def next_version(parent: str, folder: Path | None = None) -> str:
    """The version that the next child of ``detector@version`` gets: ``1.0.0+tuned.3``.

    Children of a child go on counting in the same line.
    """
    detector, _, version = parent.partition("@")
    stem = f"{version.partition(TUNED)[0]}{TUNED}"
    taken = [card.version.removeprefix(stem) for card in versions(detector, folder) if card.version.startswith(stem)]
    return f"{stem}{1 + max((int(number) for number in taken if number.isdecimal()), default=0)}"


def publish_child(run: Path, folder: Path | None = None) -> str:
    """Put the child of a finished fine-tuning among the user's models; its name.

    The weights are copied and renamed, then the card: whenever this is interrupted, there is either a whole version
    or none. Publishing again gives the same name. The child is kept, and on offer only once it is adopted.

    Parameters
    ----------
    run : Path
        Folder of the fine-tuning, with ``outcome.json`` and the child's weights.
    folder : Path, optional
        Where to put it, instead of the user's models.

    Raises
    ------
    WeightsError
        If the fine-tuning did not finish, or the child cannot be written.
    """
    card, weights = _child(run)
    place = folder or user_folder()
    sha256 = _sha256(weights)
    known = {(one.detector, one.version): one.sha256 for one, _ in installed(folder)}
    for (detector, version), sha in known.items():
        if (detector, sha) == (card.detector, sha256):
            return f"{detector}@{version}"
    if (card.detector, card.version) in known:  # another fine-tuning of this parent came first
        card = card.model_copy(update={"version": next_version(str(card.parent or card.name), folder)})
    card = card.model_copy(update={"sha256": sha256})
    stem = f"{card.detector}-{card.version}"
    partial = place / f"{stem}.{os.getpid()}.partial"
    try:
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(weights, partial)
        _sync(partial)
        os.replace(partial, place / f"{stem}.safetensors")
        card.save(partial)
        _sync(partial)
        os.replace(partial, place / f"{stem}.json")
    except OSError as error:
        raise WeightsError(f"{card.name} cannot be kept in {place}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return read_card(place / f"{stem}.json").name


def _standard(detector: str, folder: Path | None) -> str | None:
    """The newest version that is not fine-tuned."""
    names = [card.name for card in versions(detector, folder) if not card.finetuned]
    return names[-1] if names else None


def _child(run: Path) -> tuple[ModelCard, Path]:
    """Card and weights that a fine-tuning left in its folder."""
    try:
        outcome = _Finished.model_validate_json((run / "outcome.json").read_bytes())
    except (OSError, ValueError) as error:
        raise WeightsError(f"{run.name} holds no finished fine-tuning: {brief(error)}") from error
    weights = inside(run, outcome.child)
    if weights is None:
        raise WeightsError(f"{run.name} holds no finished fine-tuning: its child lies outside of its folder")
    if not weights.is_file():
        raise WeightsError(f"{run.name} holds no finished fine-tuning: {weights.name} is missing")
    if outcome.child_sha256 != _sha256(weights):
        raise WeightsError(f"{run.name}: {weights.name} is not the file that its outcome describes (sha256 differs)")
    return outcome.card, weights


class _Finished(BaseModel):
    """Of ``outcome.json``, what publishing needs."""

    child: str
    child_sha256: str
    card: ModelCard


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Make sure that the file is on disk before its name says so."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
