"""The widgets of the slide dock, top to bottom in the order in which a reader needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget
from superqt import QLabeledDoubleSlider

from ...decision.decide import Rule
from ...fields.field import Field
from ...jobs import Progress
from ...measures.grade import mitotic_density
from ...measures.hotspot import HPF_10_MM2, Hotspot
from .overview import Overview

TISSUE, REGIONS, WHOLE = "the tissue", "drawn regions", "the whole slide"
POWERS = (5, 10, 20, 40)


class SlidePanel(QWidget):
    """Widgets only: it tells what is wanted and shows what it is told."""

    tissue_wanted = Signal()
    region_wanted = Signal(bool)
    scan_wanted = Signal()
    cancel_wanted = Signal()
    rule_edited = Signal()
    hotspot_wanted = Signal(int)
    review_wanted = Signal()
    magnification_wanted = Signal(float)

    def __init__(self, parent: QWidget, models: Sequence[str]) -> None:
        super().__init__(parent)
        self._rule = Rule()
        self._levels: tuple[float, ...] = (0.0,)
        self.overview = Overview()
        self.title, self.power = QLabel("Open a slide"), QLabel()
        self.tissue = _button("Find tissue", self.tissue_wanted.emit, "At low magnification; then paint on the layer")
        self.include = _button("Draw region", lambda: self.region_wanted.emit(True), "Only these are looked at")
        self.exclude = _button("Leave out", lambda: self.region_wanted.emit(False), "Ink, folds, another tissue")
        self.models, self.area = QComboBox(), QComboBox()
        self.models.addItems(list(models))
        self.models.setCurrentIndex(max(0, self.models.findText("segmitos", Qt.MatchFlag.MatchStartsWith)))
        self.area.addItems([TISSUE, REGIONS, WHOLE])
        self.detect = _button("Detect in slide", self.scan_wanted.emit, "A scan that was stopped goes on where it was")
        self.detect.setObjectName("primary")
        self.stop = _button("Cancel", self.cancel_wanted.emit, "After the region in work; what was found is kept")
        self.bar, self.words = QProgressBar(), QLabel()
        self.sliders = {
            name: QLabeledDoubleSlider(Qt.Orientation.Horizontal) for name in ("threshold", "score", "area")
        }
        for name, slider in self.sliders.items():
            slider.setRange(0, 200 if name == "area" else 1)
            slider.setDecimals(0 if name == "area" else 2)
            slider.valueChanged.connect(lambda _: self.rule_edited.emit())
        self.count, self.spots = QLabel(), QLabel()
        self.count.setObjectName("count")
        self.before = _button("Previous hotspot", lambda: self.hotspot_wanted.emit(-1), "")
        self.next = _button("Next hotspot", lambda: self.hotspot_wanted.emit(1), "")
        tip = "Opens it as a field of its own: detect, review and report it as any other"
        self.review = _button("Review this hotspot", self.review_wanted.emit, tip)
        self._at_hotspot = False
        self._lay_out(parent)
        self.show_running(False)

    def _lay_out(self, parent: QWidget) -> None:
        lines = QVBoxLayout(self)
        lines.addWidget(self.title)
        lines.addWidget(self.overview)
        powers = [
            _button(f"{power}x", lambda _=False, p=power: self.magnification_wanted.emit(float(p)), "")
            for power in POWERS
        ]
        lines.addLayout(_row(*powers, self.power))
        lines.addLayout(_row(self.tissue, self.include, self.exclude))
        lines.addLayout(_row(QLabel("Look at"), self.area, QLabel("with"), self.models))
        lines.addLayout(_row(self.detect, self.stop))
        lines.addWidget(self.bar)
        lines.addWidget(self.words)
        lines.addWidget(self.count)
        for name, text in {"threshold": "Threshold", "score": "Score", "area": "Area, um²"}.items():
            lines.addLayout(_row(QLabel(text), self.sliders[name]))
        lines.addWidget(self.spots)
        lines.addLayout(_row(self.before, self.next))
        lines.addWidget(self.review)
        lines.addStretch(1)
        around = QVBoxLayout(parent)
        around.setContentsMargins(0, 0, 0, 0)
        around.addWidget(self)

    def model(self) -> str:
        """The chosen model version."""
        return self.models.currentText()

    def what(self) -> str:
        """`TISSUE`, `REGIONS` or `WHOLE`."""
        return self.area.currentText()

    def rule(self) -> Rule:
        """The rule of the sliders; the threshold is the nearest rung that there are candidates of."""
        wanted = self.sliders["threshold"].value()
        threshold = min(self._levels, key=lambda level: abs(level - wanted)) if len(self._levels) > 1 else wanted
        values = {name: getattr(self._rule, name) for name in self._rule.__dataclass_fields__}
        values |= {"threshold": threshold, "min_score": self.sliders["score"].value()}
        values |= {"min_area_um2": min(self.sliders["area"].value(), self._rule.max_area_um2)}
        return Rule(**values)

    def take_rule(self, rule: Rule, levels: tuple[float, ...]) -> None:
        """Set the sliders to a rule without telling."""
        self._rule, self._levels = rule, levels
        threshold = rule.floor if rule.threshold == "otsu" else float(rule.threshold)
        for name, value in {"threshold": threshold, "score": rule.min_score, "area": rule.min_area_um2}.items():
            self.sliders[name].blockSignals(True)
            self.sliders[name].setValue(value)
            self.sliders[name].blockSignals(False)

    def show_slide(self, field: Field) -> None:
        """Tell the slide's name and size."""
        size = f"{field.shape[1]:,} x {field.shape[0]:,} px"
        mpp = "um/px not stated" if field.mpp is None else f"{field.mpp:.4g} um/px"
        self.title.setText(f"<b>{field.name}</b>: {size}, {mpp}, {len(field.levels)} levels")
        self.count.setText("")
        self.spots.setText("")
        self.say("")

    def say(self, text: str) -> None:
        """One line below the bar."""
        self.words.setText(text)

    def show_running(self, running: bool) -> None:
        """Whether a job runs."""
        for widget in (self.tissue, self.detect, self.models, self.area, *self.sliders.values()):
            widget.setEnabled(not running)
        self.review.setEnabled(self._at_hotspot and not running)
        self.stop.setEnabled(running)
        self.bar.setVisible(running)

    def show_progress(self, step: Progress) -> None:
        """Regions done of all."""
        self.bar.setRange(0, step.total)
        self.bar.setValue(step.done)
        self.bar.setFormat(f"%p %: {step.message}" if step.total else step.message)

    def show_count(self, count: int, area_mm2: float) -> None:
        """Detections and their density."""
        density = mitotic_density(count, area_mm2)
        self.count.setText(f"{count} mitoses")
        self.say(f"{density.per_mm2:.2f} per mm² ({density.low:.2f} to {density.high:.2f}) in {area_mm2:.1f} mm²")

    def show_hotspots(self, hotspots: list[Hotspot], at: int) -> None:
        """Which of the hotspots is looked at."""
        self._at_hotspot = at >= 0
        self.review.setEnabled(self._at_hotspot)
        if not hotspots:
            self.spots.setText("No hotspot of 2.37 mm² fits into the tissue")
        elif at < 0:
            self.spots.setText(f"Hotspot: {hotspots[0].count} in {HPF_10_MM2} mm² ({len(hotspots)} found)")
        else:
            self.spots.setText(f"Hotspot {at + 1} of {len(hotspots)}: {hotspots[at].count} in {HPF_10_MM2} mm²")

    def show_magnification(self, power: float | None) -> None:
        """The power of an objective that shows the slide as the canvas does."""
        self.power.setText("" if power is None else f"{power:.3g}x")


def _button(text: str, pressed: Callable[..., Any], tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.clicked.connect(pressed)
    return button


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget, 1 if isinstance(widget, QLabeledDoubleSlider | QComboBox) else 0)
    return row
