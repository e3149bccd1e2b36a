"""Many fields with one pipeline: a table, a summary, and a picture of each. One bad file does not stop the rest."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..decision.decide import Rule
from ..errors import FieldError, MitosisError
from ..fields.field import open_field
from ..fields.npe2_reader import SUFFIXES
from ..fields.slides import one_of_each_series
from ..files import write_whole
from ..jobs import Job, Progress, T, retold
from ..measures.grade import mitotic_density
from ..names import printable, safe_name
from ..tables import DETECTION_COLUMNS, load_table, write_table
from .overlay import draw_overlay, draw_score_map, save_png

if TYPE_CHECKING:
    from ..inference.pipeline import Pipeline

logger = logging.getLogger(__name__)

CSV_COLUMNS: tuple[str, ...] = ("file", *DETECTION_COLUMNS, "model")
PICTURES = (".overlay.png", ".score_map.png")
"""How the names of the pictures of a result end."""

STEPS_PER_FIELD = 100
"""Progress counts a hundredth of a field as one step: tiles differ in number from field to field."""


@dataclass(frozen=True)
class FieldFile:
    """A file to look at, and the name that the results give it."""

    path: Path
    label: str

    @property
    def stem(self) -> str:
        """The label as the start of a file name, folders as two underscores; different labels give different ones."""
        plain = self.label.replace("/", "__")
        stem = safe_name(plain)
        if stem == plain and "__" not in self.label:
            return stem
        mark = hashlib.sha256(self.label.encode()).hexdigest()[:8]
        return f"{stem}-{mark}"


@dataclass(frozen=True)
class FieldReport:
    """What became of one file. Where `error` says something, the figures are None.

    Attributes
    ----------
    file : str
        Label of the file.
    count : int or None
        Detections.
    area_mm2, density_per_mm2, density_low, density_high : float or None
        Area of the field, detections per mm2 and its 95 % Poisson interval.
    seconds : float
        From opening the file to its detections; drawing is not counted.
    error : str or None
        Why there is no result.
    """

    file: str
    count: int | None = None
    area_mm2: float | None = None
    density_per_mm2: float | None = None
    density_low: float | None = None
    density_high: float | None = None
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True)
class BatchReport:
    """What became of all files, by which model and rule."""

    model: str
    rule: Rule
    fields: tuple[FieldReport, ...]

    @property
    def failed(self) -> tuple[FieldReport, ...]:
        """The fields without a result."""
        return tuple(report for report in self.fields if report.error is not None)

    def as_dict(self) -> dict[str, Any]:
        """The content of ``summary.json``."""
        rule = asdict(self.rule)
        rule["max_area_um2"] = None if rule["max_area_um2"] == float("inf") else rule["max_area_um2"]
        done = [report for report in self.fields if report.error is None]
        total = {
            "fields": len(self.fields),
            "failed": len(self.failed),
            "count": sum(report.count or 0 for report in done),
            "area_mm2": sum(report.area_mm2 or 0.0 for report in done),
            "seconds": sum(report.seconds for report in self.fields),
        }
        return {"model": self.model, "rule": rule, "total": total, "fields": [asdict(field) for field in self.fields]}


def find_fields(inputs: Iterable[Path], recursive: bool = False, skip: Path | None = None) -> list[FieldFile]:
    """List the images that files and folders stand for, in the order given; a folder's by name.

    Parameters
    ----------
    inputs : iterable of Path
        A file is taken as it is, whatever its name or state: opening it will tell. Of a folder, the images; of the
        DICOM files of one slide, one.
    recursive : bool
        Take the images of its subfolders, too.
    skip : Path, optional
        The folder of the results. Where it lies inside of a folder, nothing in it is taken; where it is that folder or
        lies above it, only the pictures of earlier runs are left out, by their names.

    Raises
    ------
    FieldError
        When a folder holds no image.
    """
    labels: dict[Path, str] = {}
    for given in inputs:
        if not given.is_dir():
            labels.setdefault(_real(given), printable(given.name))
            continue
        paths = sorted(given.rglob("*") if recursive else given.iterdir())
        images = [path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file()]
        images = [path for path in images if not path.name.lower().endswith(PICTURES)]
        if skip is not None and _real(given) in _real(skip).parents:
            images = [path for path in images if _real(skip) not in _real(path).parents]
        if not images:
            raise FieldError(given, f"the folder holds no image ({', '.join(sorted(SUFFIXES))})")
        for path in one_of_each_series(images):
            labels.setdefault(_real(path), printable(path.relative_to(given).as_posix()))
    return [FieldFile(path, label) for path, label in zip(labels, _distinct(labels), strict=True)]


def _real(path: Path) -> Path:
    """Where a path leads in the end; one that leads in a circle stays as it is, and opening it will tell."""
    return Path(os.path.realpath(path))


def _distinct(names: Mapping[Path, str]) -> list[str]:
    """Labels of which no two are alike: where files of two folders share a name, the folder's name comes first."""
    given = Counter(names.values())
    labels = [label if given[label] == 1 else f"{printable(path.parent.name)}/{label}" for path, label in names.items()]
    again = Counter(labels)
    return [label if again[label] == 1 else f"{number}/{label}" for number, label in enumerate(labels, start=1)]


def detect_fields(
    files: Sequence[FieldFile],
    pipeline: Pipeline,
    out: Path,
    *,
    mpp: float | None = None,
    device: str = "auto",
    pictures: bool = True,
) -> Job[BatchReport]:
    """Detect mitoses in many files.

    Writes ``detections.csv`` (`csv_columns`, a row for each detection), ``summary.json`` and, for each field,
    ``NAME.overlay.png`` and, of a detector with score maps, ``NAME.score_map.png``. Both tables are complete
    after each field, so a run that is stopped leaves what it has done.

    Parameters
    ----------
    files : sequence of FieldFile
        What `find_fields` gave.
    pipeline : Pipeline
        What `inference.pipeline.load_pipeline` gave.
    out : Path
        Folder; it is made, and what lies in it under the same names is replaced.
    mpp : float, optional
        um/px of all files, whatever they say themselves.
    device : str
        As for `Pipeline.look`.
    pictures : bool
        Write the PNGs.

    Yields
    ------
    Progress
        In steps of a hundredth of a field.

    Raises
    ------
    OSError
        When the results cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    table, columns = out / "detections.csv", csv_columns(pipeline)
    write_table(table, pd.DataFrame(columns=columns))
    report = BatchReport(pipeline.name, pipeline.rule, ())
    for number, file in enumerate(files):
        job = _detect_one(file, pipeline, mpp, device, out if pictures else None)
        try:
            outcome, detections = yield from scaled(job, number, len(files), file.label)
            rows = detections.assign(file=file.label, model=pipeline.name)[columns]
            write_table(table, rows, append=True)
        except Exception as error:  # whatever is wrong with one file, the others are still to be looked at
            if not isinstance(error, MitosisError):
                logger.exception("%s failed", file.path)
            text = str(error) if isinstance(error, MitosisError) else f"{type(error).__name__}: {error}"
            outcome = FieldReport(file.label, error=text)
            for picture in _pictures(out, file):  # of an earlier run
                picture.unlink(missing_ok=True)
        report = replace(report, fields=(*report.fields, outcome))
        _write_summary(out, report)
        done = (number + 1) * STEPS_PER_FIELD
        yield Progress(done, len(files) * STEPS_PER_FIELD, f"{file.label} done")
    _write_summary(out, report)
    return report


def csv_columns(pipeline: Pipeline) -> list[str]:
    """Columns of ``detections.csv``: `CSV_COLUMNS`, with sizes of boxes and the scores that the pipeline weighs."""
    return [*CSV_COLUMNS[:-1], *pipeline.extra_columns, CSV_COLUMNS[-1]]


def _detect_one(
    file: FieldFile,
    pipeline: Pipeline,
    mpp: float | None,
    device: str,
    out: Path | None,
) -> Job[tuple[FieldReport, pd.DataFrame]]:
    start = time.perf_counter()
    field = open_field(file.path, mpp)
    evidence = yield from pipeline.look(field, device=device)
    decider = pipeline.decider(evidence)
    detections = decider.decide(pipeline.rule)
    density = mitotic_density(len(detections), field.area_mm2())
    seconds = time.perf_counter() - start
    report = FieldReport(
        file.label, len(detections), density.area_mm2, density.per_mm2, density.low, density.high, round(seconds, 3)
    )
    if out is not None:
        overlay, score_map = _pictures(out, file)
        save_png(overlay, draw_overlay(field, detections))
        score_map.unlink(missing_ok=True)  # of an earlier run
        if evidence.maps:
            # Where candidates are decided on, weights are those of their scores, not of the maps.
            shown = pipeline.rule if evidence.candidates is None else replace(pipeline.rule, weights=())
            save_png(score_map, draw_score_map(decider.smoothed(shown), evidence.stride, field.shape))
    return report, detections


def _pictures(out: Path, file: FieldFile) -> tuple[Path, Path]:
    return out / f"{file.stem}{PICTURES[0]}", out / f"{file.stem}{PICTURES[1]}"


def scaled(job: Job[T], number: int, total: int, label: str) -> Job[T]:
    """Run one field's job as part `number` (from 0) of `total` equal parts, each of `STEPS_PER_FIELD` steps."""

    def tell(step: Progress) -> Progress:
        part = STEPS_PER_FIELD * min(1.0, step.done / step.total) if step.total else 0.0
        message = f"{label} ({number + 1} of {total})"
        return Progress(number * STEPS_PER_FIELD + int(part), total * STEPS_PER_FIELD, message, step.metrics)

    return retold(job, tell)


def _write_summary(out: Path, report: BatchReport) -> None:
    write_whole(out / "summary.json", json.dumps(report.as_dict(), indent=2) + "\n")


def read_detections(path: Path) -> dict[str, pd.DataFrame]:
    """Read ``detections.csv`` as one detections frame for each file with any, best score first.

    Raises
    ------
    MitosisError
        Naming the file and what is wrong with it.
    """
    try:
        table = load_table(path, texts=("file",))
        missing = [name for name in ("file", *DETECTION_COLUMNS) if name not in table.columns]
        if missing:
            raise ValueError(f"column '{missing[0]}' is missing")
        table = table.astype(dict.fromkeys(DETECTION_COLUMNS, "float64"))
    except (OSError, ValueError) as error:
        raise MitosisError(f"{path.name} is not a table of detections: {error}") from error
    ordered = table.sort_values("score", ascending=False, kind="stable")
    return {str(name): rows[list(DETECTION_COLUMNS)].reset_index(drop=True) for name, rows in ordered.groupby("file")}
