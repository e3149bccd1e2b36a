"""Every error that this package raises on purpose. Their text is fit to be shown to a reader."""

from __future__ import annotations

from pathlib import Path

from pydantic_core import ValidationError

from .names import printable


class MitosisError(Exception):
    """Base class: the message says what went wrong and what can be done, in one or two sentences."""


class FieldError(MitosisError):
    """A file cannot be used as a field.

    Parameters
    ----------
    path : Path or str
        The file.
    reason : str
        Why, without the file's name.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = Path(path)
        self.reason = reason
        super().__init__(printable(f"{self.path.name}: {reason}"))


class UnknownResolution(MitosisError):
    """Something needs micrometres, and the field does not know its um/px."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__(
            f"{what} needs the pixel size of '{name}', which its file does not state. "
            "Give it in um/px (40x scanners: about 0.25)."
        )


class DatasetError(MitosisError):
    """A data set, an annotation file or a download is missing or malformed."""


class WeightsError(MitosisError):
    """Weights or a model card are missing, damaged or do not fit the network."""


class JournalError(MitosisError):
    """The journal of annotations cannot be opened, read or written."""


class JournalCut(JournalError):
    """Another program has cut the open journal short: what was stored in it may be gone."""


class Cancelled(MitosisError):
    """A job was cancelled by its user."""

    def __init__(self) -> None:
        super().__init__("Cancelled.")


def brief(error: BaseException, longest: int = 200) -> str:
    """What an error says, in one line for a person; of a pydantic error, where the first fault lies and what it is."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}"[:longest] if where else first["msg"][:longest]
    text = " ".join(str(error).split())
    return (text or type(error).__name__)[:longest]
