"""How much each score map, or each score of a candidate, counts in the fused score."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget
from superqt import QCollapsible, QDoubleSlider
from superqt.utils import signals_blocked

Weights = tuple[tuple[str, float], ...]

LEAST = 0.01
"""Weights must not all be 0: the one moved last stops here."""


class FusionWeights(QWidget):
    """Two names: one slider between them. Three or more: a slider for each, folded away. One: nothing.

    `edited` carries the new weights, which add up to 1.
    """

    edited = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._names: tuple[str, ...] = ()
        self._content: QWidget | None = None
        self.sliders: dict[str, QDoubleSlider] = {}
        self.ends: tuple[QLabel, ...] = ()
        self._values: dict[str, QLabel] = {}
        self.folded: QCollapsible | None = None
        self.setVisible(False)

    @property
    def names(self) -> tuple[str, ...]:
        """What is weighed."""
        return self._names

    def set_names(self, names: Sequence[str]) -> None:
        """Offer sliders for these scores."""
        if tuple(names) == self._names:
            return
        self._names = tuple(names)
        if self._content is not None:
            self._column.removeWidget(self._content)
            self._content.setParent(None)
            self._content.deleteLater()
            self._content = None
        self.sliders, self.ends, self._values, self.folded = {}, (), {}, None
        if len(names) > 1:
            self._content = self._between(*names) if len(names) == 2 else self._one_each()
            self._column.addWidget(self._content)
        self.setVisible(len(names) > 1)

    def _between(self, left: str, right: str) -> QWidget:
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(6)
        slider = self.sliders[right] = _slider()
        slider.setToolTip(f"What the scores '{left}' and '{right}' count in the fused score; no network runs")
        self.ends = (QLabel(), QLabel())
        line.addWidget(self.ends[0])
        line.addWidget(slider, 1)
        line.addWidget(self.ends[1])
        slider.valueChanged.connect(lambda _: self._moved(right))
        return row

    def _one_each(self) -> QWidget:
        self.folded = QCollapsible(f"Weights of {len(self._names)} scores")
        self.folded.setDuration(0)
        content = QWidget()
        form = QFormLayout(content)
        form.setContentsMargins(12, 0, 0, 0)
        form.setVerticalSpacing(2)
        for name in self._names:
            slider, value, row = _slider(), QLabel(), QHBoxLayout()
            slider.setToolTip(f"What the score '{name}' counts in the fused score; no network runs")
            slider.valueChanged.connect(lambda _, name=name: self._moved(name))
            row.addWidget(slider, 1)
            row.addWidget(value)
            form.addRow(name, row)
            self.sliders[name], self._values[name] = slider, value
        self.folded.addWidget(content)
        return self.folded

    def set_weights(self, weights: Weights) -> None:
        """Show the weights of a rule, without a signal; none: all count alike."""
        given = dict(weights) or dict.fromkeys(self._names, 1.0)
        total = sum(given.get(name, 0.0) for name in self._names) or 1.0
        for name, slider in self.sliders.items():
            with signals_blocked(slider):
                slider.setValue(given.get(name, 0.0) / total)
        self._tell()

    def _weights(self) -> dict[str, float]:
        if len(self._names) == 2:
            share: float = round(self.sliders[self._names[1]].value(), 2)
            return {self._names[0]: round(1.0 - share, 2), self._names[1]: share}
        total = sum(slider.value() for slider in self.sliders.values()) or 1.0
        return {name: round(slider.value() / total, 3) for name, slider in self.sliders.items()}

    def _moved(self, name: str) -> None:
        slider = self.sliders[name]
        if len(self.sliders) > 1 and not any(each.value() for each in self.sliders.values()):
            with signals_blocked(slider):
                slider.setValue(LEAST)
        self._tell()
        self.edited.emit(tuple(self._weights().items()))

    def _tell(self) -> None:
        shown = self._weights() if self.sliders else {}
        if len(self.ends) == 2:
            (left, a), (right, b) = shown.items()
            self.ends[0].setText(f"{left} {a:.2f}")
            self.ends[1].setText(f"{b:.2f} {right}")
        for name, label in self._values.items():
            label.setText(f"{shown[name]:.2f}")


def _slider() -> QDoubleSlider:
    slider: QDoubleSlider = QDoubleSlider(Qt.Orientation.Horizontal)  # type: ignore[no-untyped-call]
    slider.setRange(0.0, 1.0)
    slider.setSingleStep(0.01)
    slider.setPageStep(0.1)
    return slider
