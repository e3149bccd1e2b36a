"""Loss and F of a training, live."""

from __future__ import annotations

import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from ...finetune.watch import Curves
from ..style import tinted

CHILD, PARENT, LOSS = "#4db2ff", "#c5ccd6", "#ffb81c"
"""None of them praises: the verdict comes at the end."""
HEIGHT_PX = 92


class CurvesView(QWidget):
    """F of child and parent above, the loss below, over the steps of the whole training."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.f_title, self.loss_title = _title(), _title()
        self.f_plot, self.loss_plot = _plot(), _plot()
        self.f_plot.setYRange(0.0, 1.0, padding=0.12)
        self.f_plot.getAxis("left").setTicks([[(0.0, "0"), (0.5, "0.5"), (1.0, "1")]])
        self.loss_plot.setXLink(self.f_plot)
        self.parent_line = self.f_plot.plot(pen=pg.mkPen(PARENT, width=1.5, style=Qt.PenStyle.DashLine))
        self.child_line = self.f_plot.plot(
            pen=pg.mkPen(CHILD, width=2), symbol="o", symbolSize=7, symbolBrush=CHILD, symbolPen=None
        )
        self.loss_line = self.loss_plot.plot(pen=pg.mkPen(LOSS, width=1.5))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(1)
        for widget in (self.f_title, self.f_plot, self.loss_title, self.loss_plot):
            column.addWidget(widget)
        self.show_curves(Curves())

    def show_curves(self, curves: Curves) -> None:
        """Show these curves; some hundred points, a millisecond."""
        lines = ((self.child_line, curves.f), (self.parent_line, _level(curves)), (self.loss_line, curves.loss))
        for line, points in lines:
            line.setData([x for x, _ in points], [y for _, y in points])
        self.f_plot.setXRange(0, max(curves.steps, 1), padding=0.02)
        if curves.loss:
            highest = max(y for _, y in curves.loss)
            self.loss_plot.setYRange(0.0, highest * 1.05, padding=0)
        child = f"new <b style='color:{tinted(CHILD, self)}'>{curves.f[-1][1]:.2f}</b>" if curves.f else "new –"
        parent = (
            f"parent <b style='color:{tinted(PARENT, self)}'>{curves.parent_f[-1][1]:.2f}</b>"
            if curves.f
            else "parent –"
        )
        self.f_title.setText(f"F on fields not learnt from: {child} · {parent}")
        loss = f"<b style='color:{tinted(LOSS, self)}'>{curves.loss[-1][1]:.3f}</b>" if curves.loss else "–"
        self.loss_title.setText(f"Loss: {loss}")


def _level(curves: Curves) -> list[tuple[int, float]]:
    """The parent's F, drawn on to the end: it does not learn."""
    points = list(curves.parent_f)
    if points and curves.steps > points[-1][0]:
        points.append((curves.steps, points[-1][1]))
    return points


def _title() -> QLabel:
    label = QLabel()
    label.setObjectName("faint")
    label.setTextFormat(Qt.TextFormat.RichText)
    return label


def _plot() -> pg.PlotWidget:
    plot = pg.PlotWidget(background=None)
    plot.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    plot.setFixedHeight(HEIGHT_PX)
    plot.setMinimumWidth(120)
    plot.setMenuEnabled(False)
    plot.setMouseEnabled(False, False)
    plot.hideButtons()
    plot.showGrid(y=True, alpha=0.15)
    for name in ("left", "bottom"):
        axis = plot.getAxis(name)
        axis.setPen("#6b7280")
        axis.setTextPen("#b8bec9")
        axis.setStyle(tickLength=-3, tickTextOffset=2)
    plot.getAxis("left").setWidth(30)
    return plot
