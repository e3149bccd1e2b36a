"""A frozen training set: it holds enough, the same annotations give the same hash, an edited file is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.snapshot import Snapshot, take_snapshot
from napari_mitosis.annotations.store import Journal
from napari_mitosis.errors import JournalError
from napari_mitosis.fields.field import Field


def split(snapshot: Snapshot, digest: str, role: str) -> Snapshot:
    """The same annotations with another role of one field."""
    content = snapshot.model_dump()
    for record in content["fields"]:
        if record["digest"] == digest:
            record["role"] = role
    return Snapshot.model_validate(content)


@pytest.fixture
def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Notebook]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    journal = Journal(tmp_path / "j.sqlite")
    fields = [
        Field.from_array(
            np.full((20, 30 + n, 3), n, np.uint8), mpp, f"Feld {n} ü", tmp_path / f"{n}.png" if n else None
        )
        for n, mpp in enumerate((None, 0.25, 0.5))
    ]
    books = [Notebook(journal, field, "ann") for field in fields]
    books[0].add(1, 2)
    books[1].reject(3, 4, source="segmitos@1.0.0", score=1 / 3)
    books[1].set_complete(True)
    gone = books[2].add(5, 6)
    books[2].delete(gone)
    return books


def test_it_holds_what_training_needs(books: list[Notebook], tmp_path: Path) -> None:
    digests = [book.field.digest for book in books]
    areas = {digests[2]: [(0, 0, 10, 20)]}
    snapshot = take_snapshot(books[0].journal, split={digests[1]: "test"}, reviewed=areas)
    assert snapshot.seq == books[0].journal.last() == 5
    first, second, third = (snapshot.field(digest) for digest in digests)
    assert (first.name, first.path, first.mpp, first.shape, first.complete) == ("Feld 0 ü", "", None, (20, 30), False)
    assert (second.path, second.mpp, second.complete) == (str(tmp_path / "1.png"), 0.25, True)
    assert [record.role for record in (first, second, third)] == ["train", "test", "train"]
    assert snapshot.of("test") == (second,)
    assert third.figures == ()
    assert third.reviewed == ((0, 0, 10, 20),)
    (figure,) = second.figures
    assert (figure.y_px, figure.x_px, figure.label, figure.score) == (3.0, 4.0, "mimic", 1 / 3)
    assert (figure.reader, figure.source) == ("ann", "segmitos@1.0.0")
    assert figure.id == books[1].figures["figure"][0]
    for book in books:
        pd.testing.assert_frame_equal(
            snapshot.field(book.field.digest).annotations(), book.annotations(), check_dtype=False
        )


def test_saved_and_loaded_it_is_the_same(books: list[Notebook], tmp_path: Path) -> None:
    path = tmp_path / "ü.json"
    snapshot = take_snapshot(books[0].journal)
    snapshot.save(path)
    assert Snapshot.load(path) == snapshot
    assert Snapshot.load(path).sha256 == snapshot.sha256
    split(snapshot, books[0].field.digest, "test").save(path)
    assert Snapshot.load(path).of("test")[0].digest == books[0].field.digest
    assert [one.name for one in tmp_path.glob("*.partial")] == []


def test_the_hash_follows_the_content_and_nothing_else(books: list[Notebook]) -> None:
    journal, digests = books[0].journal, [book.field.digest for book in books]
    snapshot = take_snapshot(journal, digests)
    assert take_snapshot(journal, digests[::-1]).sha256 == snapshot.sha256
    assert split(snapshot, digests[0], "test").sha256 != snapshot.sha256
    assert split(snapshot, digests[0], "train").sha256 == snapshot.sha256
    books[0].move(books[0].figures["figure"][0], 1, 2.0001)
    assert take_snapshot(journal, digests).sha256 != snapshot.sha256


def test_where_the_files_lie_is_not_in_the_hash(books: list[Notebook], tmp_path: Path) -> None:
    """The same annotations of the same pixels: another machine keeps its images elsewhere."""
    journal = books[0].journal
    before = take_snapshot(journal)
    moved = Field.from_array(books[1].field.read(0, 20, 0, 31), 0.25, books[1].field.name, tmp_path / "away" / "1.png")
    journal.remember(moved)
    after = take_snapshot(journal)
    assert after.field(moved.digest).path != before.field(moved.digest).path
    assert after.sha256 == before.sha256
    after.save(tmp_path / "s.json")
    assert Snapshot.load(tmp_path / "s.json").sha256 == before.sha256


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"y_px": 1.0', '"y_px": 1.5', "changed after it was saved"),
        ('"role": "train"', '"role": "test"', "changed after it was saved"),
        ('"y_px": 1.0', '"y_px": "left"', "y_px"),
        ('"label": "mimic"', '"label": "cell"', "label"),
        ('"sha256"', '"sha"', "no hash"),
        ("{", "", "not JSON"),
    ],
)
def test_an_edited_file_is_refused(books: list[Notebook], tmp_path: Path, old: str, new: str, told: str) -> None:
    path = tmp_path / "s.json"
    take_snapshot(books[0].journal).save(path)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(JournalError, match=told):
        Snapshot.load(path)


def test_laid_out_otherwise_it_is_still_the_same(books: list[Notebook], tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    snapshot = take_snapshot(books[0].journal)
    snapshot.save(path)
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")), sort_keys=True), encoding="utf-8")
    assert Snapshot.load(path) == snapshot


def test_it_is_frozen_and_asks_for_known_fields(books: list[Notebook], tmp_path: Path) -> None:
    snapshot = take_snapshot(books[0].journal, [books[0].field.digest])
    with pytest.raises(ValidationError):
        snapshot.seq = 3  # type: ignore[misc]
    with pytest.raises(KeyError):
        snapshot.field(books[1].field.digest)
    with pytest.raises(JournalError, match="knows no field"):
        take_snapshot(books[0].journal, ["0" * 64])
    with pytest.raises(JournalError, match="cannot be read"):
        Snapshot.load(tmp_path / "absent.json")
