"""A threshold for a slide from judged candidates: which way it moves, what is promised of it, when nothing is said."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from napari_mitosis.measures.recalibrate import FEWEST_JUDGED, recalibrate


def slide(shift: float, count: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of candidates, and which are mitoses: calibrated, but for a shift in log odds."""
    rng = np.random.default_rng(seed)
    score = rng.beta(0.7, 0.7, count)
    return score, rng.random(count) < expit(1.5 * logit(score.clip(0.01, 0.99)) + shift)


def judged(truth: np.ndarray, rows: np.ndarray) -> np.ndarray:
    labels = np.full(len(truth), np.nan)
    labels[rows] = truth[rows]
    return labels


@pytest.mark.parametrize(("shift", "present"), [(-3.0, 0.3), (3.0, 0.7)])
def test_the_threshold_follows_the_slide_both_ways(shift: float, present: float) -> None:
    score, truth = slide(shift)
    rows = np.random.default_rng(1).permutation(len(score))[:60]
    answer = recalibrate(score, judged(truth, rows), present)
    assert answer.offered
    assert answer.best is not None
    assert answer.present is not None
    assert (answer.best.min_score > present) == (shift < 0)

    def f(threshold: float) -> float:
        kept = score >= threshold
        return float(2 * truth[kept].sum() / (kept.sum() + truth.sum()))

    assert f(answer.best.min_score) > f(present)
    kept = score >= answer.best.min_score
    low, high = answer.best.precision_range
    assert low <= truth[kept].mean() <= high
    low, high = answer.best.recall_range
    assert low <= truth[kept].sum() / truth.sum() <= high


def test_a_threshold_that_fits_stays() -> None:
    score, truth = slide(0.0)
    answer = recalibrate(score, judged(truth, np.arange(80)), 0.45)
    assert not answer.offered
    assert "fits this slide" in answer.reason


def test_too_few_judgements_say_how_many_are_missing() -> None:
    score, truth = slide(-3.0)
    few = recalibrate(score, judged(truth, np.arange(FEWEST_JUDGED - 1)), 0.3)
    assert (few.offered, few.best) == (False, None)
    assert "Judge 1 more candidate:" in few.reason
    mimics = np.flatnonzero(~truth)[: 2 * FEWEST_JUDGED]
    one_kind = recalibrate(score, judged(truth, mimics), 0.3)
    assert not one_kind.offered
    assert "0 mitoses" in one_kind.reason


def test_missed_mitoses_lower_the_recall_that_is_promised() -> None:
    score, truth = slide(-3.0)
    labels = judged(truth, np.arange(60))
    without, with_missed = (recalibrate(score, labels, 0.3, missed=n) for n in (0, 50))
    assert without.present is not None
    assert with_missed.present is not None
    assert with_missed.present.recall < without.present.recall
    assert with_missed.present.precision == without.present.precision


def test_scores_and_judgements_must_belong_together() -> None:
    with pytest.raises(ValueError, match="do not belong together"):
        recalibrate([0.1, 0.2], [1.0], 0.3)
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        recalibrate([1.1], [1.0], 0.3)
