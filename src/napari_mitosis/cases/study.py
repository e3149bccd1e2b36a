"""A study of readers: the same fields for each, in an order of their own, read again after a washout.

A study is a folder: ``study.json`` and a journal for each reader and round, so that nobody sees another's marks, nor
their own of the first round. The order of each reader and round follows from the seed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic import Field as Value

from ..annotations.replay import replay
from ..annotations.store import Journal
from ..errors import MitosisError
from ..fields.field import Field
from ..fields.resolution import PLAUSIBLE_MPP
from ..measures.readers import READER_COLUMNS

_READER = re.compile(r"[\w][\w .-]{0,59}")
ReaderName = Annotated[str, Value(pattern=f"^{_READER.pattern}$")]
"""It becomes part of a file's name."""


class StudyField(BaseModel):
    """A field of a study: its number, digest, image and um/px."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Value(ge=1)
    digest: str = Value(pattern="^[0-9a-f]{64}$")
    path: str
    mpp: float = Value(ge=PLAUSIBLE_MPP[0], le=PLAUSIBLE_MPP[1])


class Study(BaseModel):
    """What is read by whom.

    Attributes
    ----------
    name : str
    seed : int
        Of the orders.
    readers : tuple of str
    rounds : int
        How often each reader reads all fields.
    washout_days : float
        Between the end of a round and the beginning of the next.
    fields : tuple of StudyField
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    name: str
    seed: int = Value(ge=0)
    readers: tuple[ReaderName, ...] = Value(min_length=1)
    rounds: int = Value(default=1, ge=1, le=10)
    washout_days: float = Value(default=14, ge=0, le=3650)
    fields: tuple[StudyField, ...] = Value(min_length=1)

    def order(self, reader: str, round_: int) -> list[StudyField]:
        """The fields in the order of a reader and round.

        Raises
        ------
        MitosisError
            When there is no such reader or round.
        """
        if reader not in self.readers or not 1 <= round_ <= self.rounds:
            raise MitosisError(
                f"The study has no reader '{reader}' in round {round_}; it has {', '.join(self.readers)} in "
                f"{self.rounds} {'round' if self.rounds == 1 else 'rounds'}."
            )
        seeds = [self.seed, self.readers.index(reader), round_]
        return [self.fields[at] for at in np.random.default_rng(seeds).permutation(len(self.fields))]


def new_study(
    folder: Path,
    fields: Sequence[Field],
    readers: Sequence[str],
    *,
    seed: int = 0,
    rounds: int = 1,
    washout_days: float = 14,
) -> Study:
    """Make the folder of a study.

    Raises
    ------
    MitosisError
        When the folder holds a study, a field has no file or no um/px or is there twice, or a reader's name cannot
        name a file.
    """
    if (folder / "study.json").exists():
        raise MitosisError(f"{folder} holds a study already. Choose another folder.")
    readers = [reader.strip() for reader in readers]
    wrong = [reader for reader in readers if not _READER.fullmatch(reader)]
    if wrong or len({reader.casefold() for reader in readers}) != len(readers):
        raise MitosisError("Readers need different names of letters, digits, blanks, dots and dashes.")
    digests = [field.digest for field in fields]
    if len(set(digests)) != len(digests):
        raise MitosisError("Two of the fields have the same pixels. Give each once.")
    listed = []
    for number, field in enumerate(fields, start=1):
        if field.path is None:
            raise MitosisError(f"{field.name} came from no file: a study cannot find it again.")
        mpp = field.require_mpp("A study")
        listed.append(StudyField(number=number, digest=field.digest, path=str(field.path.absolute()), mpp=mpp))
    study = Study(
        name=folder.name,
        seed=seed,
        readers=tuple(readers),
        rounds=rounds,
        washout_days=washout_days,
        fields=tuple(listed),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.json").write_text(study.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return study


def open_study(folder: Path) -> Study:
    """Read a study.

    Raises
    ------
    MitosisError
        When the folder holds none.
    """
    try:
        return Study.model_validate(json.loads((folder / "study.json").read_text(encoding="utf-8")))
    except OSError as error:
        raise MitosisError(f"{folder} holds no study ({error.strerror}).") from error
    except (ValueError, ValidationError) as error:
        raise MitosisError(f"{folder / 'study.json'} is damaged: {str(error).splitlines()[0]}.") from error


def journal_of(folder: Path, reader: str, round_: int) -> Path:
    """The journal of a reader and round."""
    return folder / f"{reader}-{round_}.sqlite"


def round_of(folder: Path, study: Study, reader: str, now: datetime | None = None) -> tuple[int, list[StudyField]]:
    """Which round a reader is in, and the fields that are left of it, in order; nothing left after the last.

    A field is done once its reader declared it complete.

    Raises
    ------
    MitosisError
        When the washout before the next round is not over; the message says when it is.
    """
    now = now or datetime.now(UTC)
    ended: datetime | None = None
    for round_ in range(1, study.rounds + 1):
        order = study.order(reader, round_)
        done = _done(journal_of(folder, reader, round_))
        left = [field for field in order if field.digest not in done]
        if left:
            begins = ended + timedelta(days=study.washout_days) if ended is not None else now
            if not done and now < begins:
                raise MitosisError(f"The washout of {reader} lasts until {begins:%Y-%m-%d %H:%M} UTC.")
            return round_, left
        ended = max(done.values())
    return study.rounds, []


def _done(path: Path) -> dict[str, datetime]:
    """Digest -> when it was declared complete."""
    if not path.exists():
        return {}
    finished = {}
    with Journal(path, create=False) as journal:
        for digest in journal.fields()["digest"]:
            actions = journal.actions(str(digest))
            if replay(actions).complete:
                times = [action.time for action in actions if action.kind == "complete"]
                finished[str(digest)] = datetime.fromisoformat(max(times))
    return finished


def readings(folder: Path, study: Study, round_: int = 1) -> dict[str, pd.DataFrame]:
    """What each reader marked in a round, with `readers.READER_COLUMNS`; the field is its number.

    Only readers who began the round are there.

    Raises
    ------
    JournalError
        When a journal cannot be read.
    """
    by_reader = {}
    for reader in study.readers:
        path = journal_of(folder, reader, round_)
        if path.exists():
            by_reader[reader] = _marks(path, study)
    return by_reader


def _marks(path: Path, study: Study) -> pd.DataFrame:
    rows = []
    with Journal(path, create=False) as journal:
        for field in study.fields:
            for figure in replay(journal.actions(field.digest)).figures:
                place = (figure.y_px, figure.x_px, (figure.y_px + 0.5) * field.mpp, (figure.x_px + 0.5) * field.mpp)
                rows.append((str(field.number), *place, figure.label, figure.phase))
    return pd.DataFrame(rows, columns=list(READER_COLUMNS)).astype(
        dict.fromkeys(("y_px", "x_px", "y_um", "x_um"), "float64")
    )
