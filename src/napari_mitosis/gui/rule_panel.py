"""The sliders of a rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QPushButton, QWidget
from superqt import QLabeledDoubleSlider
from superqt.utils import signals_blocked

from ..decide import Rule
from .histogram import ScoreHistogram

SCORE_STEP, AREA_STEP_UM2 = 0.02, 1.0
NO_RULE = "Detect in this field first: there is nothing to tune yet."


def slider(low: float, high: float, step: float, decimals: int, tip: str) -> QLabeledDoubleSlider:
    """A slider with its value in a box that can be typed in."""
    made: Any = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    made.setRange(low, high)
    made.setSingleStep(step)
    made.setPageStep(step * 5)
    made.setDecimals(decimals)
    made.setToolTip(tip)
    typed: QLabeledDoubleSlider = made
    return typed


class RulePanel(QWidget):
    """Edits a `Rule`: score, area, smoothing and threshold. `rule_edited` carries each new one."""

    rule_edited = Signal(object)
    reset_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rule: Rule | None = None
        self.histogram = ScoreHistogram()
        self.score = slider(0.0, 1.0, 0.01, 2, "Keep blobs whose mean score is above this (keys , and .)")
        self.area = slider(0.0, 80.0, 0.5, 1, "Keep blobs larger than this, in µm² (keys 9 and 0)")
        self.smoothing = slider(0.0, 3.0, 0.05, 2, "Gaussian sigma on the score map, in µm")
        self.mode = QComboBox()
        self.mode.addItems(["Otsu", "Fixed"])
        self.mode.setToolTip("Otsu: the threshold that splits this field's scores best, never below its floor.")
        self.threshold = slider(0.01, 0.99, 0.01, 2, "Map cells above this make up the blobs")
        self.reset = QPushButton("Reset")
        self.reset.clicked.connect(self.reset_wanted)
        self.histogram.score_dragged.connect(self.score.setValue)
        self._tips = {one: one.toolTip() for one in self._controls()}
        self._lay_out()
        for one in (self.score, self.area, self.smoothing, self.threshold):
            one.valueChanged.connect(self._edited)
        self.mode.currentIndexChanged.connect(self._edited)
        self.set_rule(None)

    def _controls(self) -> tuple[QWidget, ...]:
        return self.score, self.area, self.smoothing, self.mode, self.threshold, self.reset, self.histogram

    def _lay_out(self) -> None:
        threshold = QHBoxLayout()
        threshold.setContentsMargins(0, 0, 0, 0)
        threshold.addWidget(self.mode)
        threshold.addWidget(self.threshold, 1)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(3)
        form.setHorizontalSpacing(6)
        form.addRow(self.histogram)
        form.addRow("Score >", self.score)
        form.addRow("Area µm² >", self.area)
        form.addRow("Smooth µm", self.smoothing)
        form.addRow("Threshold", threshold)

    @property
    def rule(self) -> Rule | None:
        """The rule as the sliders stand."""
        return self._rule

    def set_rule(self, rule: Rule | None, found: float | None = None) -> None:
        """Show a rule, without a signal. None disables the sliders, and they say why.

        Parameters
        ----------
        rule : Rule or None
        found : float, optional
            The threshold that Otsu found, shown while the mode is Otsu.
        """
        self._rule = rule
        for one in self._controls():
            one.setEnabled(rule is not None)
            one.setToolTip(NO_RULE if rule is None else self._tips[one])
        if rule is None:
            self.histogram.set_line(self.score.value())
            return
        otsu = rule.threshold == "otsu"
        with signals_blocked(self.mode):
            self.mode.setCurrentIndex(0 if otsu else 1)
        shown = ((self.score, rule.min_score), (self.area, rule.min_area_um2), (self.smoothing, rule.smoothing_um))
        for one, value in shown:
            _show(one, value)
        if not otsu:
            _show(self.threshold, float(rule.threshold))
        elif found is not None:
            _show(self.threshold, found)
        self.threshold.setEnabled(not otsu)
        self.threshold.setToolTip("Found by Otsu; choose 'Fixed' to set it." if otsu else self._tips[self.threshold])
        self.histogram.set_line(rule.min_score)

    def step_score(self, steps: int) -> None:
        """Move the score slider by keyboard steps."""
        if self.score.isEnabled():
            self.score.setValue(self.score.value() + steps * SCORE_STEP)

    def step_area(self, steps: int) -> None:
        """Move the area slider by keyboard steps."""
        if self.area.isEnabled():
            self.area.setValue(self.area.value() + steps * AREA_STEP_UM2)

    def _edited(self) -> None:
        if self._rule is None:
            return
        fixed = self.mode.currentIndex() == 1
        self._rule = replace(
            self._rule,
            min_score=self._value(self.score, self._rule.min_score),
            min_area_um2=self._value(self.area, self._rule.min_area_um2),
            smoothing_um=self._value(self.smoothing, self._rule.smoothing_um),
            threshold=self.threshold.value() if fixed else "otsu",
        )
        self.threshold.setEnabled(fixed)
        self.histogram.set_line(self._rule.min_score)
        self.rule_edited.emit(self._rule)

    @staticmethod
    def _value(one: QLabeledDoubleSlider, old: float) -> float:
        """The slider's value, or the rule's own where the slider only shows it rounded."""
        shown: float = one.value()
        return old if abs(shown - old) < 1e-9 or (old > one.maximum() and shown == one.maximum()) else shown


def _show(one: Any, value: float) -> None:
    with signals_blocked(one):
        if value > one.maximum():
            one.setMaximum(value)
        one.setValue(value)
