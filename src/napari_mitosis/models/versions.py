"""Versions of each detector: which one is in use, and where it comes from.

A version is a card with weights; nothing here ever changes or deletes one. Adopting is a line in a file
(`adoption`), and going back takes that line out again. Imports no torch.
"""

from __future__ import annotations

from pathlib import Path

from .adoption import read_adopted, write_adopted
from .card import ModelCard
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
    cards = {known.name: known for known, _ in installed(folder)}
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


def _standard(detector: str, folder: Path | None) -> str | None:
    """The newest version that is not fine-tuned."""
    names = [card.name for card in versions(detector, folder) if not card.finetuned]
    return names[-1] if names else None
