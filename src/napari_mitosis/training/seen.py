"""What the material of a training looks like, for the card of what came of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..datasets.crops import TISSUE, Crop
from ..datasets.sample import Sample
from ..fields.appearance import appearance
from ..inference.stain_guard import look_at
from ..jobs import Job, Progress
from ..models.seen import Seen, seen_from

FEWEST_CROPS = 3
"""The stain of a slide of which there are fewer crops is not known."""


def seen_in_training(samples: Sequence[Sample], crops: Sequence[Crop], mpp: float) -> Job[Seen]:
    """The looks of the fields, of the slides of annotated crops, and of each tile of other tissue.

    Parameters
    ----------
    samples : sequence of Sample
    crops : sequence of Crop
    mpp : float
        um/px at which the network sees them.

    Raises
    ------
    ValueError
        If they are of fewer than two slides.
    """
    looks: list[NDArray[np.float64]] = []
    slides: list[str] = []
    for i, sample in enumerate(samples):
        yield Progress(i, len(samples), f"the look of {sample.field.name}")
        looks.append(look_at(sample.field, mpp))
        slides.append(sample.case)
    by_slide: dict[str, list[Crop]] = defaultdict(list)
    for crop in crops:
        slide = crop.case if crop.group != TISSUE else crop.path.stem
        if slide:
            by_slide[f"{crop.path.parent.parent.name} {slide}"].append(crop)
    for i, (slide, members) in enumerate(by_slide.items()):
        yield Progress(i, len(by_slide), f"the look of slide {slide}")
        if len(members) < FEWEST_CROPS and members[0].group != TISSUE:
            continue
        # A crop shows a mitosis and little else: its slide is seen in several of them.
        looks.append(appearance([crop.pixels() for crop in members[:12]]))
        slides.append(slide)
    return seen_from(np.array(looks), slides)
