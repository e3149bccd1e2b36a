"""Look at fields and say which of them to annotate next; `propose` decides, this runs the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..decision.decide import decide
from ..errors import DatasetError
from ..fields.field import lazy_field
from ..inference.pipeline import load_pipeline
from ..jobs import Job, Progress
from ..measures.calibrate import Calibration, uncut
from ..models.registry import find_version, load_detector
from .features import candidate_features
from .propose import FieldCandidates, draw_blind, propose


@dataclass(frozen=True)
class Proposals:
    """Fields to annotate.

    Attributes
    ----------
    wanted : tuple of (str, float, int)
        Name, value and number of instructive candidates, see `propose.Proposal`.
    blind : tuple of str
        Names of fields that were drawn at random among the others.
    """

    wanted: tuple[tuple[str, float, int], ...]
    blind: tuple[str, ...]


def proposals(
    files: Sequence[Path],
    model: str,
    count: int,
    *,
    blind: int = 2,
    mpp: float | None = None,
    device: str = "auto",
    seed: int = 0,
    judged: Mapping[str, NDArray[np.float64]] | None = None,
) -> Job[Proposals]:
    """Look at every field once, and choose.

    Fields for the comparison are drawn first, before anything is known of them. Fields that a reader annotated already
    are not proposed again; what is like their figures is worth less.

    Parameters
    ----------
    files : sequence of Path
    model : str
        ``detector`` or ``detector@version``.
    count, blind : int
        Fields to propose, and further fields to draw at random.
    mpp : float, optional
        um/px of images that do not state it.
    judged : mapping of str to ndarray, shape (n, 2), optional
        Digest of each annotated field, and the centres (y, x) of its figures in pixels.

    Raises
    ------
    DatasetError
        If there are no images, or all of them are annotated.
    MitosisError
        If a field cannot be read or its um/px is unknown, or there is no such model.
    """
    if not files:
        raise DatasetError("there are no images to propose from")
    known = judged or {}
    opened = [lazy_field(path) if mpp is None else lazy_field(path, mpp=mpp) for path in files]
    annotated = [field for field in opened if known and field.digest in known]
    new = [field for field in opened if not known or field.digest not in known]
    if not new:
        raise DatasetError("all of these images are annotated already: there is none left to propose")
    names = [field.name for field in new]
    drawn = draw_blind(names, seed, min(blind, len(new) - 1))
    pipeline = load_pipeline(model)
    card = find_version(model)[0]
    detector = None if card.members or card.is_chain else load_detector(card.name)
    fields, learned = [], []
    for field in annotated if detector is not None else ():
        assert detector is not None
        learned.append((yield from candidate_features(field.loaded(), known[field.digest], detector, device=device)))
    rest = [i for i in range(len(new)) if i not in drawn]
    for done, i in enumerate(rest):
        yield Progress(done, len(rest), f"looking at {names[i]}")
        field = new[i].loaded()
        evidence = yield from pipeline.look(field, device=device)
        table = decide(evidence, uncut(pipeline.rule))
        probability = Calibration(card.calibration).apply(table["score"].to_numpy())
        points = table[["y_px", "x_px"]].to_numpy(dtype=np.float64)
        features = np.zeros((len(points), 0))
        if detector is not None:
            features = yield from candidate_features(field, points, detector, device=device)
        fields.append(FieldCandidates(names[i], probability, features if features.shape[1] else None))
    wanted = tuple(
        (names[rest[p.field]], p.value, len(p.candidates)) for p in propose(fields, count, judged=_together(learned))
    )
    return Proposals(wanted, tuple(names[i] for i in drawn))


def _together(features: Sequence[NDArray[np.float64]]) -> NDArray[np.float64] | None:
    """Features of all judged figures; None where there are none, or the network has no trunk to take them from."""
    some = [part for part in features if part.size]
    return np.concatenate(some) if some else None
