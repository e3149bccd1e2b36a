"""The sliders of a rule; which of them there are depends on what was seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget
from superqt import QLabeledDoubleSlider
from superqt.utils import signals_blocked

from ...decision.decide import Rule
from ...decision.evidence import Evidence
from .histogram import ScoreHistogram
from .weights import FusionWeights

SENSITIVITY_STEP, AREA_STEP_UM2 = 0.05, 1.0
SENSITIVITY_TIP = (
    "More finds more: no figure that is shown goes away. In the middle stands the rule that was chosen on held-out "
    "fields (keys , and .)"
)
NO_RULE = "Detect in this field first: there is nothing to tune yet."

TIPS = {
    "blobs": ("Keep blobs whose mean score is above this ", "Map cells above this make up the blobs"),
    "peaks": (
        "Keep peaks whose score is above this",
        "t: peaks of the disc mean are taken while they are above this",
    ),
    "candidates": (
        "Keep candidates whose fused score is above this",
        "Candidates count whose first score is above this",
    ),
}
"""For each kind of decision what score and threshold mean."""


def slider(low: float, high: float, step: float, decimals: int, tip: str) -> QLabeledDoubleSlider:
    """A slider with its value in a box that can be typed in."""
    plain: Any = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    plain.setRange(low, high)
    plain.setSingleStep(step)
    plain.setPageStep(step * 5)
    plain.setDecimals(decimals)
    plain.setToolTip(tip)
    typed: QLabeledDoubleSlider = plain
    return typed


class RulePanel(QWidget):
    """Edits a `Rule`. `rule_edited` carries each new one."""

    rule_edited = Signal(object)
    reset_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rule: Rule | None = None
        self._kind = "blobs"
        self._displayed: dict[QLabeledDoubleSlider, float] = {}
        self.histogram = ScoreHistogram()
        self.sensitivity = slider(0.0, 1.0, 0.05, 2, SENSITIVITY_TIP)
        self.expected = QLabel()
        self.expected.setObjectName("faint")
        self.expected.setWordWrap(True)
        self.advanced = QToolButton()
        self.advanced.setText("Advanced")
        self.advanced.setCheckable(True)
        self.advanced.setToolTip("Score, area, smoothing and threshold one by one, and the scores of all candidates")
        self.parts = QWidget()
        self.score = slider(0.0, 1.0, 0.01, 2, TIPS["blobs"][0])
        self.weights = FusionWeights()
        self.area = slider(0.0, 80.0, 0.5, 1, "Keep what is larger than this, in µm² (keys 9 and 0)")
        self.smoothing = slider(0.0, 3.0, 0.05, 2, "Gaussian sigma on the score map, in µm")
        self.disc = slider(0.5, 6.0, 0.1, 2, "d: radius of the disc whose mean is taken, in µm; peaks lie 2d apart")
        self.mode = QComboBox()
        self.mode.addItems(["Otsu", "Fixed"])
        self.mode.setToolTip("Otsu: the threshold that splits this field's scores best, never below its floor.")
        self.threshold = slider(0.01, 0.99, 0.01, 2, TIPS["blobs"][1])
        self.reset = QPushButton("Reset")
        self.reset.clicked.connect(self.reset_wanted)
        self.histogram.score_dragged.connect(self.score.setValue)
        self._tips = {control: control.toolTip() for control in self._controls()}
        self._lay_out()
        for control in self._sliders():
            control.valueChanged.connect(self._edited)
        self.mode.currentIndexChanged.connect(self._edited)
        self.weights.edited.connect(self._weighed)
        self.set_rule(None)
        self._show_rows("blobs", True)

    def _sliders(self) -> tuple[QLabeledDoubleSlider, ...]:
        return self.sensitivity, self.score, self.area, self.smoothing, self.disc, self.threshold

    def _controls(self) -> tuple[QWidget, ...]:
        return *self._sliders(), self.weights, self.mode, self.reset, self.histogram

    def _lay_out(self) -> None:
        threshold = QHBoxLayout()
        threshold.setContentsMargins(0, 0, 0, 0)
        threshold.addWidget(self.mode)
        threshold.addWidget(self.threshold, 1)
        top = QFormLayout()
        top.setHorizontalSpacing(6)
        top.addRow("Sensitivity", self.sensitivity)
        row = QHBoxLayout()
        row.addWidget(self.advanced)
        row.addStretch(1)
        row.addWidget(self.reset)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addLayout(top)
        column.addWidget(self.expected)
        column.addLayout(row)
        column.addWidget(self.parts)
        self.parts.hide()
        self.advanced.toggled.connect(self.parts.setVisible)
        form = QFormLayout(self.parts)
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(3)
        form.setHorizontalSpacing(6)
        form.addRow(self.histogram)
        form.addRow("Score >", self.score)
        form.addRow(self.weights)
        form.addRow("Area µm² >", self.area)
        form.addRow("Smooth µm", self.smoothing)
        form.addRow("Disc d µm", self.disc)
        self._threshold_name = QLabel("Threshold")
        form.addRow(self._threshold_name, threshold)
        self._form = form

    @property
    def rule(self) -> Rule | None:
        """The rule as the sliders stand."""
        return self._rule

    def set_evidence(self, evidence: Evidence, preset: Rule) -> None:
        """Offer the sliders that make a difference for this evidence.

        Parameters
        ----------
        evidence : Evidence
        preset : Rule
            What the model brings along: its method, and the scores it weighs.
        """
        kind = "candidates" if evidence.candidates is not None else preset.method
        named = [name for name, _ in preset.weights]
        self.weights.set_names(named if len(named) > 1 else evidence.weighable)
        sizes = evidence.candidates["height_px"] if evidence.candidates is not None else None
        alike = kind == "peaks" or (sizes is not None and len(sizes) > 1 and sizes.nunique() == 1)
        lowest: Any = 0.0 if kind == "candidates" else 0.01
        self.threshold.setMinimum(lowest)
        self._show_rows(kind, not alike)

    def _show_rows(self, kind: str, sized: bool) -> None:
        self._kind = kind
        blobs = kind == "blobs"
        rows = ((self.area, sized), (self.smoothing, blobs), (self.disc, kind == "peaks"))
        for control, there in rows:
            control.setVisible(there)
            name = self._form.labelForField(control)
            if name is not None:
                name.setVisible(there)
        self.mode.setVisible(blobs)
        self._threshold_name.setText({"candidates": "1st score >", "peaks": "Peaks t >"}.get(kind, "Threshold"))
        self._tips[self.score], self._tips[self.threshold] = TIPS[kind]

    def set_rule(self, rule: Rule | None, found: float | None = None) -> None:
        """Show a rule, without a signal. None disables the sliders, and they say why.

        Parameters
        ----------
        rule : Rule or None
        found : float, optional
            The threshold that Otsu found, shown while the mode is Otsu.
        """
        self._rule = rule
        for control in self._controls():
            control.setEnabled(rule is not None)
            control.setToolTip(NO_RULE if rule is None else self._tips[control])
        if rule is None:
            self.histogram.set_line(self.score.value())
            return
        otsu = rule.threshold == "otsu"
        with signals_blocked(self.mode):
            self.mode.setCurrentIndex(0 if otsu else 1)
        self._leave_out_dead_scores(rule, found)
        shown = (
            (self.sensitivity, rule.sensitivity),
            (self.score, rule.min_score),
            (self.area, rule.min_area_um2),
            (self.smoothing, rule.smoothing_um),
        )
        for control, value in (*shown, (self.disc, rule.disc_um)):
            self._show(control, value)
        if not otsu:
            self._show(self.threshold, float(rule.threshold))
        elif found is not None:
            self._show(self.threshold, found)
        self._displayed[self.threshold] = self.threshold.value()
        self.weights.set_weights(rule.weights)
        self._free_threshold(not otsu or self._kind != "blobs")
        self.histogram.set_line(rule.min_score)

    def _free_threshold(self, free: bool) -> None:
        self.threshold.setEnabled(free)
        self.threshold.setToolTip(self._tips[self.threshold] if free else "Found by Otsu; choose 'Fixed' to set it.")

    def _leave_out_dead_scores(self, rule: Rule, found: float | None) -> None:
        """No blob has a mean score below the threshold that made it: there the slider would move nothing."""
        threshold = found if rule.threshold == "otsu" else float(rule.threshold)
        live = threshold is not None and self._kind == "blobs" and rule.sensitivity <= 0.5
        lowest: Any = min(threshold, 0.98) if live and threshold is not None else 0.0
        with signals_blocked(self.score):
            self.score.setMinimum(lowest)

    def show_expected(self, text: str) -> None:
        """Tell what is to be expected at this sensitivity."""
        self.expected.setText(text)
        self.expected.setVisible(bool(text))

    def step_sensitivity(self, steps: int) -> None:
        """Move the sensitivity by keyboard steps."""
        if self.sensitivity.isEnabled():
            self.sensitivity.setValue(self.sensitivity.value() + steps * SENSITIVITY_STEP)

    def step_area(self, steps: int) -> None:
        """Move the area slider by keyboard steps."""
        if self.area.isEnabled() and not self.area.isHidden():
            self.area.setValue(self.area.value() + steps * AREA_STEP_UM2)

    def _edited(self) -> None:
        rule = self._rule
        if rule is None:
            return
        if self._kind != "blobs":
            threshold = self._value(self.threshold, rule.threshold)
        else:
            fixed = self.mode.currentIndex() == 1
            threshold = self.threshold.value() if fixed else "otsu"
            self._free_threshold(fixed)
        self._rule = replace(
            rule,
            sensitivity=self._value(self.sensitivity, rule.sensitivity),
            min_score=self._value(self.score, rule.min_score),
            min_area_um2=self._value(self.area, rule.min_area_um2),
            smoothing_um=self._value(self.smoothing, rule.smoothing_um),
            disc_um=self._value(self.disc, rule.disc_um),
            threshold=threshold,
        )
        self.histogram.set_line(self._rule.min_score)
        self.rule_edited.emit(self._rule)

    def _weighed(self, weights: tuple[tuple[str, float], ...]) -> None:
        if self._rule is not None:
            self._rule = replace(self._rule, weights=weights)
            self.rule_edited.emit(self._rule)

    def _value(self, control: QLabeledDoubleSlider, old: Any) -> Any:
        """The slider's value, or the rule's own where the slider only shows it rounded or at its end."""
        shown = control.value()
        if shown == self._displayed.get(control):
            return old
        self._displayed[control] = shown
        return shown

    def _show(self, control: Any, value: float) -> None:
        with signals_blocked(control):
            if value > control.maximum():
                control.setMaximum(value)
            control.setValue(value)
        self._displayed[control] = control.value()
