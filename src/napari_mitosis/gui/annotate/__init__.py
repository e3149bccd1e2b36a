"""Marking figures by hand: click to annotate, the layer of figures, second look, blind first."""

from .annotating import Annotating, annotating_of
from .blind import BlindPanel
from .panel import AnnotatePanel
from .second_look import SecondLookPanel

__all__ = ["AnnotatePanel", "Annotating", "BlindPanel", "SecondLookPanel", "annotating_of"]
