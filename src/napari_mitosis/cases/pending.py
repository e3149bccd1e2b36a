"""Candidates of a case that nobody judged yet, without a window: its detectors look at its fields again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..annotations.actions import parse_rule
from ..errors import MitosisError
from ..fields.field import Field
from ..inference.pipeline import Pipeline, load_pipeline
from ..jobs import Job, Progress
from ..measures.calibrate import Calibration
from .case import CaseField
from .live import Waiting, waiting


def pending_of_case(
    fields: Sequence[CaseField],
    opened: Mapping[str, Field],
    model: str = "",
    device: str = "auto",
    folder: Path | None = None,
) -> Job[tuple[dict[str, Waiting], dict[str, str]]]:
    """A job that lets detectors look at the fields of a case, and finds what nobody judged.

    Parameters
    ----------
    fields : sequence of CaseField
    opened : mapping of str to Field
        Their pixels by digest; fields that are missing are left out.
    model : str
        A model for all fields, with the rule that it brings along. By default each field is looked at by the version
        under which it was annotated last, by the rule that was set then.
    device : str
        As `Pipeline.look` takes it.
    folder : Path, optional
        Where the models lie.

    Returns
    -------
    waiting : dict of str to Waiting
        By digest.
    models : dict of str to str
        The version that looked, by digest.

    Raises
    ------
    WeightsError
        If there is no such version.
    MitosisError
        If no field names a detector and none is given.
    """
    found: dict[str, Waiting] = {}
    models: dict[str, str] = {}
    pipelines: dict[str, Pipeline] = {}
    to_look = [one for one in fields if one.digest in opened and one.mpp is not None and (model or one.model)]
    if not to_look:
        raise MitosisError("No field of the case was annotated with a detector on screen. Name one: --model NAME.")
    for done, one in enumerate(to_look):
        name = model or one.model
        yield Progress(done, len(to_look), f"{name}: {one.name}")
        pipeline = pipelines.setdefault(name, load_pipeline(name, folder)) if name not in pipelines else pipelines[name]
        evidence = yield from pipeline.look(opened[one.digest].with_mpp(one.mpp), device=device)
        detections = pipeline.decide(evidence, None if model else parse_rule(one.rule))
        found[one.digest] = waiting(detections, Calibration(pipeline.card.calibration), one.figures, one.mpp)
        models[one.digest] = pipeline.name
    return found, models
