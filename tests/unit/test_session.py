"""The session: results belong to their field, the newest wins, and the network looks only when asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from napari_mitosis.decision.decide import Rule
from napari_mitosis.decision.evidence import Evidence
from napari_mitosis.errors import UnknownResolution
from napari_mitosis.fields.field import Field
from napari_mitosis.inference.pipeline import Pipeline, verified_pipeline
from napari_mitosis.jobs import Job, Progress, run
from napari_mitosis.models.card import ModelCard
from napari_mitosis.models.seen import seen_from
from napari_mitosis.session import Session
from napari_mitosis.tables import annotations_frame

STRIDE = 4


def card(version: str) -> ModelCard:
    return ModelCard(
        detector="dark", config="compact", version=version, title="Dark", mpp=0.25, tile_px=64, halo_px=0, parameters=0,
        rule={"smoothing_um": 0.0, "threshold": 0.3, "min_area_um2": 3.0, "min_score": 0.4},
        rule_chosen_on="drawn", trained_on="nothing", terms="free",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class DarkPipeline(Pipeline):
    """Looks by what `Dark` says."""

    dark: Dark
    name = property(lambda self: self.card.name)
    cards = property(lambda self: (self.card,))
    fingerprint = property(lambda self: self.card.name)
    extra_columns = ()

    def _look(self, field: Field, device: str, cache: Any, tile_px: int | None, poses: int | None) -> Job[Evidence]:
        return self.dark.look(field, self.card.name)


class Dark:
    """A dense detector: the mean darkness of each cell. Counts how often it is loaded and looks."""

    def __init__(self) -> None:
        self.loads = self.looks = 0

    def load(self, name: str) -> DarkPipeline:
        self.loads += 1
        mine = card(name.partition("@")[2])
        return DarkPipeline(mine, mine.decision_rule(), self)

    def look(self, field: Field, model: str) -> Job[Evidence]:
        self.looks += 1
        yield Progress(0, 2)
        pixels = field.numpy().mean(axis=2)
        h, w = pixels.shape[0] // STRIDE, pixels.shape[1] // STRIDE
        dark = (1 - pixels.reshape(h, STRIDE, w, STRIDE).mean(axis=(1, 3)) / 255).astype(np.float16)
        yield Progress(2, 2)
        mpp = field.require_mpp("Detection")
        return Evidence({"dark": dark}, float(STRIDE), field.shape, mpp, model, field.digest)


def field(*blocks: tuple[int, int, int], mpp: float | None = 0.25, name: str = "f") -> Field:
    """A white field with black 16 px squares: (y, x, grey) of the upper left corner."""
    image = np.full((128, 160, 3), 255, dtype=np.uint8)
    for y, x, grey in blocks:
        image[y : y + 16, x : x + 16] = grey
    return Field.from_array(image, mpp=mpp, name=name)


@pytest.fixture
def dark() -> Dark:
    return Dark()


@pytest.fixture
def session(dark: Dark) -> Session:
    made = Session(dark.load)
    made.open("a", field((16, 32, 0), (64, 96, 100), name="a"))
    return made


def detect(session: Session, key: str, model: str = "dark@1") -> Any:
    result = run(session.detection(key, model))
    return session.accept(result), result


def test_a_detection_lands_in_its_field(session: Session) -> None:
    changed: list[Any] = []
    session.result_changed.connect(changed.append)
    session.open("b", field((16, 32, 0), name="b"))
    accepted, result = detect(session, "a")
    assert accepted
    assert changed == ["a"]
    assert session["a"].result is result
    assert session["b"].result is None
    # A 16 px square at y 16..31, x 32..47 has its centre at (23.5, 39.5) px.
    assert result.detections[["y_px", "x_px"]].to_numpy() == pytest.approx(np.array([[23.5, 39.5], [71.5, 103.5]]))
    assert session["a"].rule == card("1").decision_rule()


def test_a_stain_that_the_model_never_saw_is_told_with_the_result(dark: Dark) -> None:
    looks = np.full((4, 7), 3.0) + np.arange(4)[:, None] / 10
    seen = seen_from(looks, ["a", "b", "c", "d"])
    session = Session(lambda name: replace(dark.load(name), card=card("1").model_copy(update={"seen": seen})))
    session.open("a", field((16, 32, 0), name="a"))
    assert "Unusual stain" in run(session.detection("a", "dark@1")).note
    session = Session(dark.load)
    session.open("a", field((16, 32, 0), name="a"))
    assert run(session.detection("a", "dark@1")).note == ""


def test_rules_never_run_the_network(session: Session, dark: Dark) -> None:
    detect(session, "a")
    counts = []
    for score in (0.1, 0.5, 0.7, 0.99):
        session.set_rule("a", min_score=score)
        assert session["a"].result is not None
        counts.append(len(session["a"].result.detections))
    session.set_rule("a", threshold="otsu", smoothing_um=1.0, min_score=0.1)
    assert counts == [2, 2, 1, 1]
    assert (dark.looks, dark.loads) == (1, 1)


def test_a_model_is_loaded_once(session: Session, dark: Dark) -> None:
    session.open("b", field(name="b"))
    detect(session, "a")
    detect(session, "b")
    assert (dark.looks, dark.loads) == (2, 1)


def test_an_older_decision_is_dropped(session: Session) -> None:
    detect(session, "a")
    older = session.request("a", Rule(smoothing_um=0.0, threshold=0.3, min_score=0.1))
    newer = session.request("a", Rule(smoothing_um=0.0, threshold=0.3, min_score=0.9))
    assert older is not None
    assert newer is not None
    late = older.run()
    assert session.accept(newer.run())
    assert not session.accept(late)
    assert session["a"].result is not None
    assert len(session["a"].result.detections) == 1


def test_results_of_a_closed_field_are_dropped(session: Session) -> None:
    result = run(session.detection("a", "dark@1"))
    session.close("a")
    assert not session.accept(result)
    assert session.active is None
    # A field that takes the same key later is another one.
    session.open("a", field(name="a"))
    assert not session.accept(result)


def test_a_later_detection_outdates_an_earlier_one(session: Session) -> None:
    first, second = session.detection("a", "dark@1"), session.detection("a", "dark@2")
    late = run(first)
    assert session.accept(run(second))
    assert not session.accept(late)
    assert session["a"].model == "dark@2"


def test_another_pixel_size_outdates_everything(session: Session) -> None:
    running = session.detection("a", "dark@1")
    session.set_mpp("a", 0.5)
    assert not session.accept(run(running))
    detect(session, "a")
    session.set_mpp("a", 0.25)
    assert session["a"].result is None
    changed: list[Any] = []
    session.field_changed.connect(changed.append)
    session.set_mpp("a", 0.25)
    assert changed == []


def test_sliders_move_while_the_network_looks(session: Session) -> None:
    detect(session, "a")
    running = session.detection("a", "dark@1")
    session.set_rule("a", min_score=0.9)
    assert session["a"].result is not None
    assert len(session["a"].result.detections) == 1
    assert session.accept(run(running))
    assert session["a"].rule is not None
    assert session["a"].rule.min_score == 0.9, "the tuned rule stays with its model version"
    assert len(session["a"].result.detections) == 1


def test_another_model_brings_its_own_rule(session: Session) -> None:
    detect(session, "a")
    session.set_rule("a", min_score=0.9)
    detect(session, "a", "dark@2")
    assert session["a"].rule == card("2").decision_rule()


def test_unknown_pixel_size_says_so(session: Session, dark: Dark) -> None:
    session.open("b", field(mpp=None, name="b"))
    with pytest.raises(UnknownResolution, match="b"):
        run(session.detection("b", "dark@1"))
    assert dark.looks == 0


def test_no_rule_before_the_first_detection(session: Session) -> None:
    with pytest.raises(ValueError, match="detect"):
        session.set_rule("a", min_score=0.2)
    with pytest.raises(ValueError, match="open under"):
        session.open("a", field())
    with pytest.raises(KeyError):
        session.activate("nowhere")


def test_switching_and_closing_moves_on(session: Session) -> None:
    active: list[Any] = []
    session.active_changed.connect(active.append)
    session.open("b", field(name="b"))
    session.activate("b")
    session.activate("b")
    session.close("b")
    session.close("a")
    session.close("a")
    assert active == ["b", "a", None]
    assert len(session) == 0
    assert session.current is None


def test_labels_prefer_annotations(session: Session) -> None:
    assert session["a"].centroids_yx() is None
    detect(session, "a")
    found = session["a"].centroids_yx()
    assert found is not None
    assert len(found) == 2
    session.open("b", field(), annotations_frame([5.0, 6.0], [7.0, 8.0], ["mitosis", "mimic"]))
    known = session["b"].centroids_yx()
    assert known is not None
    assert known.tolist() == [[5.0, 7.0]]


def test_a_verifier_looks_at_the_candidates_of_any_detector(dark: Dark) -> None:
    """A real, fresh verifier behind the drawn detector: its scores count by the rule, the maps stay."""
    from napari_mitosis.models.registry import Detector, detector_class
    from napari_mitosis.training.systems import system

    draft = system("deepver").card(version="0", seed=0)
    verifier = Detector(draft, detector_class("deepver").build(draft.config).eval())
    made = Session(lambda name: verified_pipeline(dark.load("dark@1"), verifier) if "+" in name else dark.load(name))
    made.open("a", field((16, 32, 0), (64, 96, 100), name="a"))
    plain = detect(made, "a")[1]
    result = run(made.detection("a", "dark@1+deepver@0"))
    assert dark.looks == 1, "what the detector saw is known"
    assert made.accept(result)
    assert made["a"].model == "dark@1+deepver@0"
    assert result.evidence.scores == ("detector", "verifier")
    assert set(result.evidence.maps) == {"dark"}
    assert len(result.candidates) == len(plain.candidates) == 2
    assert result.rule == result.preset != plain.rule
    made.set_rule("a", weights=(("detector", 0.0), ("verifier", 1.0)), min_score=0.0)
    found = made["a"].result.detections
    assert found["score"].to_numpy() == pytest.approx(found["verifier"].to_numpy())
    assert detect(made, "a")[1].rule == plain.rule, "without it, the card's own rule"
