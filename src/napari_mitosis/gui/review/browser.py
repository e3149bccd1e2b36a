"""Gallery and table of the candidates, with a filter, in step with each other."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QItemSelectionModel, QModelIndex, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QSizePolicy,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ...review.candidates import why_no_disagreement
from ...review.judge import STATES
from ...review.orders import ORDERS
from ...review.target import CANDIDATES
from ...review.words import NAMES, name_of
from ..annotate.words import row
from .gallery import Gallery
from .reviewing import Reviewing
from .table import ROW_ROLE, CandidateModel, CandidateTable
from .thumbnails import Thumbnails


class Browser(QWidget):
    """All candidates of the queue at a glance.

    Parameters
    ----------
    reviewing : Reviewing
    thumbnails : Thumbnails
    parent : QWidget, optional

    Attributes
    ----------
    chosen : Signal(int)
        A candidate was clicked: its row in the queue's frame.
    order_chosen : Signal(str)
    below_chosen : Signal(bool)
    """

    chosen = Signal(int)
    order_chosen = Signal(str)
    below_chosen = Signal(bool)

    def __init__(self, reviewing: Reviewing, thumbnails: Thumbnails, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reviewing = reviewing
        self._following = False
        self.model = CandidateModel(reviewing, self)
        self.gallery = Gallery(self.model, reviewing, thumbnails)
        self.table = CandidateTable(self.model)
        selection = self.gallery.selectionModel()
        assert selection is not None  # a view with a model has one
        self._selection: QItemSelectionModel = selection
        self.table.setSelectionModel(self._selection)
        self._selection.currentRowChanged.connect(self._current_changed)
        self.views = QStackedWidget()
        self.views.addWidget(self.gallery)
        self.views.addWidget(self.table)
        self.switch = QToolButton()
        self.switch.setText("Table")
        self.switch.setCheckable(True)
        self.switch.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.switch.setToolTip("Show the candidates as a table, or as a gallery")
        self.switch.toggled.connect(self.show_table)
        self._make_options()
        self.filters: dict[str | None, QToolButton] = {}
        self._group = QButtonGroup(self)
        chips = QHBoxLayout()
        chips.setSpacing(3)
        for state in (None, *STATES):
            chip = self._chip(state)
            self._group.addButton(chip)
            chips.addWidget(chip)
        self.filters[None].setChecked(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 2, 0, 0)
        column.setSpacing(4)
        column.addLayout(row(self.order, self.below, None, self.switch))
        column.addLayout(chips)
        column.addWidget(self.views, 1)

    def _make_options(self) -> None:
        """What is in the queue, and in which order."""
        self.order = QComboBox()
        for name, meaning in ORDERS.items():
            self.order.addItem(meaning.capitalize(), name)
        self.order.activated.connect(lambda at: self.order_chosen.emit(str(self.order.itemData(at))))
        self.below = QCheckBox("Show rejected ones")
        self.below.setToolTip(
            "Also candidates that the detection's settings leave out, be it for score, area or distance; they are "
            "marked “below”"
        )
        self.below.toggled.connect(self.below_chosen)

    def show_orders(self) -> None:
        """Enable the orders that there are, and say why one is not."""
        why = why_no_disagreement(self._reviewing.queue.frame)
        at = self.order.findData("disagreement")
        items = self.order.model()
        item = items.item(at) if isinstance(items, QStandardItemModel) else None
        if item is not None:
            item.setEnabled(why is None)
            item.setToolTip(why or ORDERS["disagreement"])
        self.order.setToolTip("In which order candidates come" + (f".<br>Not by disagreement: {why}" if why else ""))

    def _chip(self, state: str | None) -> QToolButton:
        chip = self.filters[state] = QToolButton()
        chip.setCheckable(True)
        chip.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        chip.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        chip.setToolTip("Show all candidates" if state is None else f"Show only: {name_of(state)}")
        chip.clicked.connect(lambda: self.show_only(state))
        return chip

    @property
    def wanted(self) -> str | None:
        """The state that is shown alone, or None."""
        return next(state for state, chip in self.filters.items() if chip.isChecked())

    def show_only(self, state: str | None) -> None:
        """Show the candidates in one state, or all."""
        self.filters[state].setChecked(True)
        self._followed(lambda: self.model.show_only(state))
        self.show_target()

    def show_table(self, yes: bool) -> None:
        """The table, or the gallery."""
        self.views.setCurrentIndex(int(yes))
        self.show_target()

    def follow(self) -> None:
        """Bring views and counts up to date with the queue."""
        self._followed(self.model.follow)
        queue = self._reviewing.queue
        for state, chip in self.filters.items():
            count = len(queue) if state is None else queue.count(state, CANDIDATES)
            text = f"{count}\n{'all' if state is None else NAMES[state][count != 1]}"
            if chip.text() != text:
                chip.setText(text)

    def show_target(self) -> None:
        """Select the target, and scroll to it; nothing where it is in another list."""
        index = self.model.index_of(self._reviewing.queue.present)
        flags = QItemSelectionModel.SelectionFlag
        self._following = True
        if index.isValid():
            self._selection.setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)
            if self.views.currentWidget() is self.gallery:
                self.gallery.show_index(index)
            else:
                self.table.scrollTo(index)
        else:
            self._selection.clear()
        self._following = False

    def _followed(self, change: Callable[[], object]) -> None:
        self._following = True
        change()
        self._following = False

    def _current_changed(self, current: QModelIndex, _before: QModelIndex) -> None:
        candidate = current.data(ROW_ROLE) if current.isValid() else None
        if candidate is not None and not self._following:
            self.chosen.emit(int(candidate))
