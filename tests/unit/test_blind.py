"""Blind first: who may know what when, and how reader and detector agree."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_mitosis.errors import MitosisError
from napari_mitosis.review.blind import BlindReadings, agreement, cohens_kappa
from napari_mitosis.review.edits import Edits, edits_between

MPP = 0.25


def figures(*rows: tuple[str, float, float, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["figure", "y_px", "x_px", "label"])


def detections(*rows: tuple[float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["y_px", "x_px", "score"])


def test_a_reading_begins_and_ends_once() -> None:
    readings = BlindReadings()
    told: list[object] = []
    readings.changed.connect(told.append)
    assert not readings.blind("field")
    with pytest.raises(MitosisError, match="No blind reading"):
        readings.reveal("field", "t1", figures())
    before = figures(("old", 1, 1, "mitosis"))
    readings.start("field", "Ada", "t0", before)
    assert readings.blind("field")
    assert not readings.blind("other")
    with pytest.raises(MitosisError, match="under way"):
        readings.start("field", "Ada", "t1", before)
    after = figures(("old", 1, 1, "mitosis"), ("new", 2, 2, "mimic"))
    reading = readings.reveal("field", "t2", after)
    assert not readings.blind("field")
    assert (reading.reader, reading.started, reading.revealed) == ("Ada", "t0", "t2")
    assert reading.marked is not None
    assert reading.marked["figure"].tolist() == ["new"]
    readings.start("field", "Ada", "t3", after)
    assert readings.blind("field")
    readings.forget("field")
    readings.forget("field")
    assert "field" not in readings
    assert told == ["field"] * 4


def test_agreement_of_reader_and_detector() -> None:
    marks = figures(
        ("a", 100, 100, "mitosis"), ("b", 300, 300, "mitosis"), ("c", 500, 100, "mitosis"), ("d", 700, 700, "mimic")
    )
    found = detections((104, 100, 0.9), (700, 700, 0.8), (900, 100, 0.7))
    # Below its rule the detector saw something under mark b, and something that nobody calls a mitosis.
    seen = pd.concat([found, detections((302, 300, 0.4), (900, 900, 0.3))], ignore_index=True)
    report = agreement(marks, found, seen, MPP)
    rows = report.places
    assert rows["outcome"].tolist() == ["only detector"] * 2 + ["only reader"] * 2 + ["both", "neither"]
    assert rows["score"].tolist()[:3] == [0.8, 0.7, 0.4]
    assert math.isnan(rows["score"].iloc[3])
    assert rows["figure"].tolist() == ["", "", "b", "c", "a", ""]
    assert rows["distance_um"].iloc[4] == pytest.approx(1.0)
    assert (report.counts.tp, report.counts.fp, report.counts.fn) == (1, 2, 2)
    assert len(report.disagreements) == 4
    # 1 both, 2 only reader, 2 only detector, 1 neither: observed 2/6, by chance 1/2.
    assert report.kappa == pytest.approx((2 / 6 - 0.5) / 0.5)


def test_the_radius_is_seven_and_a_half_um() -> None:
    mark = figures(("a", 100, 100, "mitosis"))
    for away, both in ((30.0, True), (30.1, False)):
        found = detections((100 + away, 100, 0.9))
        assert (agreement(mark, found, found, MPP).counts.tp == 1) == both


def test_kappa_where_it_makes_sense() -> None:
    def outcomes(both: int, reader: int, detector: int, neither: int) -> pd.Series:
        words = ["both"] * both + ["only reader"] * reader + ["only detector"] * detector + ["neither"] * neither
        return pd.Series(words, dtype=object)

    assert cohens_kappa(outcomes(20, 5, 10, 15)) == pytest.approx(0.4)
    assert cohens_kappa(outcomes(5, 0, 0, 5)) == 1
    assert cohens_kappa(outcomes(0, 5, 5, 0)) == pytest.approx(-1)
    for one_says_the_same in (outcomes(3, 2, 0, 0), outcomes(0, 0, 4, 2), outcomes(0, 0, 0, 3), outcomes(0, 0, 0, 0)):
        assert math.isnan(cohens_kappa(one_says_the_same))


def test_nothing_marked_and_nothing_found() -> None:
    report = agreement(figures(), detections(), detections(), MPP)
    assert report.places.empty
    assert math.isnan(report.counts.f)
    assert report.disagreements.empty


def test_every_mark_and_every_detection_is_one_place() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        spots = rng.uniform(0, 400, (12, 2))
        marks = figures(*((str(n), y, x, "mitosis") for n, (y, x) in enumerate(spots)))
        seen = detections(*((y, x, s) for (y, x), s in zip(rng.uniform(0, 400, (25, 2)), rng.random(25), strict=True)))
        seen = seen.sort_values("score", ascending=False, ignore_index=True)
        found = seen[seen["score"] > 0.5].reset_index(drop=True)
        report = agreement(marks, found, seen, MPP)
        outcome = report.places["outcome"]
        assert sorted(report.places["figure"][report.places["figure"] != ""]) == sorted(marks["figure"])
        assert outcome.isin(["both", "only detector"]).sum() == len(found)
        assert report.counts.tp == (outcome == "both").sum()


def test_the_report_is_a_table_of_its_own(tmp_path: Path) -> None:
    mark, found = figures(("a", 100, 100, "mitosis")), detections((100, 104, 0.9), (300, 300, 0.6))
    report = agreement(mark, found, found, MPP)
    report.save(tmp_path / "report.csv", field="A00_01", reader="Ada")
    read = pd.read_csv(tmp_path / "report.csv")
    assert read["outcome"].tolist() == ["only detector", "both"]
    assert read["precision"].tolist() == [0.5, 0.5]
    assert set(read["reader"]) == {"Ada"}
    with pytest.raises(MitosisError, match="cannot be written"):
        report.save(tmp_path / "nowhere" / "report.csv")


BEFORE = pd.DataFrame(
    [("a", 10.0, 10.0, "mitosis", ""), ("b", 20.0, 20.0, "mimic", ""), ("c", 30.0, 30.0, "mitosis", "metaphase")],
    columns=["figure", "y_px", "x_px", "label", "phase"],
)
PLACES = BEFORE[["y_px", "x_px"]].to_numpy()
FEATURES = BEFORE[["figure", "label", "phase"]]


def edits(rows: list[int], places: dict[int, tuple[float, float]] | None = None, **columns: list[str]) -> Edits:
    points = PLACES[rows].copy()
    for at, place in (places or {}).items():
        points[at] = place
    features = FEATURES.iloc[rows].reset_index(drop=True).assign(**columns)
    return edits_between(BEFORE, points, features, (100, 100))


def test_edits_are_told_from_what_is_there() -> None:
    assert not edits([0, 1, 2])
    assert not edits([2, 0, 1]), "another order is no change"
    assert edits([0, 2]).deleted == ("b",)
    assert edits([0, 1, 2], {1: (25.0, 21.0)}).moved == (("b", 25.0, 21.0),)
    pasted = edits([0, 1, 2, 1], {3: (20.0, 20.0)})
    assert pasted == Edits(added=((20.0, 20.0, "mimic", ""),)), "a copy is a new figure"
    relabelled = edits([0, 1, 2], label=["unsure", "mimic", "mitosis"])
    assert relabelled.relabelled == (("a", "unsure", ""),)
    assert edits([0, 1, 2], phase=["prophase", "", ""]).relabelled == (
        ("a", "mitosis", "prophase"),
        ("c", "mitosis", ""),
    )
    assert not edits([0, 1, 2], figure=["c", "a", "b"]), "ids are not for the user to change"
    # Rows shifted by assigning shorter data: napari keeps the first features.
    shifted = edits_between(BEFORE, PLACES[1:], FEATURES.iloc[:2], (100, 100))
    assert shifted == Edits(deleted=("a",))


def test_edits_that_cannot_be() -> None:
    outside = edits([0, 1, 2, 2], {2: (100.0, 10.0), 3: (float("nan"), 5.0)})
    assert not outside
    assert "within their field" in outside.refused
    nonsense = edits([0, 1, 2], label=["late", "mimic", "mitosis"])
    assert not nonsense
    assert "mitosis, mimic, unsure" in nonsense.refused
