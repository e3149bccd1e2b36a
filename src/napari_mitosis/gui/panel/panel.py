"""The one panel: steps on top, then the result of the field, then the page of the step."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import napari
from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QAction, QActionGroup  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QButtonGroup,
    QDockWidget,
    QFrame,
    QHBoxLayout,
    QMenu,
    QScrollArea,
    QSizePolicy,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ..desk import Desk, desk_of
from ..style import style_for
from ..views import Views
from .field_keys import FieldKeys
from .hpf_grid import HpfGrid
from .measuring_line import MeasuringLine
from .result_bar import ResultBar
from .steps import Step, steps_here

NAPARI_DOCKS = ("layer controls", "layer list")
"""Names of napari's own docks on the left."""

WIDTH_PX = 476
"""So wide that every page fits; on a screen of 1366 px the image keeps two thirds."""


class Panel(QWidget):
    """All steps of one viewer. It belongs to the window and outlives the dock that shows it; use `panel_of`.

    Parameters
    ----------
    desk : Desk
    pages : dict of str to QWidget, optional
        Pages of steps that are there already.

    Attributes
    ----------
    step_changed : Signal(str)
        Another step is in front.
    pages : dict of str to QWidget
        Those that were built: each is when it is first looked at.
    """

    step_changed = Signal(str)

    def __init__(self, desk: Desk, pages: Mapping[str, QWidget] = MappingProxyType({})) -> None:
        super().__init__(desk.window)
        self.hide()
        self.desk = desk
        self.steps: dict[str, Step] = {step.name: step for step in steps_here()}
        self.pages: dict[str, QWidget] = {}
        self._holders: dict[str, QScrollArea] = {}
        self.step = ""
        self.buttons: dict[str, QToolButton] = {}
        self.group = QButtonGroup(self)
        self.more = QToolButton()
        self.actions_by_step: dict[str, QAction] = {}
        self.result_bar = ResultBar(desk)
        self.stack = QStackedWidget()
        self.views = Views(desk)
        self.grid, self.line = HpfGrid(desk), MeasuringLine(desk)
        self.keys = FieldKeys(desk, self.views, {"hpf_grid": self.grid.toggle, "measure": self.line.toggle})
        self._lay_out()
        self.result_bar.step_wanted.connect(self.show_step)
        self.result_bar.field_wanted.connect(self.keys.step)
        self.result_bar.grid.clicked.connect(self.grid.toggle)
        self.grid.changed.connect(self.result_bar.show_grid)
        self.result_bar.line.clicked.connect(self.line.toggle)
        self.line.changed.connect(self.result_bar.show_line)
        desk.viewer.events.theme.connect(self._dress)
        desk.closed.connect(self.keys.unbind)
        self.keys.bind()
        desk.fields.changed.connect(self._show_bar)
        self._show_bar()  # fields may be open already
        for name, page in pages.items():
            self._hold(name, page)
        self.page("Detect")  # whatever step is in front: its keys work, and others ask it to detect

    def _lay_out(self) -> None:
        self.setObjectName("mitosis")
        self._dress()
        self.setMinimumWidth(WIDTH_PX)
        bar = QHBoxLayout()
        bar.setContentsMargins(6, 4, 6, 0)
        bar.setSpacing(2)
        menu = QMenu(self.more)
        actions = QActionGroup(self)
        for step in self.steps.values():
            action = self.actions_by_step[step.name] = QAction(step.name, self)
            action.setCheckable(True)
            action.setToolTip(step.meaning)
            action.triggered.connect(lambda _checked, name=step.name: self.show_step(name))
            actions.addAction(action)
            if step.more:
                menu.addAction(action)
            else:
                bar.addWidget(self._button(step), 1)
        self.more.setText("More")
        self.more.setObjectName("step")
        self.more.setCheckable(True)
        self.more.setMenu(menu)
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.more.setToolTip(", ".join(step.name for step in self.steps.values() if step.more))
        bar.addWidget(self.more)
        self.layers = QToolButton()
        self.layers.setText("☰")
        self.layers.setObjectName("step")
        self.layers.setCheckable(True)
        self.layers.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.layers.setToolTip("napari's own list of layers and their controls")
        self.layers.clicked.connect(self._show_layers)
        bar.addWidget(self.layers)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(bar)
        column.addWidget(self.result_bar)
        column.addWidget(self.stack, 1)

    def _button(self, step: Step) -> QToolButton:
        button = self.buttons[step.name] = QToolButton()
        button.setText(step.name)
        button.setObjectName("step")
        button.setCheckable(True)
        button.setToolTip(step.meaning)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        button.clicked.connect(lambda: self.show_step(step.name))
        return button

    def page(self, name: str) -> QWidget:
        """The page of a step; it is built when it is first asked for."""
        if name not in self.pages:
            self._hold(name, self.steps[name].build(self.desk.viewer))
            self._join(name)
        return self.pages[name]

    def _join(self, name: str) -> None:
        """What one page asks of another."""
        page: Any = self.pages[name]
        if name == "Review":
            page.onward.has_report = "Report" in self.steps
            page.report_wanted.connect(lambda: self.show_step("Report"))
        elif name == "Report":
            page.hotspot_box.area.valueChanged.connect(lambda ten_mm2: self.grid.set_area(ten_mm2 / 10))
        elif name == "Fields":
            detect: Any = self.page("Detect")
            page.detect_all_wanted.connect(detect.run_all)
            page.first_opened.connect(lambda: self.show_step("Detect"))
        elif name == "Detect":
            page.runs.looked.connect(self._looked)

    def _looked(self, key: Any) -> None:
        """The detector is done: its candidates wait to be judged, unless the reader has gone elsewhere meanwhile."""
        detect: Any = self.pages["Detect"]
        result, counts = self.desk.session[key].result, self.desk.counts.of(key)
        begun = self.desk.blind.blind(key) or (counts is not None and counts.judged > 0)
        waiting = result is not None and len(result.detections) > 0 and not begun
        here = self.step == "Detect" and key == self.desk.session.active
        if waiting and here and detect.panel.run_panel.review_after.isChecked():
            self.show_step("Review")

    def _hold(self, name: str, page: QWidget) -> None:
        """Pages scroll where they are higher than the window: none may make it grow."""
        holder = self._holders[name] = QScrollArea()
        holder.setWidgetResizable(True)
        holder.setFrameShape(QFrame.Shape.NoFrame)
        holder.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        holder.setWidget(page)
        self.pages[name] = page
        self.stack.addWidget(holder)

    def show_step(self, name: str) -> QWidget:
        """Bring a step to the front, and the panel with it; its page."""
        page = self.page(name)
        self.stack.setCurrentWidget(self._holders[name])
        changed, self.step = name != self.step, name
        for other, button in self.buttons.items():
            button.setChecked(other == name)
        self.more.setChecked(self.steps[name].more)
        self.more.setText(name if self.steps[name].more else "More")
        self.actions_by_step[name].setChecked(True)
        if changed:
            self.step_changed.emit(name)
        return page

    def _show_layers(self, yes: bool) -> None:
        """Show napari's own docks on the left, or fold them away."""
        for dock in self.desk.window.findChildren(QDockWidget):
            if dock.objectName() in NAPARI_DOCKS:
                dock.setVisible(yes)

    def fold_layers(self) -> None:
        """Give the image the room of napari's own docks on the left."""
        self.layers.setChecked(False)
        self._show_layers(False)

    def _dress(self, *_: object) -> None:
        """Follow napari's theme."""
        self.setStyleSheet(style_for(self.desk.viewer.theme))

    def _show_bar(self) -> None:
        self.result_bar.setVisible(bool(len(self.desk.session)))


def panel_of(viewer: napari.Viewer) -> Panel:
    """The panel of a viewer; made when first asked for."""
    desk = desk_of(viewer)
    panel: Panel | None = desk.window.findChild(Panel)
    if panel is None:
        panel = Panel(desk)
        panel.show_step("Fields" if not len(desk.session) else "Detect")
    return panel
