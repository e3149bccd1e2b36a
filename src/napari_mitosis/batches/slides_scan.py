"""A slide is looked at region by region; what is found lies on disk after each, so a scan can stop and go on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..fields.field import Field
from ..jobs import Job, Progress, run
from .slides_area import Region, ScanArea, regions
from .slides_candidates import SlideCandidates, found_in, of_region
from .slides_store import SlideStore

if TYPE_CHECKING:
    from ..inference.pipeline import Pipeline

SIDE_PX = 2048
"""Side of a region. Larger ones are quicker by a few per cent and need far more memory."""

_BLOB_PX = 64
"""Beyond the halo of the network: half of the largest figure that is whole in the window of a region."""


@dataclass(frozen=True, eq=False)
class ScanPlan:
    """Which regions of a slide are looked at, and with how much around them.

    Attributes
    ----------
    regions : list of Region
    total : int
        Regions of the whole grid; those that are not in `regions` hold nothing of the area.
    margin_px : int
    area : ScanArea
    """

    regions: list[Region]
    total: int
    margin_px: int
    area: ScanArea

    @property
    def skipped(self) -> int:
        """Regions without a part of the area."""
        return self.total - len(self.regions)


@dataclass(frozen=True)
class RegionDone(Progress):
    """A region has been looked at.

    Attributes
    ----------
    region : Region or None
    rows : DataFrame or None
        Its candidates, see `slides_candidates.of_region`.
    """

    region: Region | None = None
    rows: pd.DataFrame | None = None


def plan_scan(
    field: Field,
    pipeline: Pipeline,
    area: ScanArea,
    *,
    side_px: int = SIDE_PX,
    origin_yx: tuple[int, int] = (0, 0),
) -> ScanPlan:
    """Cut the area of a slide into regions.

    Parameters
    ----------
    field : Field
        The slide.
    pipeline : Pipeline
        Its networks say how far around a region they must see.
    area : ScanArea
        See `slides_area.tissue_area` and `slides_area.whole_area`.
    side_px, origin_yx : int, tuple of int
        The grid, see `slides_area.regions`.

    Raises
    ------
    MitosisError
        If the area is empty.
    """
    mpp = field.require_mpp("A scan")
    halo = max(card.halo_px * max(1.0, card.mpp / mpp) for card in pipeline.cards)
    chosen, total = regions(field.shape, area, side_px, origin_yx)
    return ScanPlan(chosen, total, int(np.ceil(halo)) + _BLOB_PX, area)


def look_at_region(
    field: Field, pixels: NDArray[np.uint8], window: Region, region: Region, pipeline: Pipeline, device: str = "auto"
) -> pd.DataFrame:
    """Candidates of one region, in the frame of the slide.

    Parameters
    ----------
    field : Field
        The slide; its pixels are not read.
    pixels : ndarray of uint8, shape (h, w, 3)
        Those of the window.
    window, region : Region
    pipeline : Pipeline
    device : str
    """
    part = Field.from_array(pixels, field.mpp, f"{field.name} {region.name}")
    evidence = run(pipeline.look(part, device=device))
    return of_region(found_in(evidence, pipeline.rule), window, region)


def read_window(field: Field, window: Region) -> NDArray[np.uint8]:
    """Pixels of a window, shape (h, w, 3)."""
    return field.read(window.y0, window.y1, window.x0, window.x1)


def scan_slide(
    field: Field, pipeline: Pipeline, plan: ScanPlan, store: SlideStore, *, device: str = "auto"
) -> Job[SlideCandidates]:
    """Look at the regions of a plan that are not in the store yet, one after the other.

    The next window is decoded while the networks look at this one. Each region is in the store before it is told,
    so whatever stops the scan, at most the region in work is lost.

    Parameters
    ----------
    field : Field
        The slide.
    pipeline : Pipeline
    plan : ScanPlan
        See `plan_scan`.
    store : SlideStore
        See `slides_store.open_store`.
    device : str

    Yields
    ------
    RegionDone
        With the candidates of each region; those of earlier scans come first, and at once.

    Returns
    -------
    SlideCandidates

    Raises
    ------
    FieldError
        When the slide is damaged.
    OSError
        When the results cannot be written.
    """
    total = len(plan.regions)
    known = [region for region in plan.regions if store.has(region)]
    for number, region in enumerate(known, start=1):
        yield RegionDone(number, total, "known from before", region=region, rows=store.read(region))
    missing = [region for region in plan.regions if not store.has(region)]
    yield Progress(len(known), total, f"{pipeline.name}: {field.name}")
    for number, (region, window, pixels) in enumerate(_ahead(field, plan, missing), start=len(known) + 1):
        rows = look_at_region(field, pixels, window, region, pipeline, device)
        store.write(region, rows)
        yield RegionDone(number, total, f"{pipeline.name}: {field.name}", region=region, rows=rows)
    return store.finish(plan.regions, plan.area)


def _ahead(field: Field, plan: ScanPlan, missing: list[Region]) -> Iterator[tuple[Region, Region, NDArray[np.uint8]]]:
    """Each region with its window and its pixels, which are read one window ahead."""
    windows = [region.window(plan.margin_px, field.shape) for region in missing]
    with ThreadPoolExecutor(1, thread_name_prefix="slide") as reader:
        waiting: Future[NDArray[np.uint8]] | None = reader.submit(read_window, field, windows[0]) if windows else None
        for number, (region, window) in enumerate(zip(missing, windows, strict=True)):
            assert waiting is not None
            pixels = waiting.result()
            if number + 1 < len(windows):
                waiting = reader.submit(read_window, field, windows[number + 1])
            yield region, window, pixels
