"""Which version of each detector a reader has adopted: a small file beside the user's own models."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import WeightsError

ADOPTED_FILE = "adopted.json"
"""Name of the file; a card it is not."""


def read_adopted(folder: Path) -> dict[str, tuple[str, ...]]:
    """What was adopted, for each detector, the newest choice last; empty where nothing ever was.

    Raises
    ------
    WeightsError
        If the file is damaged.
    """
    path = folder / ADOPTED_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(detector): tuple(str(name) for name in names) for detector, names in content.items() if names}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise WeightsError(
            f"{path} cannot be read ({error}). Delete it to go back to the versions that came with the program."
        ) from error


def write_adopted(folder: Path, adopted: Mapping[str, Sequence[str]]) -> None:
    """Keep what was adopted: the file is replaced whole or not at all.

    Raises
    ------
    WeightsError
        If it cannot be written.
    """
    partial = folder / f"{ADOPTED_FILE}.{os.getpid()}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as file:
            json.dump({detector: list(names) for detector, names in adopted.items()}, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, folder / ADOPTED_FILE)
    except OSError as error:
        raise WeightsError(f"the choice of a version cannot be kept in {folder}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
