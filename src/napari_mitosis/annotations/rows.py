"""What the exchange formats share: the columns they keep, and what they know of the field."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import DatasetError
from ..fields.field import Field

EXCHANGE_COLUMNS: tuple[str, ...] = (
    *("figure", "y_px", "x_px", "label", "phase"),
    *("reader", "source", "score", "time"),
)
"""Id, centre in field pixels, label, phase, reader, source, score in [0, 1], time (UTC, ISO 8601)."""

NO_NUMBER, NO_PLACE, TORN = "with what is no number", "without a place", "of another number of cells"
_NUMBERS = frozenset({"y_px", "x_px", "score"})
_ID = re.compile(r"[0-9a-f]{32}")
_SYNONYMS = {
    "mitotic figure": "mitosis",
    "mitotic": "mitosis",
    "non-mitotic figure": "mimic",
    "non-mitotic cell": "mimic",
    "hard negative": "mimic",
    "hard negative look-alike": "mimic",
    "hard negative imposter": "mimic",
    "imposter": "mimic",
    "look-alike": "mimic",
    "mitotic figure look-alike": "mimic",
    "non-mitosis": "mimic",
}


class BadRow(DatasetError):
    """One row of a file that cannot be used.

    Attributes
    ----------
    kind : str
        What is wrong with it, to be counted: "of an unknown label".
    """

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text)
        self.kind = kind


class Strict:
    """What becomes of rows that cannot be used: the first one refuses the whole file."""

    @contextmanager
    def row(self) -> Iterator[None]:
        """Within this one row is made."""
        yield


class Lenient(Strict):
    """Rows that cannot be used are left out, and counted by what is wrong with them.

    Attributes
    ----------
    dropped : Counter of str
    """

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()

    @contextmanager
    def row(self) -> Iterator[None]:
        """Within this one row is made; it is left out where that fails."""
        try:
            yield
        except BadRow as error:
            self.dropped[error.kind] += 1

    def words(self) -> str:
        """How many were left out, and why; nothing where none was."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.dropped.items()))
        return f"{self.dropped.total()} left out: {kinds}." if kinds else ""


def torn_lines(checks: Strict) -> Callable[[str], None] | None:
    """What `read_table` is to do with lines of another number of cells."""
    if not isinstance(checks, Lenient):
        return None

    def count(told: str) -> None:
        with checks.row():
            raise BadRow(told, TORN)

    return count


@dataclass(frozen=True)
class FieldFacts:
    """What a file of annotations says of its field.

    Attributes
    ----------
    name, file_name : str
        Name for a person, and of the image file (or the name again).
    shape : tuple of int
        (H, W) in pixels.
    mpp : float or None
        um/px.
    """

    name: str
    file_name: str
    shape: tuple[int, int]
    mpp: float | None = None

    @classmethod
    def of(cls, field: Field) -> FieldFacts:
        """The facts of an open field."""
        return cls(field.name, field.path.name if field.path is not None else field.name, field.shape, field.mpp)


def exchange_frame(rows: Any) -> pd.DataFrame:
    """A table with exactly `EXCHANGE_COLUMNS` of rows that may lack some of them.

    Parameters
    ----------
    rows : DataFrame or list of dict
    """
    given = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows)
    columns: dict[str, Any] = {}
    for name in EXCHANGE_COLUMNS:
        if name in _NUMBERS:
            values = given[name] if name in given.columns else [np.nan] * len(given)
            columns[name] = pd.Series(np.asarray(values, dtype=np.float64))
        else:
            texts = list(given[name]) if name in given.columns else [""] * len(given)
            columns[name] = pd.Series([text if isinstance(text, str) else "" for text in texts], dtype=object)
    return pd.DataFrame(columns)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table by column name."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def known_label(text: str, where: str) -> str:
    """A label by its name, in any case, or by a name that data sets give it.

    Raises
    ------
    DatasetError
        When it is none.
    """
    name = text.strip().lower()
    label = _SYNONYMS.get(name, name)
    if label not in ("mitosis", "mimic", "unsure"):
        raise BadRow(f"{where}: the label '{text[:40]}' is none of mitosis, mimic, unsure.", "of an unknown label")
    return label


def known_id(text: object) -> str:
    """A figure's id as this program writes it (dashes are dropped); nothing when it is another program's."""
    plain = str(text).replace("-", "").lower()
    return plain if _ID.fullmatch(plain) else ""


def stated_number(value: object, where: str) -> float:
    """A finite number; NaN for nothing.

    Raises
    ------
    DatasetError
        When it is no number.
    """
    if value is None or value == "":
        return float("nan")
    try:
        number = float(value)  # type: ignore[arg-type]  # that is what is asked
    except (TypeError, ValueError, OverflowError):
        raise BadRow(f"{where}: '{str(value)[:40]}' is not a number.", NO_NUMBER) from None
    if isinstance(value, bool) or not np.isfinite(number):
        raise BadRow(f"{where}: '{str(value)[:40]}' is not a finite number.", NO_NUMBER)
    return number


def place_number(value: object, where: str) -> float:
    """A finite number that must be there.

    Raises
    ------
    DatasetError
        When it is not.
    """
    number = stated_number(value, where)
    if np.isnan(number):
        raise BadRow(f"{where}: a coordinate is missing.", NO_PLACE)
    return number


def read_text(path: Path) -> str:
    """A file's text.

    Raises
    ------
    DatasetError
        When it is absent or no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: it cannot be read ({error}).") from error
