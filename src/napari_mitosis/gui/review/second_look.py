"""The second look: the best of what the settings leave out, and which tissue was not seen yet."""

from __future__ import annotations

from qtpy.QtCore import QItemSelectionModel, QModelIndex, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QLabel, QProgressBar, QSizePolicy, QSpinBox, QVBoxLayout, QWidget

from ...review.target import SECOND
from ...review.words import counted
from ..annotate.annotating import annotating_of
from ..annotate.words import faint, row, tool
from .gallery import Gallery
from .marker import camera_of
from .reviewing import Reviewing
from .table import ROW_ROLE, CandidateModel
from .thumbnails import Thumbnails

BLIND = "This field is read blind: reveal the detections first."
NO_RESULT = "Detect in this field first: then the best candidates that its settings leave out are shown here."
NOTHING = "The settings leave nothing out here."


class SecondLook(QWidget):
    """A gallery of the best candidates that the settings leave out, and how much of the tissue was on screen.

    Parameters
    ----------
    reviewing : Reviewing
    thumbnails : Thumbnails
    parent : QWidget, optional

    Attributes
    ----------
    chosen : Signal(int)
        A candidate was clicked: its row in the queue's frame.
    """

    chosen = Signal(int)

    def __init__(self, reviewing: Reviewing, thumbnails: Thumbnails, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reviewing = reviewing
        self._desk = reviewing.desk
        self.coverage = annotating_of(reviewing.desk).coverage
        self._following = False
        self.model = CandidateModel(reviewing, self, SECOND)
        self.gallery = Gallery(self.model, reviewing, thumbnails)
        selection = self.gallery.selectionModel()
        assert selection is not None  # a view with a model has one
        self._selection: QItemSelectionModel = selection
        self._make_widgets()
        self._lay_out()
        self.unseen.toggled.connect(self.coverage.show)
        self.go_unseen.clicked.connect(self._go_unseen)
        self.count.valueChanged.connect(reviewing.set_second_count)
        self._selection.currentRowChanged.connect(self._current_changed)
        self.coverage.changed.connect(self._covered)
        self._covered()

    def _make_widgets(self) -> None:
        self.count = QSpinBox()
        self.count.setRange(1, 500)
        self.count.setMaximumWidth(90)
        self.count.setValue(self._reviewing.second_count)
        self.count.setToolTip("How many of the best candidates that the settings leave out are to be looked at")
        self.summary = faint()
        self.summary.setWordWrap(False)
        self.summary.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.share = QProgressBar()
        self.share.setRange(0, 1000)
        self.share.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.share.setToolTip(
            "Share of the tissue that was on screen for half a second at 0.5 µm or less for each screen pixel (20×)"
        )
        self.unseen = tool("Show unseen", "Darken the tissue that was not seen yet", checkable=True)
        self.go_unseen = tool("Next unseen", "Go to the view that shows the most tissue that was not seen yet")
        for button in (self.unseen, self.go_unseen):
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.setSpacing(5)
        line = row(QLabel("Best"), self.count, QLabel("left out"), self.summary)
        line.setStretchFactor(self.summary, 1)
        column.addLayout(line)
        column.addWidget(self.gallery, 1)
        column.addLayout(row(QLabel("Tissue seen"), self.share, self.unseen, self.go_unseen))

    def follow(self) -> None:
        """Bring gallery and words up to date with the queue."""
        self._following = True
        self.model.follow()
        self._following = False
        self._summarise()

    def show_target(self) -> None:
        """Select the target, and scroll to it; nothing where it is in another list."""
        index = self.model.index_of(self._reviewing.queue.present)
        flags = QItemSelectionModel.SelectionFlag
        self._following = True
        if index.isValid():
            self._selection.setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)
            self.gallery.show_index(index)
        else:
            self._selection.clear()
        self._following = False

    def _current_changed(self, current: QModelIndex, _before: QModelIndex) -> None:
        candidate = current.data(ROW_ROLE) if current.isValid() else None
        if candidate is not None and not self._following:
            self.chosen.emit(int(candidate))

    # Coverage

    def _go_unseen(self) -> None:
        key = self._desk.session.active
        coverage, view = self.coverage.of(key), self.coverage.view(key)
        if coverage is None or view is None:
            return
        (y0, x0, y1, x1), um_per_px = view
        shrink = min(1.0, coverage.enough.um_per_screen_px / um_per_px)  # as close as it takes to count
        centre = coverage.next_view((y1 - y0) * shrink, (x1 - x0) * shrink)
        if centre is None:
            return
        camera = camera_of(self._desk.viewer)
        owner = self._desk.fields.layer(str(key))
        camera.center = tuple(float(value) for value in owner.data_to_world(centre))
        camera.zoom = camera.zoom / shrink

    def _covered(self, *_: object) -> None:
        """The share of tissue that was seen."""
        coverage = self.coverage.of(self._desk.session.active)
        share = coverage.share if coverage is not None else 0.0
        self.share.setEnabled(coverage is not None)
        value, percent = int(share * 1000), int(share * 100)  # 100 only when all of it was seen
        if value != self.share.value():  # a new value of it draws the whole window
            self.share.setValue(value)
        self.share.setFormat(f"{percent} %" if coverage is not None else "the pixel size is unknown")
        self.go_unseen.setEnabled(coverage is not None and share < 1.0)
        self.unseen.setEnabled(coverage is not None)

    def _summarise(self) -> None:
        state, queue = self._desk.session.current, self._reviewing.queue
        if self._reviewing.blind:
            self.summary.setText(BLIND)
        elif state is None or state.result is None:
            self.summary.setText(NO_RESULT)
        elif not queue.left_out_count:
            self.summary.setText(NOTHING)
        else:
            labels = ("mitosis", "mimic", "unsure")
            counts = [queue.count(label, SECOND) for label in labels]
            said = ", ".join(counted(number, label) for number, label in zip(counts, labels, strict=True) if number)
            self.summary.setText(said or f"{len(queue.second)} to judge")
        self.summary.setToolTip(self.summary.text())
