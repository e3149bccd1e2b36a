"""Several detectors on one field: what each finds, and on what they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..decision.evidence import Evidence
from ..errors import WeightsError
from ..fields.field import Field
from ..inference.cache import EvidenceCache
from ..inference.ensemble import with_probability
from ..inference.pipeline import load_pipeline
from ..jobs import Job
from ..measures.agreement import SAME_UM, agree, pairwise_agreement
from ..measures.calibrate import Calibration
from ..models.card import ModelCard
from ..models.registry import list_cards
from ..tables import DETECTION_COLUMNS, write_table
from .batch import scaled
from .overlay import draw_overlay, save_png


@dataclass(frozen=True, eq=False)
class Comparison:
    """What several detectors made of one field.

    Attributes
    ----------
    field : Field
    cards : mapping of str to ModelCard
        By detector, as are the next two.
    evidence : mapping of str to Evidence
    detections : mapping of str to DataFrame
        By the rule of each card; with the column ``probability``, the calibrated score.
    agreement : DataFrame
        One row for each figure that any of them found: see `agreement.agree`.
    pairs : DataFrame
        F of each against each other: see `agreement.pairwise_agreement`.
    """

    field: Field
    cards: Mapping[str, ModelCard]
    evidence: Mapping[str, Evidence]
    detections: Mapping[str, pd.DataFrame]
    agreement: pd.DataFrame
    pairs: pd.DataFrame

    @property
    def labels(self) -> list[str]:
        """For each figure by how many it was found, such as ``4 of 5``."""
        return found_by(self.agreement)


def found_by(agreement: pd.DataFrame) -> list[str]:
    """For each row of `agreement.agree` by how many detectors it was found, such as ``4 of 5``."""
    return [f"{n} of {of}" for n, of in zip(agreement["found_by"], agreement["of"], strict=True)]


def newest_detectors(folder: Path | None = None) -> list[str]:
    """The newest version of every single detector that can be loaded, as ``detector@version``."""
    newest = {card.detector: card.name for card in list_cards(folder) if card.kind == "detector" and not card.members}
    return list(newest.values())


def compare(
    field: Field,
    names: Sequence[str],
    *,
    device: str = "auto",
    cache: EvidenceCache | None = None,
    folder: Path | None = None,
    radius_um: float = SAME_UM,
) -> Job[Comparison]:
    """Run several detectors on a field, each with the rule of its card, and put together what they found.

    Parameters
    ----------
    field : Field
    names : sequence of str
        Two or more different models: see `inference.pipeline.load_pipeline`.
    device, cache : see `Pipeline.look`
    folder : Path, optional
        Where to look for models, instead of the shipped and the user's.
    radius_um : float
        Detections nearer than this are one figure.

    Yields
    ------
    Progress
        In hundredths of a detector.

    Raises
    ------
    WeightsError
        If there are less than two, a model twice or one that cannot be loaded.
    UnknownResolution, FieldError, MitosisError
        As `Pipeline.look`.
    """
    pipelines = [load_pipeline(name, folder) for name in names]
    versions = [pipeline.name for pipeline in pipelines]
    if len(pipelines) < 2 or len(set(versions)) < len(versions):
        raise WeightsError(f"a comparison needs two or more different models, not {', '.join(versions) or 'none'}")
    field.require_mpp("The comparison")
    field = field.loaded()
    plain = [pipeline.card.detector for pipeline in pipelines]
    titles = [card if plain.count(card) == 1 else looking.name for card, looking in zip(plain, pipelines, strict=True)]
    cards, evidence, detections = {}, {}, {}
    for number, (title, pipeline) in enumerate(zip(titles, pipelines, strict=True)):
        job = pipeline.look(field, device=device, cache=cache)
        evidence[title] = yield from scaled(job, number, len(pipelines), pipeline.name)
        # Calibrated is what a card's own networks say, not a verifier behind them that it does not know.
        knots = pipeline.card.calibration if pipeline.name == pipeline.card.name else ()
        detections[title] = with_probability(pipeline.decide(evidence[title]), Calibration(knots))
        cards[title] = pipeline.card
    pairs = pairwise_agreement(detections, radius_um)
    return Comparison(field, cards, evidence, detections, agree(detections, radius_um), pairs)


def save_comparison(comparison: Comparison, out: Path) -> None:
    """Write ``agreement.csv``, ``detections.csv`` (all detectors), ``pairs.csv`` and ``agreement.png`` into a folder.

    Raises
    ------
    OSError
        When they cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_table(out / "agreement.csv", comparison.agreement)
    write_table(out / "pairs.csv", comparison.pairs, index_label="detector")
    columns = [*DETECTION_COLUMNS, "probability"]
    tables = [table[columns].assign(model=comparison.cards[name].name) for name, table in comparison.detections.items()]
    write_table(out / "detections.csv", pd.concat(tables))
    save_png(out / "agreement.png", draw_overlay(comparison.field, comparison.agreement, labels=comparison.labels))
