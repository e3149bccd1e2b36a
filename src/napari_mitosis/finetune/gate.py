"""Whether a child may be offered: parent and child on tissue that the child did not learn from.

A child's rule is chosen on the same scores that it is judged by. Under that rule it looks better than it is. Under
rules that are chosen for each fold without it, on fewer figures than the child's own, it looks worse. The child is
therefore counted both ways, and both count alike.

Readers annotate the fields where the network is most often wrong: false detections are weighed so that these fields
stand for the slide (`held_out.false_weight`). A child that only learnt to say no loses true figures; it is not
offered for that, whatever its precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..measures.evaluate import match
from .child_rule import RADIUS_UM
from .folds import Unit, quarters, whole

WORSE_BY = 0.02
"""A child may lose this much F at the most."""

RISK = 0.2
"""With what probability it may be worse than that, by the bootstrap."""

FEWEST_MITOSES, FEWEST_FIELDS = 8, 2
"""With fewer than these there is too little evidence to offer anything."""

MOST_LOST_RECALL = 0.05
"""A child may lose more recall than this only where F gains more than recall loses."""

FIELDS_AS_UNITS = 6
"""With so many fields the bootstrap draws fields, with fewer it draws quarters of them, which are less independent."""

FEWEST_PATIENTS = 2
"""A child that was not judged on so many patients new to it is offered for the patient that it learned from only."""

_DRAWS = 2000


@dataclass(frozen=True, eq=False)
class Judged:
    """One field as both versions decide on it, the child by networks that never saw it.

    Attributes
    ----------
    field : int
        Number of the field in the plan.
    shape : tuple of int
    mpp : float
    truth_yx : ndarray, shape (n, 2)
        Mitoses.
    parent, child : DataFrame
        Detections.
    crossed : DataFrame, optional
        Detections of the child under a rule that was chosen without this field; None where its own was.
    patient : str
        Its patient, where the networks that judged it learned from no field of the same one; else empty.
    """

    field: int
    shape: tuple[int, int]
    mpp: float
    truth_yx: NDArray[np.float64]
    parent: pd.DataFrame
    child: pd.DataFrame
    crossed: pd.DataFrame | None = None
    patient: str = ""


@dataclass(frozen=True)
class Figures:
    """Precision, recall and F with its 95 % bootstrap interval."""

    precision: float
    recall: float
    f: float
    low: float
    high: float


@dataclass(frozen=True)
class Spot:
    """A figure on which parent and child differ: number of the field, and where in it."""

    field: int
    y_px: float
    x_px: float


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    Attributes
    ----------
    offered : bool
        Whether the child may be adopted.
    reason : str
        One sentence for the reader.
    parent, child : Figures
    difference, low, high : float
        F of the child less that of the parent, with its 95 % bootstrap interval over quarters of fields.
    fields, mitoses : int
        What both were judged on.
    false_weight : float
        What a false detection counted, see `held_out.false_weight`.
    worse : float
        Share of the bootstrap in which the child's F is lower.
    patients : tuple of float
        The difference of F on each patient of whom the child learned nothing and who has a mitosis, the worst first.
    found, lost : tuple of Spot
        Mitoses that only the child, or only the parent, detects; each decides by its own rule.
    new_false, dropped_false : tuple of Spot
        False detections of the child only, and of the parent only.
    """

    offered: bool
    reason: str
    parent: Figures
    child: Figures
    difference: float
    low: float
    high: float
    fields: int
    mitoses: int
    found: tuple[Spot, ...]
    lost: tuple[Spot, ...]
    new_false: tuple[Spot, ...]
    dropped_false: tuple[Spot, ...]
    false_weight: float = 1.0
    worse: float = 0.0
    patients: tuple[float, ...] = ()

    @property
    def for_others(self) -> bool:
        """Whether it says anything about patients of whom the child learned nothing."""
        return len(self.patients) >= FEWEST_PATIENTS


def judge(fields: Sequence[Judged], seed: int = 0, false_weight: float = 1.0) -> Verdict:
    """Compare parent and child on these fields.

    Fields, or quarters of few fields, are drawn with replacement; both versions are counted on the same draws.

    Parameters
    ----------
    false_weight : float
        What a false detection counts, see `held_out.false_weight`.
    """
    split = quarters if len(fields) < FIELDS_AS_UNITS else _whole
    units = [(f, unit) for f in fields for unit in split(f.field, f.shape)]
    table = np.array([_both(f, unit) for f, unit in units], dtype=np.float64).reshape(-1, 6)
    table[:, [1, 4]] *= false_weight
    drawn = np.random.default_rng(seed).integers(0, max(1, len(table)), (_DRAWS, len(table)))
    draws = table[drawn].sum(axis=1)
    parent, child = _figures(table[:, :3], draws[:, :3]), _figures(table[:, 3:], draws[:, 3:])
    differences = _f(draws[:, 3:]) - _f(draws[:, :3])
    low, high = (float(v) for v in np.nanquantile(differences, (0.025, 0.975)))
    mitoses = sum(len(f.truth_yx) for f in fields)
    risk = float(np.mean(differences < -WORSE_BY))
    spots = [_spots(f) for f in fields]
    gained, lost, new_false, dropped = (tuple(spot for field in spots for spot in field[i]) for i in range(4))
    patients = _by_patient(fields, units, table)
    offered, reason = _decide(len(fields), mitoses, parent, child, risk)
    told = _told(len(gained), len(lost), len(new_false), len(dropped), false_weight)
    whom = f" {_for_whom(patients)}" if offered else ""
    return Verdict(
        offered, f"{reason}{whom} {told}", parent, child, child.f - parent.f, low, high, len(fields), mitoses, gained,
        lost, new_false, dropped, false_weight, float(np.mean(differences < 0)), patients,
    )  # fmt: skip


def _by_patient(
    fields: Sequence[Judged], units: Sequence[tuple[Judged, Unit]], table: NDArray[np.float64]
) -> tuple[float, ...]:
    """Child less parent in F on each patient that the child is new to, the worst first."""
    mitotic = {f.patient for f in fields if f.patient and len(f.truth_yx)}
    sums = [table[[field.patient == patient for field, _ in units]].sum(axis=0) for patient in sorted(mitotic)]
    return tuple(sorted(float(_f(counts[3:]) - _f(counts[:3])) for counts in sums))


def _for_whom(patients: Sequence[float]) -> str:
    """For whom a child is offered, and what that rests on."""
    if len(patients) < FEWEST_PATIENTS:
        return (
            f"It is offered for the patient that it learned from only: it was not judged on {FEWEST_PATIENTS} patients "
            "that it did not learn from, and on others it may lose mitoses. Put the fields of each patient into a case "
            "and annotate at least two, or go back before the next patient."
        )
    worse = sum(difference < -WORSE_BY for difference in patients)
    text = (
        f"It was judged on {len(patients)} patients that it did not learn from; by patient F changes by "
        f"{patients[0]:+.3f} to {patients[-1]:+.3f}"
    )
    text += f", and {worse} of them {'is' if worse == 1 else 'are'} worse. " if worse else ". "
    return text + "Other laboratories and scanners may fare worse: check it there before you use it."


def _whole(field: int, shape: tuple[int, int]) -> tuple[Unit, ...]:
    return (whole(field, shape),)


def _told(gained: int, lost: int, new_false: int, dropped: int, false_weight: float) -> str:
    """Both kinds of error, lost mitoses first, and how the fields were weighed."""
    text = (
        f"It loses {lost} of the mitoses that its parent finds and finds {gained} more; it drops {dropped} false "
        f"detections and adds {new_false}."
    )
    if false_weight < 0.995:
        text += (
            f" The fields hold more false detections than others of this scanner: each was counted {false_weight:.2f} "
            "times."
        )
    return text


def _decide(fields: int, mitoses: int, parent: Figures, child: Figures, risk: float) -> tuple[bool, str]:
    difference, lost_recall = child.f - parent.f, parent.recall - child.recall
    seen = f"{fields} field{'s' if fields != 1 else ''} with {mitoses} mitos{'es' if mitoses != 1 else 'is'}"
    if fields < FEWEST_FIELDS or mitoses < FEWEST_MITOSES:
        return False, (
            f"Too little evidence: {seen} that the new version did not learn from; at least {FEWEST_FIELDS} fields "
            f"with {FEWEST_MITOSES} mitoses are needed to tell whether it is better."
        )
    if difference < 0:
        return False, f"The new version is worse: F {difference:+.3f} on {seen} that it did not learn from."
    if lost_recall > max(MOST_LOST_RECALL, difference):
        return False, (
            f"The new version mostly learned to say no: recall {-lost_recall:+.3f} for F {difference:+.3f} on {seen}. "
            "Annotate mitoses that it misses, or fields drawn at random."
        )
    if risk > RISK:
        return False, (
            f"The new version may be worse: F {difference:+.3f} on {seen}, but with a chance of {100 * risk:.0f} % it "
            f"loses more than {WORSE_BY:.2f}."
        )
    if difference == 0:
        return False, f"The new version decides as its parent does on {seen}: nothing is gained."
    return True, f"The new version is better: F {difference:+.3f} on {seen} that it did not learn from."


def _both(field: Judged, unit: Unit) -> list[int]:
    """Counts of the parent, twice, and of the child under both rules."""
    parent, child = _counts(field, field.parent, unit), _counts(field, field.child, unit)
    crossed = child if field.crossed is None else _counts(field, field.crossed, unit)
    return [*(2 * n for n in parent), *(n + m for n, m in zip(child, crossed, strict=True))]


def _counts(field: Judged, detections: pd.DataFrame, unit: Unit) -> tuple[int, int, int]:
    """tp, fp, fn of one quarter: a match belongs to the quarter of its mitosis."""
    matching = match(detections, field.truth_yx, RADIUS_UM, field.mpp)
    points = detections[["y_px", "x_px"]].to_numpy(dtype=np.float64)
    hits = unit.holds(field.truth_yx[matching.pairs[:, 1]])
    false = unit.holds(points[matching.false_positives])
    missed = unit.holds(field.truth_yx[matching.false_negatives])
    return int(hits.sum()), int(false.sum()), int(missed.sum())


def _f(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    tp, fp, fn = (counts[..., i] for i in range(3))
    return np.asarray(2 * tp / np.maximum(2 * tp + fp + fn, 1))


def _figures(table: NDArray[np.float64], draws: NDArray[np.float64]) -> Figures:
    tp, fp, fn = table.sum(axis=0)
    low, high = (float(v) for v in np.quantile(_f(draws), (0.025, 0.975)))
    precision, recall = (float(tp / max(tp + wrong, 1e-9)) for wrong in (fp, fn))
    return Figures(precision, recall, float(2 * tp / max(2 * tp + fp + fn, 1e-9)), low, high)


def _spots(field: Judged) -> tuple[list[Spot], list[Spot], list[Spot], list[Spot]]:
    """Found, lost, new false and dropped false figures of one field."""
    by = {}
    for name, table in (("parent", field.parent), ("child", field.child)):
        matching = match(table, field.truth_yx, RADIUS_UM, field.mpp)
        points = table[["y_px", "x_px"]].to_numpy(dtype=np.float64)
        by[name] = set(matching.pairs[:, 1].tolist()), points[matching.false_positives]
    (parent_hits, parent_false), (child_hits, child_false) = by["parent"], by["child"]

    def spots(points: NDArray[np.float64]) -> list[Spot]:
        return [Spot(field.field, float(y), float(x)) for y, x in points]

    reach = RADIUS_UM / field.mpp
    return (
        spots(field.truth_yx[sorted(child_hits - parent_hits)]),
        spots(field.truth_yx[sorted(parent_hits - child_hits)]),
        spots(_far(child_false, parent_false, reach)),
        spots(_far(parent_false, child_false, reach)),
    )


def _far(points: NDArray[np.float64], others: NDArray[np.float64], reach_px: float) -> NDArray[np.float64]:
    """Those of `points` that have none of `others` near."""
    if not len(points) or not len(others):
        return points
    near = np.linalg.norm(points[:, None] - others[None], axis=2).min(axis=1) < reach_px
    return np.asarray(points[~near])
