"""How many crops that are centred on a mitosis a model finds: recall on tissue of which there are no fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from ..datasets.crops import Crop
from ..fields.field import Field
from ..jobs import Job, Progress, retold

if TYPE_CHECKING:
    from ..inference.pipeline import Pipeline

RECALL_COLUMNS = ("group", "crops", "found", "recall", "low", "high")


@dataclass(frozen=True)
class Looked:
    """One crop: its group, and whether its central figure was found."""

    group: str
    found: bool


def crop_recall(
    crops: Sequence[Crop],
    pipeline: Pipeline,
    *,
    radius_um: float = 7.5,
    device: str = "auto",
) -> Job[pd.DataFrame]:
    """Detect in every crop and look whether something was found at its centre.

    A crop is a field whose surroundings are its mirror image, so a figure near its border is seen as it would
    never be in tissue; the centre is far from it. Nothing is said of false detections: what else a crop holds is
    not annotated throughout.

    Parameters
    ----------
    crops : sequence of Crop
        Those without a mitosis at the centre are left out.
    pipeline : Pipeline
        With the rule that ships, chosen on other data.

    Yields
    ------
    Progress
        One for each crop.

    Returns
    -------
    DataFrame
        `RECALL_COLUMNS`: one row for each group and one for all, with the 95 % Wilson interval.
    """
    mitotic = [crop for crop in crops if crop.points["label"].iloc[0] == "mitosis"]
    looked = []
    for i, crop in enumerate(mitotic):
        yield Progress(i, len(mitotic), f"{pipeline.name}: {crop.path.name}")
        field = Field.from_array(crop.pixels(), crop.mpp, crop.path.stem)
        tell = partial(_of, i, mitotic)
        evidence = yield from retold(pipeline.look(field, device=device), tell)
        places = pipeline.decide(evidence)[["y_um", "x_um"]].to_numpy()
        centre = crop.points[["y_px", "x_px"]].iloc[0].to_numpy(dtype=np.float64) * crop.mpp
        looked.append(Looked(crop.group, bool((np.linalg.norm(places - centre, axis=1) <= radius_um).any())))
    groups = sorted({seen.group for seen in looked})
    rows = [_row(group, [seen for seen in looked if seen.group == group]) for group in groups]
    return pd.DataFrame([*rows, _row("all", looked)], columns=list(RECALL_COLUMNS))


def _of(index: int, crops: Sequence[Crop], progress: Progress) -> Progress:
    return Progress(index, len(crops), progress.message)


def _row(group: str, looked: Sequence[Looked]) -> tuple[object, ...]:
    hits = sum(crop.found for crop in looked)
    if not looked:
        return (group, 0, 0, float("nan"), float("nan"), float("nan"))
    interval = binomtest(hits, len(looked)).proportion_ci(method="wilson")
    return (group, len(looked), hits, hits / len(looked), float(interval.low), float(interval.high))
