"""What the judgements so far say about the threshold of this slide: which candidates count, and as what. No Qt."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from .queue import Queue

VALUES = {"mitosis": 1.0, "mimic": 0.0}


def judged_scores(queues: Iterable[Queue]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores of all candidates of some fields, and what was said of each.

    Parameters
    ----------
    queues : iterable of Queue
        Of fields that one model has seen.

    Returns
    -------
    scores : ndarray of float64, shape (n,)
        Within [0, 1]; those that the rule leaves out, too.
    mitosis : ndarray of float64, shape (n,)
        1 mitosis, 0 mimic, NaN neither said: the arguments of `recalibrate.recalibrate`.
    """
    scores, labels = [np.empty(0)], [np.empty(0)]
    for queue in queues:
        score = queue.frame["score"].to_numpy(dtype=np.float64)
        scored = ~np.isnan(score)  # a figure marked by hand has none
        states = queue.notes["state"].to_numpy()[scored]
        scores.append(np.clip(score[scored], 0.0, 1.0))
        labels.append(np.array([VALUES.get(str(state), np.nan) for state in states], dtype=np.float64))
    return np.concatenate(scores), np.concatenate(labels)
