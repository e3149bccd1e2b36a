"""Marking figures by hand: click to annotate, the layer of figures, blind first."""

from .annotating import Annotating, annotating_of
from .blind import BlindPanel
from .panel import AnnotatePanel

__all__ = ["AnnotatePanel", "Annotating", "BlindPanel", "annotating_of"]
