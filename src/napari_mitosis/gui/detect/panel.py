"""What the detect dock looks like; it knows nothing of sessions and layers."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ...session import Result
from ...tables import DETECTION_COLUMNS
from ..keys import help_page, pretty
from ..open.pixel_size import PixelSizeRow
from .rule_panel import RulePanel
from .run_panel import RunPanel

NOT_YET = "Detect in this field first."

TOGGLES = (
    ("score_map", "Score map", False, "What the network saw, before any threshold"),
    ("detections", "Detections", True, "A thin green ring about each mitosis; rejected ones lose it"),
    ("boxes", "Boxes", False, "Boxes of detections (green) and of dropped candidates (grey)"),
    ("labels", "Labels", False, "Concentric labels that a network is taught: disc, and a ring that the loss ignores"),
)


class DetectPanel(QWidget):
    """Pixel size, model, rule and layers, from top to bottom.

    Parameters
    ----------
    pixel_size : PixelSizeRow
    """

    toggled = Signal(str, bool)
    step_wanted = Signal(int)
    boxes_wanted = Signal()

    def __init__(self, pixel_size: PixelSizeRow) -> None:
        super().__init__()
        self.pixel_size = pixel_size
        self.run_panel = RunPanel()
        self.rule = RulePanel()
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.toggles = {name: self._toggle(name, text, on, tip) for name, text, on, tip in TOGGLES}
        self.previous = _tool("◀")
        self.next = _tool("▶")
        self.position = _fitting(QLabel())
        self.position.setObjectName("faint")
        self.figure = _fitting(QLabel())
        self.figure.setObjectName("faint")
        self.figure.setWordWrap(True)
        self.centroid_boxes = _tool("Boxes from centroids")
        self.help = _tool("Keys")
        self.help.setToolTip(help_page())
        self._lay_out()
        self.previous.clicked.connect(lambda: self.step_wanted.emit(-1))
        self.next.clicked.connect(lambda: self.step_wanted.emit(1))
        self.centroid_boxes.clicked.connect(self.boxes_wanted)
        self.help.clicked.connect(lambda: self.say(help_page()))
        self.set_results(None)
        self.say("")

    def _toggle(self, name: str, text: str, on: bool, tip: str) -> QToolButton:
        button = _tool(text)
        button.setCheckable(True)
        button.setChecked(on)
        button.setToolTip(f"{tip} ({pretty(name)})")
        button.toggled.connect(lambda now: self.toggled.emit(name, now))
        return button

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        column.setSpacing(4)
        column.addWidget(self.pixel_size)
        column.addWidget(self.run_panel)
        column.addWidget(self.message)
        column.addWidget(_line())
        column.addWidget(self.rule)
        column.addWidget(_line())
        column.addLayout(_row(*self.toggles.values(), None))
        column.addLayout(_row(self.previous, self.next, self.position))
        column.addWidget(self.figure)
        column.addLayout(_row(self.centroid_boxes, self.help, None))
        column.addStretch(1)

    def wants(self, name: str) -> bool:
        """Whether a kind of result layer is to be seen."""
        return bool(self.toggles[name].isChecked())

    def say(self, text: str, error: bool = False) -> None:
        """Show a message above the result, or none."""
        self.message.setText(text)
        self.message.setObjectName("error" if error else "faint")
        style = self.style()
        if style is not None:
            style.polish(self.message)
        self.message.setVisible(bool(text))

    def set_results(self, result: Result | None) -> None:
        """Enable what needs a result, or say why it is disabled."""
        count = len(result.detections) if result is not None else 0
        for button, name, what in ((self.previous, "previous", "Previous"), (self.next, "next", "Next")):
            button.setEnabled(count > 0)
            why = "Nothing was detected." if result is not None else NOT_YET
            button.setToolTip(f"{what} detection, best score first ({pretty(name)})" if count else why)
        self.position.setText(f"{count} detections, best first" if count else "")
        self.figure.setText("")
        self.figure.setVisible(False)
        mapped = result is not None and bool(result.evidence.maps)
        self.centroid_boxes.setEnabled(mapped)
        self.centroid_boxes.setToolTip(
            "Boxes about the mitoses: of fixed size, and as the score map suggests (DeepSeg)"
            if mapped
            else NOT_YET
            if result is None
            else "This model makes no score map that could suggest boxes."
        )

    def offer_maps(self, there: bool) -> None:
        """Enable the score map's toggle, or say why it is disabled."""
        button = self.toggles["score_map"]
        button.setEnabled(there)
        tip = TOGGLES[0][3]
        button.setToolTip(f"{tip} ({pretty('score_map')})" if there else "This model finds boxes: it has no score map.")

    def show_position(self, at: int, count: int, figure: Mapping[str, float]) -> None:
        """Tell which detection is centred, and what is known of it."""
        self.position.setText(f"{at + 1} / {count} · score {figure['score']:.2f} · {figure['area_um2']:.0f} µm²")
        more = [f"{name} {figure[name]:.3g}" for name in figure if name not in DETECTION_COLUMNS]
        self.figure.setText(" · ".join(more))
        self.figure.setVisible(bool(more))


def _tool(text: str) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    return button


def _fitting(label: QLabel) -> QLabel:
    """A label that takes the width it is given: a long text must not widen the dock."""
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


def _section(text: str) -> QLabel:
    label = QLabel(text)
    label.setObjectName("section")
    return label


def _line() -> QFrame:
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setStyleSheet("color: rgba(127, 127, 127, 90);")
    return line


def _row(*widgets: QWidget | None) -> QHBoxLayout:
    """Widgets side by side; None stretches."""
    row = QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(4)
    for widget in widgets:
        if widget is None:
            row.addStretch(1)
        else:
            row.addWidget(widget)
    return row
