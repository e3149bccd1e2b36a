"""What became of each slide: counts, density, hotspot, or why there is no result."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from ..files import write_whole
from ..measures.grade import mitotic_density
from ..measures.hotspot import HPF_10_MM2, Hotspot, Outline, centres_in_tissue, find_hotspot
from ..tables import table_text
from .slides_area import ScanArea
from .slides_candidates import SlideCandidates
from .slides_scan import ScanPlan

_TISSUE_SHARE = 0.5
"""Of a hotspot that must be tissue, so that a slide of small pieces has one."""


@dataclass(frozen=True)
class SlideReport:
    """What became of one slide. Where `error` says something, the figures are None.

    Attributes
    ----------
    slide : str
        Label of its file.
    count : int or None
        Detections.
    area_mm2, density_per_mm2, density_low, density_high : float or None
        Area that was looked at, detections per mm2 and its 95 % Poisson interval.
    hotspot_count : int or None
        Detections in the hotspot of 2.37 mm2 (ten fields); None where none fits into the tissue.
    hotspot_y_px, hotspot_x_px : float or None
        Its centre.
    regions, skipped : int or None
        Parts that were looked at, and those without tissue.
    error : str or None
        Why there is no result.
    """

    slide: str
    count: int | None = None
    area_mm2: float | None = None
    density_per_mm2: float | None = None
    density_low: float | None = None
    density_high: float | None = None
    hotspot_count: int | None = None
    hotspot_y_px: float | None = None
    hotspot_x_px: float | None = None
    regions: int | None = None
    skipped: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class SlidesReport:
    """What became of all slides, by which model."""

    model: str
    slides: tuple[SlideReport, ...]

    @property
    def failed(self) -> tuple[SlideReport, ...]:
        """The slides without a result."""
        return tuple(slide for slide in self.slides if slide.error is not None)


def slide_hotspot(detections: pd.DataFrame, area: ScanArea, mpp: float, area_mm2: float = HPF_10_MM2) -> Hotspot | None:
    """The circle of an area, half of it tissue or more, that holds the most detections; None where none fits.

    Parameters
    ----------
    detections : DataFrame
    area : ScanArea
        What was looked at.
    mpp : float
    area_mm2 : float
    """
    outline = Outline.of_area(area_mm2, "circle")
    region = centres_in_tissue(area.cells, area.side_px * mpp, outline, share=_TISSUE_SHARE)
    # A cell begins half a pixel before the centre of its first pixel.
    return find_hotspot(detections[["y_um", "x_um"]].to_numpy() + mpp / 2, outline, region)


def report_of(label: str, candidates: SlideCandidates, plan: ScanPlan, detections: pd.DataFrame) -> SlideReport:
    """The figures of a slide that was scanned."""
    density = mitotic_density(len(detections), plan.area.mm2(candidates.mpp))
    hotspot = slide_hotspot(detections, plan.area, candidates.mpp)
    place: tuple[int | None, float | None, float | None] = (None, None, None)
    if hotspot is not None:
        place = (hotspot.count, hotspot.y_um / candidates.mpp - 0.5, hotspot.x_um / candidates.mpp - 0.5)
    return SlideReport(
        label, len(detections), density.area_mm2, density.per_mm2, density.low, density.high, *place,
        regions=len(plan.regions), skipped=plan.skipped,
    )  # fmt: skip


def write_summary(out: Path, report: SlidesReport) -> None:
    """Write ``summary.json`` and ``summary.csv``, each whole or not at all."""
    rows = [asdict(slide) for slide in report.slides]
    texts = {
        "summary.json": json.dumps({"model": report.model, "slides": rows}, indent=1) + "\n",
        "summary.csv": table_text(pd.DataFrame(rows)),
    }
    for name, text in texts.items():
        write_whole(out / name, text)
