"""What is to be expected of a result, in words: from what its model was measured at, on fields it never saw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...session import Result


def expectation(result: Result) -> str:
    """Precision and recall where they were measured; elsewhere the share of true mitoses that the scores promise.

    The promise comes from the card's calibration: how often detections of such a score were mitoses on held-out
    fields. It says nothing of what was missed, so no recall is told where none was measured.
    """
    card, rule = result.card, result.rule
    if not card.measures:
        return "Not measured yet: nothing is known of its precision and recall."
    measure = card.measures[0]
    known = f"precision {measure.precision:.2f}, recall {measure.recall:.2f}"
    where = f"on {measure.fields} held-out fields"
    if rule == result.preset:
        return f"As measured {where}: {known}."
    moved = rule == replace(result.preset, sensitivity=rule.sensitivity)
    if not moved:
        return f"The rule was changed; with its own it had {known} {where}."
    side = "Stricter" if rule.sensitivity < 0.5 else "More sensitive"
    return f"{side} than measured ({known}).{_promise(result)}"


def _promise(result: Result) -> str:
    """How many of the detections are mitoses if they are like those that the scores were calibrated on."""
    knots, count = result.card.calibration, len(result.detections)
    if not knots or not count or result.evidence.model != result.card.name:
        return ""
    scores, chances = np.asarray(knots, dtype=np.float64).T
    expected = float(np.interp(result.detections["score"].to_numpy(), scores, chances).sum())
    return f" By their scores about {expected:.0f} of these {count} are mitoses."
