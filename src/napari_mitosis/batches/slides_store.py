"""What a scan of a slide leaves on disk: a Parquet file for each region, then one for the slide, and its detections.

OUT/NAME/scan.json            what was looked at by what: a rerun goes on only where all of it is the same
OUT/NAME/regions/Y_X.parquet  candidates of a region, complete or absent
OUT/NAME/candidates.parquet   those of the slide, joined over the seams
OUT/NAME/detections.parquet   by the model's rule
OUT/NAME/detections.geojson   the same, for QuPath
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..errors import MitosisError
from ..fields.field import Field
from ..files import replacing, write_whole
from .slides_area import Region, ScanArea
from .slides_candidates import SlideCandidates, SlideDecider, joined

if TYPE_CHECKING:
    from ..inference.pipeline import Pipeline

_HALF = 0.5


@dataclass(frozen=True, eq=False)
class SlideStore:
    """The folder of one slide. Several processes may read it, one writes it.

    Attributes
    ----------
    folder : Path
    facts : SlideCandidates
        What is known of the slide, without rows.
    key : str
        Sha256 of all that candidates depend on.
    """

    folder: Path
    facts: SlideCandidates
    key: str

    def _path(self, region: Region) -> Path:
        return self.folder / "regions" / f"{region.name}.parquet"

    def has(self, region: Region) -> bool:
        """Whether a region was looked at."""
        return self._path(region).is_file()

    def read(self, region: Region) -> pd.DataFrame:
        """Candidates of a region.

        Raises
        ------
        MitosisError
            When its file is damaged.
        """
        return _read(self._path(region))

    def write(self, region: Region, rows: pd.DataFrame) -> None:
        """Keep the candidates of a region, whole or not at all."""
        _write_parquet(self._path(region), rows)

    def finish(self, regions: Sequence[Region], area: ScanArea) -> SlideCandidates:
        """Join the candidates of all regions, decide on them, and write both.

        Raises
        ------
        MitosisError
            When the file of a region is damaged.
        """
        rows = joined([self.read(region) for region in regions], area)
        candidates = SlideCandidates(
            rows, self.facts.shape, self.facts.mpp, self.facts.model, self.facts.digest, self.facts.rule
        )
        detections = SlideDecider(candidates).decide(candidates.rule)
        _write_parquet(self.folder / "candidates.parquet", rows)
        _write_parquet(self.folder / "detections.parquet", detections)
        text = detections_geojson(detections, candidates.model)
        write_whole(self.folder / "detections.geojson", text)
        return candidates

    def detections(self) -> pd.DataFrame:
        """What `finish` decided.

        Raises
        ------
        MitosisError
            When the scan was not finished.
        """
        return _read(self.folder / "detections.parquet")


def open_store(
    folder: Path, field: Field, pipeline: Pipeline, margin_px: int, side_px: int, origin: Any = (0, 0)
) -> SlideStore:
    """Open the folder of a slide; results of another slide, model, rule or grid in it are put away.

    Parameters
    ----------
    folder : Path
        Made where it is absent.
    field : Field
        The slide.
    pipeline : Pipeline
    margin_px, side_px, origin : int, int, tuple of int
        Of the plan.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    mpp = field.require_mpp("A scan")
    stated = {
        "slide": field.digest,
        "model": pipeline.name,
        "weights": pipeline.fingerprint,
        "mpp": mpp,
        "shape": list(field.shape),
        "grid": [side_px, *origin, margin_px],
        "rule": json.loads(json.dumps(asdict(pipeline.rule), default=str).replace("Infinity", "null")),
    }
    key = hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()
    header = folder / "scan.json"
    if _stated_key(header) != key and folder.is_dir():
        for name in ("candidates.parquet", "detections.parquet", "detections.geojson", "scan.json"):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / "regions", ignore_errors=True)
    (folder / "regions").mkdir(parents=True, exist_ok=True)
    if not header.is_file():
        text = json.dumps({"key": key, **stated}, indent=1) + "\n"
        write_whole(header, text)
    nothing = SlideCandidates(pd.DataFrame(), field.shape, mpp, pipeline.name, field.digest, pipeline.rule)
    return SlideStore(folder, nothing, key)


def detections_geojson(detections: pd.DataFrame, model: str) -> str:
    """Detections as points that QuPath opens; it counts from the corner of the first pixel."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [x + _HALF, y + _HALF]},
            "properties": {
                "objectType": "annotation",
                "classification": {"name": "mitosis"},
                "measurements": {"score": score, "area_um2": area},
                "metadata": {"source": model},
            },
        }
        for y, x, score, area in detections[["y_px", "x_px", "score", "area_um2"]].to_numpy().tolist()
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}) + "\n"


def _stated_key(header: Path) -> str | None:
    try:
        return str(json.loads(header.read_text(encoding="utf-8"))["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except Exception as error:  # pyarrow has many of its own
        raise MitosisError(f"{path.name} of the scan cannot be read ({error}): delete it and scan again.") from error


def _write_parquet(path: Path, rows: pd.DataFrame) -> None:
    with replacing(path) as partial:
        rows.to_parquet(partial)
