"""Does a version that was adopted hold what its gate promised? Judged on what readers annotated since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .gate import FEWEST_FIELDS, FEWEST_MITOSES, Judged, Verdict, judge


@dataclass(frozen=True)
class FollowUp:
    """What fields say that neither version learned from.

    Attributes
    ----------
    version, parent : str
        ``detector@version`` in use, and the one that it came from.
    contradicted : bool
        It is worse than its parent there: going back is worth a thought.
    reason : str
        One or two sentences for the reader.
    verdict : Verdict or None
        Parent and version compared; None where nothing could be compared.
    """

    version: str
    parent: str
    contradicted: bool
    reason: str
    verdict: Verdict | None = None


def follow_up(version: str, parent: str, fields: Sequence[Judged], seed: int = 0) -> FollowUp:
    """Compare an adopted version with its parent on fields that were annotated after it was made.

    Parameters
    ----------
    version, parent : str
    fields : sequence of Judged
        ``child`` holds the detections of the version in use.
    seed : int
        Of the bootstrap.

    Returns
    -------
    FollowUp
        Contradicted where F is lower in at least 80 % of the bootstrap: the gate asks the version to be better,
        this asks it to be worse before it speaks.
    """
    mitoses = sum(len(field.truth_yx) for field in fields)
    seen = f"{len(fields)} field{'s' if len(fields) != 1 else ''} annotated since, with {mitoses} mitoses"
    if len(fields) < FEWEST_FIELDS or mitoses < FEWEST_MITOSES:
        reason = f"Too little evidence on {version}: {seen}; {FEWEST_FIELDS} fields with {FEWEST_MITOSES} are needed."
        return FollowUp(version, parent, False, reason)
    verdict = judge(fields, seed)
    if verdict.worse >= 0.8:
        reason = (
            f"{version} is worse than {parent} on {seen}: F {verdict.difference:+.3f}. It loses {len(verdict.lost)} of "
            f"the mitoses that its parent finds. To go back: napari-mitosis models back {version.partition('@')[0]}"
        )
        return FollowUp(version, parent, True, reason, verdict)
    return FollowUp(version, parent, False, f"{version} holds up on {seen}: F {verdict.difference:+.3f}.", verdict)
