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
    by_digest: dict[str, Waiting] = {}
    models: dict[str, str] = {}
    pipelines: dict[str, Pipeline] = {}
    to_look = [
        case_field
        for case_field in fields
        if case_field.digest in opened and case_field.mpp is not None and (model or case_field.model)
    ]
    if not to_look:
        raise MitosisError("No field of the case was annotated with a detector on screen. Name one: --model NAME.")
    for done, case_field in enumerate(to_look):
        name = model or case_field.model
        yield Progress(done, len(to_look), f"{name}: {case_field.name}")
        pipeline = pipelines.setdefault(name, load_pipeline(name, folder)) if name not in pipelines else pipelines[name]
        evidence = yield from pipeline.look(opened[case_field.digest].with_mpp(case_field.mpp), device=device)
        detections = pipeline.decide(evidence, None if model else parse_rule(case_field.rule))
        by_digest[case_field.digest] = waiting(
            detections, Calibration(pipeline.card.calibration), case_field.figures, case_field.mpp
        )
        models[case_field.digest] = pipeline.name
    return by_digest, models
