"""What the slide dock has done in threads: tissue, scan, hotspots."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import platformdirs
from numpy.typing import NDArray

from ...batches.slides_area import ScanArea, tissue_area, whole_area
from ...batches.slides_candidates import SlideDecider
from ...batches.slides_cutout import cutout_name, cutout_region, save_cutout
from ...batches.slides_report import slide_hotspot
from ...batches.slides_scan import SIDE_PX, plan_scan, scan_slide
from ...batches.slides_store import open_store
from ...fields.field import Field, open_field
from ...inference.pipeline import load_pipeline
from ...jobs import Job, Progress
from ...measures.hotspot import HPF_10_MM2, Hotspot
from .overview import thumbnail_of

MANY_HOTSPOTS = 5


@dataclass(frozen=True, eq=False)
class Scanned:
    """A slide that was scanned."""

    decider: SlideDecider
    area: ScanArea


def scans_folder() -> Path:
    """Where scans of the viewer are kept, so that a slide that is opened again is not looked at again."""
    return Path(platformdirs.user_data_dir("napari-mitosis", appauthor=False)) / "slides"


def tissue_job(field: Field) -> Job[ScanArea]:
    """Find the tissue of a slide."""
    yield Progress(0, 0, "Looking for tissue")
    return tissue_area(field)


def scan_job(field: Field, model: str, area: ScanArea | None, folder: Path) -> Job[Scanned]:
    """Scan an area of a slide; all of it where there is no area."""
    yield Progress(0, 0, "Reading the model")
    pipeline = load_pipeline(model)
    area = whole_area(field) if area is None else area
    plan = plan_scan(field, pipeline, area)
    place = folder / f"{field.digest[:20]}-{pipeline.fingerprint[:12]}"
    store = open_store(place, field, pipeline, plan.margin_px, SIDE_PX)
    decider = SlideDecider((yield from scan_slide(field, pipeline, plan, store)))
    decider.prepare()
    return Scanned(decider, area)


def overview_job(field: Field) -> Job[tuple[Field, NDArray[np.uint8]]]:
    """Read the thumbnail of a slide."""
    yield Progress(0, 0, "Reading the overview")
    return field, thumbnail_of(field)


def cutout_job(field: Field, hotspot: Hotspot, folder: Path) -> Job[Field]:
    """Cut a hotspot out of a slide and open it as a field."""
    region = cutout_region(hotspot, field.require_mpp("A hotspot"), field.shape)
    path = folder / "hotspots" / field.digest[:20] / cutout_name(field.name, region)
    return open_field((yield from save_cutout(field, region, path)))


def hotspots_job(detections: pd.DataFrame, area: ScanArea, mpp: float) -> Job[list[Hotspot]]:
    """The best hotspot, then the best of what lies outside those before; those without a detection are left out."""
    rest, hotspots = detections, []
    for number in range(MANY_HOTSPOTS):
        yield Progress(number, MANY_HOTSPOTS, "Searching hotspots")
        best = slide_hotspot(rest, area, mpp, HPF_10_MM2)
        if best is None or best.count == 0:
            break
        hotspots.append(best)
        rest = rest[~best.outline.holds(best.centre_yx_um, rest[["y_um", "x_um"]].to_numpy() + mpp / 2)]
    return hotspots


def density_per_mm2(detections: pd.DataFrame, area: ScanArea, mpp: float, sigma_um: float = 400.0) -> Any:
    """Detections per mm2 about each cell of the area, shape of its cells: a Gaussian mean over the cells looked at."""
    from scipy import ndimage

    counts, cells = np.zeros(area.cells.shape), area.cells.astype(np.float64)
    at = ((detections[["y_px", "x_px"]].to_numpy() + 0.5) // area.side_px).astype(np.intp)
    np.add.at(counts, tuple(np.clip(at, 0, np.array(counts.shape) - 1).T), 1.0)
    sigma = sigma_um / (area.side_px * mpp)
    held = ndimage.gaussian_filter(cells, sigma, mode="constant")
    mean = ndimage.gaussian_filter(counts, sigma, mode="constant") / np.maximum(held, 1e-6)
    return np.where(area.cells, mean / ((area.side_px * mpp) ** 2 / 1e6), 0).astype(np.float32)
