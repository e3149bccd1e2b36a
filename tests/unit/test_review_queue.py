"""The queue: orders, steps, and a present candidate that stays present."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mitosis.decision.decide import Decider, Rule
from napari_mitosis.decision.evidence import Evidence
from napari_mitosis.review.candidates import (
    REVIEW_COLUMNS,
    disagreement,
    review_frame,
    uncertainty,
    why_no_disagreement,
)
from napari_mitosis.review.orders import ORDERS, reading_order
from napari_mitosis.review.queue import Queue
from napari_mitosis.review.target import CANDIDATES, FIGURE, SECOND

MPP = 0.25
STRIDE = 4


def frame_of(*rows: tuple[float, float, float, bool], uncertainty: float = 0.1) -> pd.DataFrame:
    """Candidates at (y um, x um, score, kept)."""
    table = np.array([row[:3] for row in rows], dtype=np.float64).reshape(-1, 3)
    return pd.DataFrame(
        {
            "y_px": table[:, 0] / MPP,
            "x_px": table[:, 1] / MPP,
            "score": table[:, 2],
            "area_um2": 40.0,
            "kept": [row[3] for row in rows],
            "uncertainty": np.abs(table[:, 2] - 0.5),
            "disagreement": np.nan,
            "change": 0.0,
        }
    )


FIVE = ((0, 0, 0.9, True), (0, 100, 0.8, True), (70, 100, 0.7, True), (70, 0, 0.6, True), (0, 50, 0.3, False))


def figures_at(*rows: tuple[float, float, str]) -> pd.DataFrame:
    """Figures on record at (y um, x um, label)."""
    return pd.DataFrame(
        {
            "figure": [f"f{at}" for at in range(len(rows))],
            "y_px": [row[0] / MPP for row in rows],
            "x_px": [row[1] / MPP for row in rows],
            "label": [row[2] for row in rows],
            "phase": "",
            "reader": "Ada",
        }
    ).astype({"figure": object, "label": object, "y_px": float, "x_px": float})


@pytest.fixture
def queue() -> Queue:
    made = Queue()
    made.set_candidates(frame_of(*FIVE), MPP)
    return made


def test_orders(queue: Queue) -> None:
    assert queue.rows.tolist() == [0, 1, 2, 3]
    queue.set_order("uncertainty")
    assert queue.rows.tolist() == [3, 2, 1, 0]
    queue.set_order("reading")
    assert queue.rows.tolist() == [0, 1, 2, 3]  # there along the first line, back along the second
    queue.set_below(True)
    assert queue.rows.tolist() == [0, 4, 1, 2, 3]
    queue.set_order("score")
    assert queue.rows.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="there is no order 'beauty'"):
        queue.set_order("beauty")


def test_most_disputed_come_first_and_what_nobody_disputes_last(queue: Queue) -> None:
    frame = frame_of(*FIVE[:4]).assign(disagreement=[0.1, np.nan, 0.6, 0.3])
    queue.set_candidates(frame, MPP)
    queue.set_order("disagreement")
    assert queue.rows.tolist() == [2, 3, 0, 1]


def test_reading_goes_line_by_line_and_back() -> None:
    places = np.array([(10, 90), (12, 10), (70, 20), (75, 95), (130, 5)], dtype=float)
    assert reading_order(places, row_um=64).tolist() == [1, 0, 3, 2, 4]


def test_going_through(queue: Queue) -> None:
    assert queue.present is None
    assert queue.position is None
    assert [queue.next_undecided() for _ in range(4)] == [0, 1, 2, 3]
    assert queue.position == 3
    assert queue.go(1) is None
    assert queue.present == 3
    assert [queue.go(-1) for _ in range(4)] == [2, 1, 0, None]
    assert queue.go(1) == 1


def test_back_goes_where_one_was_not_merely_one_up(queue: Queue) -> None:
    queue.look_at(0)
    queue.look_at(3)
    queue.look_at(1)
    assert queue.go(-1) == 3
    assert queue.go(-1) == 0


def test_what_is_judged_is_passed_over_and_counted(queue: Queue) -> None:
    queue.look_at(0)
    queue.set_figures(figures_at((0, 0, "mitosis"), (1, 100, "mimic")))
    assert queue.notes["state"].tolist() == ["mitosis", "mimic", "undecided", "undecided", "undecided"]
    assert queue.decided == 2
    assert queue.count("mimic") == 1
    assert queue.next_undecided() == 2
    assert queue.with_state("undecided").tolist() == [2, 3]
    assert queue.row_of("f1") == 1
    queue.set_figures(figures_at())
    assert queue.decided == 0


def test_skipped_ones_come_after_all_others_and_round_the_end(queue: Queue) -> None:
    queue.next_undecided()
    assert [queue.skip() for _ in range(3)] == [1, 2, 3]
    assert queue.count("skipped") == 3
    assert queue.decided == 0
    queue.set_figures(figures_at((70, 0, "mitosis")))
    assert [queue.next_undecided() for _ in range(3)] == [0, 1, 2]
    # A skipped one that is judged is judged.
    queue.set_figures(figures_at((70, 0, "mitosis"), (0, 0, "unsure")))
    assert queue.notes["state"].tolist()[:4] == ["unsure", "skipped", "skipped", "mitosis"]


def test_nothing_is_left(queue: Queue) -> None:
    queue.look_at(2)
    queue.set_figures(figures_at(*((y, x, "mimic") for y, x, _, _ in FIVE[:4])))
    assert queue.next_undecided() is None
    assert queue.present == 2
    assert queue.decided == len(queue) == 4


@pytest.mark.parametrize("order", ORDERS)
def test_the_present_candidate_stays_whatever_the_rule_drops(order: str) -> None:
    queue = Queue(order)
    queue.set_candidates(frame_of(*FIVE), MPP)
    queue.look_at(3)
    queue.skip()
    queue.look_at(3)
    stricter = frame_of(*((y, x, score, kept and score > 0.75) for y, x, score, kept in FIVE))
    queue.set_candidates(stricter, MPP)
    assert queue.present == 3
    assert sorted(queue.rows.tolist()) == [0, 1, 3]
    assert queue.notes["state"].iloc[3] == "skipped"
    # Once it is left it is gone.
    queue.look_at(0)
    assert sorted(queue.rows.tolist()) == [0, 1]


def test_the_present_candidate_stays_through_another_detection(queue: Queue) -> None:
    queue.look_at(2)
    # Other rows, two micrometres aside.
    queue.set_candidates(frame_of((72, 100, 0.95, True), (0, 1, 0.9, True)), MPP)
    assert queue.present == 0
    assert queue.position == 0
    # And even through one that does not find it.
    queue.set_candidates(frame_of((0, 0, 0.9, True)), MPP)
    assert queue.present == 1
    assert queue.frame["y_px"].iloc[1] == 72 / MPP
    assert queue.rows.tolist() == [1, 0]
    assert len(queue.notes) == 2
    queue.look_at(0)
    queue.set_candidates(frame_of((0, 0, 0.9, True)), MPP)
    assert len(queue.frame) == 1


def test_two_blobs_that_become_one_are_the_one(queue: Queue) -> None:
    queue.set_candidates(frame_of((0, 0, 0.9, True), (0, 3, 0.8, True)), MPP)
    queue.look_at(1)
    queue.set_candidates(frame_of((0, 1, 0.85, True)), MPP)
    assert queue.present == 0
    assert len(queue.frame) == 1


def test_an_empty_queue(queue: Queue) -> None:
    queue.look_at(1)
    queue.clear()
    assert len(queue) == 0
    assert queue.present is None
    assert queue.next_undecided() is queue.go(1) is queue.go(-1) is queue.skip() is None
    with pytest.raises(ValueError, match="no candidate 0"):
        queue.look_at(0)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("go"), st.sampled_from([-1, 1])),
        st.tuples(st.just("skip"), st.none()),
        st.tuples(st.just("next"), st.none()),
        st.tuples(st.just("order"), st.sampled_from(list(ORDERS))),
        st.tuples(st.just("below"), st.booleans()),
        st.tuples(st.just("rule"), st.floats(0, 1)),
        st.tuples(st.just("judge"), st.sampled_from(["mitosis", "mimic", "unsure"])),
    ),
    max_size=25,
)


@given(steps)
@settings(max_examples=120, deadline=None)
def test_whatever_is_done_the_queue_holds_together(todo: list) -> None:
    rng = np.random.default_rng(3)
    rows = [(float(y), float(x), round(float(s), 3), True) for y, x, s in rng.uniform(0, 1, (12, 3)) * (200, 200, 1)]
    queue, said = Queue(), []
    queue.set_candidates(frame_of(*rows), MPP)
    queue.next_undecided()
    for what, value in todo:
        present = queue.present
        place = None if present is None else tuple(queue.frame[["y_px", "x_px"]].iloc[present])
        if what == "go":
            queue.go(value)
        elif what == "skip":
            queue.skip()
        elif what == "next":
            queue.next_undecided()
        elif what == "judge" and present is not None:
            y, x = queue.frame[["y_px", "x_px"]].iloc[present]
            said.append((y * MPP, x * MPP, value))
            queue.set_figures(figures_at(*said))
        elif what in ("order", "below", "rule"):
            if what == "order":
                queue.set_order(value)
            elif what == "below":
                queue.set_below(value)
            else:
                queue.set_candidates(frame_of(*((y, x, s, s > value) for y, x, s, _ in rows)), MPP)
            assert queue.present is not None
            assert tuple(queue.frame[["y_px", "x_px"]].iloc[queue.present]) == place
        assert queue.position is not None
        assert len(set(queue.rows.tolist())) == len(queue.rows)
        inside = queue.frame["kept"].to_numpy() | queue.below
        assert set(np.flatnonzero(inside)) <= set(queue.rows.tolist())
        assert queue.decided + queue.count("undecided") + queue.count("skipped") == len(queue)


# The candidates


def blobs(*discs: tuple[int, int, int, float], names: tuple[str, ...] = ("score",)) -> Evidence:
    """Evidence with discs at (row, column, radius, score) in cells, the same in each map."""
    score = np.zeros((64, 64), dtype=np.float16)
    ys, xs = np.mgrid[:64, :64]
    for y, x, radius, value in discs:
        score[(ys - y) ** 2 + (xs - x) ** 2 <= radius**2] = value
    return Evidence({name: score.copy() for name in names}, STRIDE, (256, 256), MPP, "drawn@1.0.0", "00")


RULE = Rule(smoothing_um=0.0, threshold=0.1, min_area_um2=20.0, min_score=0.5, min_distance_um=0.0)
EVIDENCE = blobs((10, 10, 3, 0.9), (10, 40, 3, 0.55), (40, 10, 3, 0.45), (40, 40, 1, 0.8), (55, 55, 1, 0.3))


class Answer:
    """What `review_frame` asks of a result."""

    def __init__(self, evidence: Evidence, rule: Rule) -> None:
        decider = Decider(evidence)
        self.evidence, self.rule = evidence, rule
        self.candidates, self.detections = decider.candidates(rule), decider.decide(rule)


def test_what_the_rule_keeps_is_marked() -> None:
    answer = Answer(EVIDENCE, RULE)
    frame = review_frame(answer)
    assert tuple(frame.columns) == REVIEW_COLUMNS
    assert len(frame) == 5
    kept = frame[frame["kept"]]
    assert kept[["y_px", "x_px", "score"]].to_numpy().tolist() == (
        answer.detections[["y_px", "x_px", "score"]].to_numpy().tolist()
    )
    assert len(kept) == 2


def test_uncertainty_is_the_distance_from_being_decided_the_other_way() -> None:
    frame = review_frame(Answer(EVIDENCE, RULE)).set_index(["y_px", "x_px"])["uncertainty"]
    by_cell = {(round((y + 0.5) / STRIDE - 0.5), round((x + 0.5) / STRIDE - 0.5)): u for (y, x), u in frame.items()}
    assert by_cell[10, 10] == pytest.approx(0.4, abs=1e-3)
    assert by_cell[10, 40] == pytest.approx(0.05, abs=1e-3)
    assert by_cell[40, 10] == pytest.approx(0.05, abs=1e-3)
    # Five cells of 1 um2: only the area keeps this one out, by three quarters.
    assert by_cell[40, 40] == pytest.approx(0.75)
    # Area and score keep this one out.
    assert by_cell[55, 55] == pytest.approx(np.hypot(0.75, 0.2), abs=1e-3)


def test_what_is_too_large_is_uncertain_by_its_excess() -> None:
    frame = pd.DataFrame({"score": [0.9], "area_um2": [50.0]})
    assert uncertainty(frame, Rule(min_score=0.5, max_area_um2=40.0)).tolist() == pytest.approx([0.2])


def test_one_map_gives_no_disagreement_and_says_so() -> None:
    frame = review_frame(Answer(EVIDENCE, RULE))
    assert frame["disagreement"].isna().all()
    assert "Only one detector" in (why_no_disagreement(frame) or "")


def test_two_maps_disagree_where_they_differ() -> None:
    evidence = blobs((10, 10, 3, 0.9), (40, 40, 3, 0.8), names=("concentric", "strong"))
    evidence.maps["strong"][30:50, 30:50] = 0.0
    frame = review_frame(Answer(evidence, RULE))
    assert frame["disagreement"].tolist() == pytest.approx([0.0, 0.8], abs=1e-3)
    assert why_no_disagreement(frame) is None


def test_columns_of_scores_disagree_and_who_found_nothing_gave_nothing() -> None:
    table = pd.DataFrame(
        {"y_px": [40.0, 90.0], "x_px": [40.0, 90.0], "height_px": 40.0, "width_px": 40.0, "a": [0.9, 0.8]}
    ).assign(b=[0.7, np.nan])
    evidence = Evidence({}, 1.0, (256, 256), MPP, "both@1.0.0", "00", table, ("a", "b"))
    candidates = table[["y_px", "x_px", "a", "b"]]
    assert disagreement(candidates, evidence).tolist() == pytest.approx([0.2, 0.8])
    # Detectors that were compared here come first; what none of them found keeps its own.
    agreement = pd.DataFrame({"y_px": [41.0], "x_px": [41.0], "one": [0.95], "other": [np.nan]})
    assert disagreement(candidates, evidence, agreement).tolist() == pytest.approx([0.95, 0.8])


LOOKS = frame_of((0, 50, 0.3, False), (200, 200, 0.25, False), (240, 200, 0.2, False))


def second_look(queue: Queue) -> None:
    queue.set_left_out(LOOKS[["y_px", "x_px", "score", "area_um2"]])


def places_of(queue: Queue, rows: object) -> list[tuple[float, float]]:
    return [tuple(place) for place in (queue.frame[["y_px", "x_px"]].to_numpy()[rows] * MPP).tolist()]


def test_what_the_rule_leaves_out_is_a_list_of_the_same_frame(queue: Queue) -> None:
    second_look(queue)
    assert queue.second.tolist() == [4, 5, 6], "a candidate that the rule drops is not there twice"
    assert queue.rows.tolist() == [0, 1, 2, 3]
    queue.set_below(True)
    assert queue.rows.tolist() == [0, 1, 2, 3, 4]
    queue.second_count = 1
    assert queue.second.tolist() == [4]


def test_there_is_one_target_whichever_list_is_in_front(queue: Queue) -> None:
    second_look(queue)
    queue.next_undecided()
    queue.next_undecided()
    assert queue.target.origin == CANDIDATES
    assert (queue.target.number, queue.target.of) == (2, 4)
    assert queue.bring(SECOND)
    assert queue.target.origin == SECOND
    assert (queue.target.number, queue.target.of, queue.target.kept) == (1, 3, False)
    assert queue.next_undecided() == 5
    assert queue.target.place == (800, 800)
    # Back: what was looked at there is the target again, and nothing of the other list is.
    assert queue.bring(CANDIDATES)
    assert (queue.present, queue.target.number) == (1, 2)
    assert not queue.bring(CANDIDATES)
    assert queue.bring(SECOND)
    assert queue.present == 5


def test_the_target_of_a_second_look_stays_while_what_is_left_out_is_looked_up_anew(queue: Queue) -> None:
    second_look(queue)
    queue.bring(SECOND)
    queue.look_at(6)
    queue.set_candidates(frame_of(*FIVE), MPP)
    assert queue.target.place == (960, 800)
    assert queue.rows.tolist() == [0, 1, 2, 3], "it is no candidate of the queue for that"
    second_look(queue)
    assert (queue.present, queue.target.origin, queue.target.number) == (6, SECOND, 3)
    # A rule that keeps it makes a candidate of it.
    queue.set_candidates(frame_of(*FIVE, (240, 200, 0.2, True)), MPP)
    assert queue.target.origin == CANDIDATES
    assert queue.target.number == 5


def test_a_figure_of_its_own_is_the_target_for_as_long_as_it_is_looked_at(queue: Queue) -> None:
    by_hand = figures_at((0, 0, "mitosis"), (30, 30, "mimic"))
    queue.look_at(2)
    queue.set_figures(by_hand)
    assert queue.look_at_figure("f1")
    target = queue.target
    assert (target.origin, target.place, target.state, target.figure) == (FIGURE, (120, 120), "mimic", "f1")
    assert (target.number, target.score, target.area_um2) == (0, None, None)
    assert len(queue) == 4, "it is no candidate"
    assert not queue.look_at_figure("f9")
    # It is dragged, and judged anew.
    queue.set_figures(figures_at((0, 0, "mitosis"), (31, 30, "mitosis")))
    assert (queue.target.place, queue.target.state) == ((124, 120), "mitosis")
    # Another figure, then a candidate: nothing is left behind.
    assert queue.look_at_figure("f0")
    assert (queue.present, queue.target.origin, len(queue.frame)) == (0, CANDIDATES, 5)
    assert queue.go(-1) == 2
    # Deleted, it is gone as a target; what was looked at before is the target again.
    queue.set_figures(by_hand)
    queue.look_at_figure("f1")
    queue.set_figures(by_hand.iloc[:1])
    assert (queue.present, queue.target.origin, len(queue.frame), len(queue.notes)) == (2, CANDIDATES, 5, 5)
    # A detection that finds it makes a candidate of it.
    queue.set_figures(by_hand)
    queue.look_at_figure("f1")
    queue.set_candidates(frame_of(*FIVE, (30, 31, 0.9, True)), MPP)
    assert (queue.present, queue.target.origin, queue.target.state) == (5, CANDIDATES, "mimic")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 11), max_size=30), st.integers(0, 3))
def test_whatever_is_done_frame_notes_and_target_belong_together(steps: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    queue = Queue()
    queue.set_candidates(frame_of(*FIVE), MPP)
    figures = figures_at((0, 0, "mitosis"), (30, 30, "mimic"), (200, 200, "unsure"))
    for step in steps:
        some = figures[rng.random(3) < 0.6].reset_index(drop=True)
        kept = [(*row[:3], bool(rng.random() < 0.7)) for row in FIVE]
        (
            partial(queue.set_figures, some),
            lambda: queue.look_at_figure(f"f{rng.integers(3)}"),
            lambda: queue.look_at(int(rng.integers(len(queue.frame)))),
            lambda: queue.bring(CANDIDATES),
            lambda: queue.bring(SECOND),
            lambda: second_look(queue),
            partial(queue.set_candidates, frame_of(*kept), MPP),
            queue.skip,
            queue.next_undecided,
            lambda: queue.go(1),
            lambda: queue.go(-1),
            lambda: queue.set_below(bool(rng.random() < 0.5)),
        )[step]()
        assert len(queue.frame) == len(queue.notes)
        assert set(queue.rows) | set(queue.second) <= set(range(len(queue.frame)))
        target = queue.target
        assert (target is None) == (queue.present is None)
        if target is not None:
            assert target.place == tuple(queue.frame[["y_px", "x_px"]].iloc[queue.present])
            listed = queue.listed(target.origin) if target.origin in (CANDIDATES, SECOND) else []
            assert (queue.present in listed) == (target.number > 0)


def test_what_still_matters_comes_first_and_again_after_each_judgement() -> None:
    queue = Queue("change")
    queue.set_candidates(frame_of(*FIVE), MPP)
    assert list(queue.rows) == [0, 1, 2, 3]  # nothing is known of the score yet: best first
    assert queue.set_change(np.array([0.1, 0.4, 0.0, 0.2]))
    assert list(queue.rows) == [1, 3, 0, 2]
    assert queue.next_undecided() == 1
    queue.set_figures(figures_at((0, 100, "mitosis")))
    queue.set_change(np.array([0.1, 0.0, 0.0, 0.5]))
    assert queue.next_undecided() == 3  # not the one below the present one: the one that matters most now
    assert not queue.set_change(np.array([0.1, 0.0, 0.0, 0.4]))  # the same order
    queue.set_left_out(frame_of((300, 300, 0.2, False)))
    assert list(queue.rows) == [3, 0, 1, 2]
