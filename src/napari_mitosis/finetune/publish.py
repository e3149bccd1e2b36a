"""A finished fine-tuning puts its child among the reader's models, whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from ..errors import DatasetError, WeightsError
from ..files import replacing
from ..models.card import ModelCard, read_card
from ..models.registry import installed, user_folder
from ..models.trust import accept
from ..models.versions import next_version
from .outcome import CHILD_FILE, file_sha256, read_outcome


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
    sha256 = file_sha256(weights)
    known = {(kept.detector, kept.version): kept.sha256 for kept, _ in installed(folder)}
    for (detector, version), sha in known.items():
        if (detector, sha) == (card.detector, sha256):
            return f"{detector}@{version}"
    if (card.detector, card.version) in known:  # another fine-tuning of this parent came first
        card = card.model_copy(update={"version": next_version(str(card.parent or card.name), folder)})
    card = card.model_copy(update={"sha256": sha256})
    stem = f"{card.detector}-{card.version}"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with replacing(place / f"{stem}.safetensors", durable=True) as partial:
            shutil.copyfile(weights, partial)
        with replacing(place / f"{stem}.json", durable=True) as partial:
            card.save(partial)
    except OSError as error:
        raise WeightsError(f"{card.name} cannot be kept in {place}: {error.strerror or error}") from error
    published = read_card(place / f"{stem}.json")
    with contextlib.suppress(WeightsError):  # then it is shown as one from elsewhere, and works all the same
        accept(published, "made here")
    return published.name


def _child(run: Path) -> tuple[ModelCard, Path]:
    """Card and weights that a fine-tuning left in its folder."""
    try:
        card, weights = read_outcome(run).card, run / CHILD_FILE
    except DatasetError as error:
        raise WeightsError(f"{run.name} holds no finished fine-tuning: {error}") from error
    return card, weights
