"""Count, area and density of a field, in large figures."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from ...session import Result


class Summary(QWidget):
    """The mitotic count of a field with its density and the Poisson 95 % interval."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("summary")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground, True)
        self.count = QLabel()
        self.count.setObjectName("count")
        self.what = QLabel()
        self.density = QLabel()
        self.density.setObjectName("density")
        self.interval = QLabel()
        self.interval.setObjectName("faint")
        self.interval.setToolTip(
            "95 % interval of the density: a count is Poisson. It says nothing of what the network missed."
        )
        grid = QGridLayout(self)
        grid.setContentsMargins(8, 4, 8, 4)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(0)
        grid.addWidget(self.count, 0, 0, 2, 1)
        grid.addWidget(self.what, 0, 1)
        grid.addWidget(self.density, 0, 2, Qt.AlignmentFlag.AlignRight)
        grid.addWidget(self.interval, 1, 1, 1, 2, Qt.AlignmentFlag.AlignRight)
        grid.setColumnStretch(1, 1)
        self.show_result(None)

    def show_result(self, result: Result | None) -> None:
        """Show the figures of a result, or that there is none."""
        if result is None:
            self.count.setText("–")
            self.what.setText("not detected yet")
            self.density.setText("")
            self.interval.setText("")
            return
        count, density = len(result.detections), result.density
        self.count.setText(str(count))
        self.what.setText("mitosis" if count == 1 else "mitoses")
        self.density.setText(f"{density.per_mm2:.1f} / mm²")
        self.interval.setText(f"95 % {density.low:.1f}–{density.high:.1f} in {density.area_mm2:.3f} mm²")
