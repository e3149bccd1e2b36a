"""What the tables of ablations have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ...jobs import Progress
from ...measures.evaluate import Evaluation

RADIUS_UM = 7.5


def as_row(table: str, variant: str, evaluation: Evaluation) -> dict[str, object]:
    """One line: which table, which variant, precision, recall, F with its 95 % interval, and on how much."""
    counts, (low, high) = evaluation.counts, evaluation.interval["f"]
    return {
        "table": table,
        "variant": variant,
        "precision": round(counts.precision, 3),
        "recall": round(counts.recall, 3),
        "f": round(counts.f, 3),
        "f_low": round(low, 3),
        "f_high": round(high, 3),
        "fields": len(evaluation.per_field),
        "mitoses": counts.tp + counts.fn,
    }


def saying(what: str) -> Callable[[Progress], Progress]:
    """For `jobs.retold`: which variant the progress is about."""
    return lambda p: replace(p, message=f"{what}: {p.message}")
