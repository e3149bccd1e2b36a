"""Which version of each detector a reader has adopted: a small file beside the user's own models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from ..errors import WeightsError, brief
from ..files import write_whole

ADOPTED_FILE = "adopted.json"
"""Name of the file; a card it is not."""

_CHOICES = TypeAdapter(dict[str, tuple[str, ...]])


def read_adopted(folder: Path) -> dict[str, tuple[str, ...]]:
    """What was adopted, for each detector, the newest choice last; empty where nothing ever was.

    Raises
    ------
    WeightsError
        If the file is damaged.
    """
    path = folder / ADOPTED_FILE
    try:
        content = _CHOICES.validate_json(path.read_bytes())
        return {detector: names for detector, names in content.items() if names}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{path} cannot be read ({brief(error)}). Delete it to go back to the versions that came with the program."
        ) from error


def write_adopted(folder: Path, adopted: Mapping[str, Sequence[str]]) -> None:
    """Keep what was adopted: the file is replaced whole or not at all.

    Raises
    ------
    WeightsError
        If it cannot be written.
    """
    text = json.dumps({detector: list(names) for detector, names in adopted.items()}, indent=2)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / ADOPTED_FILE, text, durable=True)
    except OSError as error:
        raise WeightsError(f"the choice of a version cannot be kept in {folder}: {error.strerror or error}") from error
