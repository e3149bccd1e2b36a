"""A frozen training set: the figures of chosen fields at one moment of the journal, split by field, with a hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError
from pydantic import Field as Value

from ..errors import JournalError
from ..files import write_whole
from ..tables import annotations_frame
from .frames import annotations_of
from .replay import Figure, replay
from .store import Journal

Role = Literal["train", "test"]
Rectangle = tuple[int, int, int, int]
"""y0, x0, y1, x1 in field pixels; y1 and x1 are outside."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FigureRecord(_Frozen):
    """One figure of a snapshot, as in `replay.Figure`."""

    id: str
    y_px: FiniteFloat
    x_px: FiniteFloat
    label: Literal["mitosis", "mimic", "unsure"]
    phase: str = ""
    reader: str = ""
    source: str = ""
    score: FiniteFloat | None = Value(default=None, ge=0, le=1)


class FieldRecord(_Frozen):
    """One field of a snapshot: what finds its pixels, and its figures.

    Attributes
    ----------
    digest, name, path : str
        Digest of the pixels, name for a person, file (empty where the pixels came from no file).
    mpp : float or None
        um/px.
    shape : tuple of int
        (H, W) in pixels.
    complete : bool
        Whether everything in it was looked at: what is unmarked then is no mitosis.
    case : str
        Name of the case that it belongs to; empty where it belongs to none.
    role : {"train", "test"}
        Whether it is learned from, or the child is tested on it.
    reviewed : tuple of Rectangle
        Where tissue was looked at; empty = not known.
    figures : tuple of FigureRecord
        In the order in which they were first marked.
    """

    digest: str
    name: str
    path: str = ""
    mpp: FiniteFloat | None = Value(default=None, gt=0)
    shape: tuple[int, int]
    complete: bool = False
    case: str = ""
    role: Role = "train"
    reviewed: tuple[Rectangle, ...] = ()
    figures: tuple[FigureRecord, ...] = ()

    def annotations(self) -> pd.DataFrame:
        """Its figures as annotations, with `tables.ANNOTATION_COLUMNS`."""
        if not self.figures:
            return annotations_frame([], [])
        return annotations_of(
            [
                Figure(*(f.id, f.y_px, f.x_px, f.label, f.phase, f.source, f.score), f.reader, time="", kind="add")
                for f in self.figures
            ]
        )


class Snapshot(_Frozen):
    """Annotated fields at one moment of a journal, enough to train and to test on.

    Attributes
    ----------
    fields : tuple of FieldRecord
        Sorted by digest, so that the same annotations give the same hash.
    seq : int
        Number of the newest action of the journal at that moment.
    """

    version: Literal[1] = 1
    seq: int = Value(ge=0)
    fields: tuple[FieldRecord, ...]

    @property
    def sha256(self) -> str:
        """Hash of all that it holds but for where files lie; the same after `save` and `load`, and on every machine."""
        return hashlib.sha256(self._canonical()).hexdigest()

    def field(self, digest: str) -> FieldRecord:
        """One of its fields.

        Raises
        ------
        KeyError
            When it is none of them.
        """
        for record in self.fields:
            if record.digest == digest:
                return record
        raise KeyError(digest)

    def of(self, role: Role) -> tuple[FieldRecord, ...]:
        """The fields to train on, or to test on."""
        return tuple(record for record in self.fields if record.role == role)

    def save(self, path: Path) -> None:
        """Write it as JSON with its hash; a reader of the file never sees a part of it.

        Raises
        ------
        OSError
            When the file cannot be written; an earlier one stays as it was then.
        """
        text = json.dumps({"sha256": self.sha256, **self.model_dump(mode="json")}, indent=1, ensure_ascii=False)
        write_whole(path, text + "\n", durable=True)

    @classmethod
    def load(cls, path: Path) -> Snapshot:
        """Read a saved snapshot.

        Raises
        ------
        JournalError
            When the file is absent, is no snapshot, or was changed after it was saved.
        """
        try:
            content: Any = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise JournalError(f"{path}: the snapshot cannot be read ({error.strerror}).") from error
        except (ValueError, RecursionError) as error:
            raise JournalError(f"{path} is no snapshot of annotations: it is not JSON.") from error
        if not isinstance(content, dict) or "sha256" not in content:
            raise JournalError(f"{path} is no snapshot of annotations: it has no hash.")
        stated = content.pop("sha256")
        try:
            snapshot = cls.model_validate_json(json.dumps(content))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise JournalError(f"{path} is no snapshot of annotations: {where}: {first['msg']}.") from error
        older = hashlib.sha256(snapshot._canonical(paths=True)).hexdigest()
        if stated not in (snapshot.sha256, older):
            raise JournalError(f"{path} was changed after it was saved: its hash does not fit. Take a new snapshot.")
        return snapshot

    def _canonical(self, paths: bool = False) -> bytes:
        content = self.model_dump(mode="json")
        for field in content["fields"]:
            if not field["case"]:  # a snapshot that was taken before cases were kept has the hash that it had
                del field["case"]
            if not paths:  # the digest says which pixels they are; where somebody keeps them is nobody else's business
                del field["path"]
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def take_snapshot(
    journal: Journal,
    fields: Iterable[str] | None = None,
    split: Mapping[str, Role] | None = None,
    reviewed: Mapping[str, Sequence[Rectangle]] | None = None,
) -> Snapshot:
    """Freeze the annotations of some fields as they stand.

    Parameters
    ----------
    journal : Journal
    fields : iterable of str, optional
        Digests; every remembered field by default.
    split : mapping of digest to {"train", "test"}, optional
        Fields that it does not name are trained on.
    reviewed : mapping of digest to rectangles, optional
        Where tissue was looked at.

    Raises
    ------
    JournalError
        When the journal cannot be read or does not know one of the fields.
    """
    seq = journal.last()  # first: what is written from now on is not part of it
    known = {str(row["digest"]): row for row in journal.fields().to_dict("records")}
    roles, areas = dict(split or {}), dict(reviewed or {})
    records = []
    for digest in sorted(known if fields is None else set(fields)):
        if digest not in known:
            raise JournalError(f"The journal {journal.name} knows no field {digest[:12]}; annotate it first.")
        state = replay(action for number, action in journal.rows(digest) if number <= seq)
        figures = [
            FigureRecord.model_validate({name: getattr(figure, name) for name in FigureRecord.model_fields})
            for figure in state.figures
        ]
        row = known[digest]
        records.append(
            FieldRecord(
                digest=digest,
                name=str(row["name"]),
                path=str(row["path"]),
                mpp=None if pd.isna(row["mpp"]) else float(row["mpp"]),
                shape=(int(row["height_px"]), int(row["width_px"])),
                complete=state.complete,
                case=state.marks.case,
                role=roles.get(digest, "train"),
                reviewed=tuple(areas.get(digest, ())),
                figures=tuple(figures),
            )
        )
    return Snapshot(seq=seq, fields=tuple(records))
