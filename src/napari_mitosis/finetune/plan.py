"""What a fine-tuning is asked to do, as a file: the window writes it, the process that trains reads it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from ..datasets.sample import Sample
from ..errors import DatasetError, FieldError, brief
from ..fields.field import lazy_field
from ..files import write_whole
from ..models.card import VERSION
from ..names import text_path
from ..tables import annotations_frame

PLAN_FILE = "plan.json"


class Figure(BaseModel):
    """One annotated figure: centre in pixels of its field, and ``mitosis``, ``mimic`` or ``unsure``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    y_px: FiniteFloat
    x_px: FiniteFloat
    label: Literal["mitosis", "mimic", "unsure"]


class FieldPlan(BaseModel):
    """A field that takes part.

    Attributes
    ----------
    path : str
        Image file.
    mpp : float
        um/px.
    digest : str
        Of the pixels that were annotated; empty = not checked.
    complete : bool
        Every mitosis of the field is annotated: what is not, is background. Otherwise only the figures teach, and
        tissue in which the parent sees nothing at all.
    case : str
        Name of the case, that is of the patient; empty = not known. A network judges a patient fairly only if it
        learned from none of the patient's fields.
    role : {"train", "test"}
        Fields of the role ``test`` are never learnt from; parent and child are compared on them.
    drawn : bool
        Whether the program drew the field at random; a reader chooses fields in which much is wrong, and what is
        measured there says less about the slide.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    name: str
    mpp: FiniteFloat = Field(ge=0.01, le=20)
    digest: str = ""
    complete: bool = False
    case: str = ""
    role: Literal["train", "test"] = "train"
    drawn: bool = False
    figures: tuple[Figure, ...] = ()

    def sample(self) -> Sample:
        """The field with its annotations; pixels are decoded when first read.

        Raises
        ------
        FieldError
            If the file cannot be read, or holds other pixels than those that were annotated.
        """
        field = lazy_field(text_path(self.path), mpp=self.mpp).renamed(self.name)
        if self.digest and field.digest != self.digest:
            raise FieldError(self.path, "its pixels are not those that were annotated")
        return Sample(field, self.annotations())

    def annotations(self) -> pd.DataFrame:
        """With `tables.ANNOTATION_COLUMNS`."""
        return annotations_frame(
            [f.y_px for f in self.figures], [f.x_px for f in self.figures], [f.label for f in self.figures]
        )


class FinetunePlan(BaseModel):
    """A fine-tuning.

    Attributes
    ----------
    parent : str
        ``detector@version`` to start from.
    parent_folder : str
        Folder of its card and weights; empty = the shipped and the user's.
    front : str
        For a verifier: the detector before it; empty = DeepDet.
    version : str
        Of the child.
    fields : tuple of FieldPlan
    tissue : tuple of FieldPlan
        Fields without annotations in which the child shall go on seeing what the parent is sure of.
    minutes : float
        Time budget, measuring of the child included.
    device : str
    threads : int
        Processor threads; 0 = as many as torch takes.
    seed : int
    snapshot : str
        Hash of the journal's snapshot that the figures come from, where there is one.
    steps : int
        Optimiser steps of each training, instead of what the time allows; 0 = by time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    parent: str
    parent_folder: str = ""
    front: str = ""
    version: str = Field(max_length=100, pattern=VERSION)
    fields: tuple[FieldPlan, ...]
    tissue: tuple[FieldPlan, ...] = ()
    minutes: FiniteFloat = Field(default=5.0, gt=0)
    device: str = "auto"
    threads: int = Field(default=0, ge=0, le=1024)
    seed: int = 0
    snapshot: str = ""
    steps: int = Field(default=0, ge=0)

    def with_role(self, role: str) -> tuple[FieldPlan, ...]:
        """Its fields of this role."""
        return tuple(field for field in self.fields if field.role == role)

    @property
    def digest(self) -> str:
        """Sha256 of the plan: a run goes on only under the plan that it was begun with."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write it to ``folder/plan.json``, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / PLAN_FILE, self.model_dump_json(indent=2) + "\n")


def read_plan(folder: Path) -> FinetunePlan:
    """Read what `FinetunePlan.save` wrote.

    Raises
    ------
    DatasetError
        If it is missing or no plan.
    """
    try:
        return FinetunePlan.model_validate_json((folder / PLAN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValidationError, ValueError) as error:
        raise DatasetError(f"{folder.name} holds no readable plan of a fine-tuning: {brief(error)}") from error
