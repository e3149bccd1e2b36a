"""A case: the fields of one patient, by the digest of their pixels, as the journal has it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from ..annotations.actions import ABOUT_ACTION, FILES, Action, new_id, timestamp, utc_now
from ..annotations.frames import figures_frame
from ..annotations.replay import replay
from ..annotations.store import Journal
from ..errors import JournalError
from ..fields.field import Field
from .areas import Area

MOST_LETTERS = 200


@dataclass(frozen=True, eq=False)
class CaseField:
    """One field of a case, as the journal has it.

    Attributes
    ----------
    digest, name, path : str
        Digest of the pixels, name for a person, file (empty where the pixels came from no file).
    mpp : float or None
        um/px.
    shape : tuple of int
        (H, W) in pixels.
    complete : bool
        Whether everything in it was looked at.
    area : Area
        What of it is counted.
    figures : DataFrame
        With `frames.FIGURE_COLUMNS`.
    model, rule : str
        Detector version and rule (JSON) on screen when something was last noted; empty = none.
    """

    digest: str
    name: str
    path: str
    mpp: float | None
    shape: tuple[int, int]
    complete: bool
    area: Area
    figures: pd.DataFrame
    model: str = ""
    rule: str = ""

    @property
    def state(self) -> str:
        """How far it is: ``complete``, ``judged`` (something was judged in it) or ``open``."""
        if self.complete:
            return "complete"
        return "judged" if len(self.figures) else "open"


@dataclass(frozen=True, eq=False)
class Case:
    """Fields of one patient.

    Attributes
    ----------
    name : str
    fields : tuple of CaseField
        By name and digest.
    seq : int
        Number of the newest action of the journal that counts.
    """

    name: str
    fields: tuple[CaseField, ...]
    seq: int


def check_name(name: str) -> str:
    """A name of a case, without blanks around it.

    Raises
    ------
    JournalError
        When it is empty, too long or has a line break.
    """
    name = name.strip()
    if not name or len(name) > MOST_LETTERS or not name.isprintable():
        raise JournalError(f"A case needs a name of 1 to {MOST_LETTERS} letters in one line.")
    return name


def add_to_case(journal: Journal, name: str, fields: Iterable[Field], reader: str) -> list[str]:
    """Put fields into a case, in one transaction; the digests of those that were not in it already.

    Raises
    ------
    JournalError
        When the name is none or the journal cannot be written.
    FieldError
        When the pixels of a field cannot be read; none is added then.
    """
    name = check_name(name)
    given = {field.digest: field for field in fields}
    there = cases_of(journal)
    fresh = [digest for digest in given if there.get(digest, "") != name]
    for digest in fresh:
        journal.remember(given[digest])
    moment = timestamp(utc_now())
    journal.append(*(Action(new_id(), "join", digest, reader=reader, time=moment, target=name) for digest in fresh))
    return fresh


def cases_of(journal: Journal) -> dict[str, str]:
    """Digest -> name of the case, of every field that belongs to one.

    Raises
    ------
    JournalError
        When the journal cannot be read.
    """
    by_field: dict[str, list[Action]] = {}
    for _, action in journal.rows(kinds=FILES | ABOUT_ACTION):
        by_field.setdefault(action.field, []).append(action)
    named = {digest: replay(actions).marks.case for digest, actions in by_field.items()}
    return {digest: case for digest, case in named.items() if case}


def case_names(journal: Journal) -> list[str]:
    """Names of all cases, sorted."""
    return sorted(set(cases_of(journal).values()))


def read_case(journal: Journal, name: str) -> Case:
    """A case as it stands.

    Raises
    ------
    JournalError
        When there is no such case or the journal cannot be read.
    """
    digests = sorted(digest for digest, case in cases_of(journal).items() if case == name)
    if not digests:
        known = ", ".join(case_names(journal)[:20]) or "none"
        raise JournalError(f"There is no case '{name}' in the journal; there are: {known}.")
    return Case(name, *read_fields(journal, digests))


def read_fields(journal: Journal, digests: Iterable[str]) -> tuple[tuple[CaseField, ...], int]:
    """Fields as they stand, by name, and the number of the newest action that counts.

    Raises
    ------
    JournalError
        When the journal does not know one of them or cannot be read.
    """
    seq = journal.last()  # first: what is written from now on does not count
    known = {str(row["digest"]): row for row in journal.fields().to_dict("records")}
    fields = []
    for digest in sorted(set(digests)):
        if digest not in known:
            raise JournalError(f"The journal {journal.name} knows no field {digest[:12]}; annotate it first.")
        row = known[digest]
        actions = [action for number, action in journal.rows(digest) if number <= seq]
        state = replay(actions)
        with_model = [action for action in actions if action.model]
        fields.append(
            CaseField(
                digest=digest,
                name=str(row["name"]),
                path=str(row["path"]),
                mpp=None if pd.isna(row["mpp"]) else float(row["mpp"]),
                shape=(int(row["height_px"]), int(row["width_px"])),
                complete=state.complete,
                area=Area.parse(state.marks.area),
                figures=figures_frame(state.figures),
                model=with_model[-1].model if with_model else "",
                rule=with_model[-1].rule if with_model else "",
            )
        )
    return tuple(sorted(fields, key=lambda field: (field.name, field.digest))), seq
