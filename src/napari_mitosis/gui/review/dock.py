"""The "Review" dock: candidates one by one, a key each; gallery and table; the tabs for what the queue misses."""

from collections.abc import Callable
from functools import partial

import napari
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QLabel, QPushButton, QScrollArea, QTabWidget, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from ...annotations.actions import PHASES
from ...review.queue import ORDERS
from ...tables import LABELS
from ..annotate.blind import BlindPanel
from ..annotate.panel import AnnotatePanel
from ..annotate.second_look import SecondLookPanel
from ..page import Page
from ..preferences import Preferences
from .browser import Browser
from .keys_dialog import KeysDialog
from .marker import DEFAULT, MAGNIFICATIONS, Marker, look_at, zoom_for
from .queue_panel import STYLE, TALL, QueuePanel
from .review_keys import ReviewKeys
from .reviewing import Reviewing
from .thumbnails import Thumbnails

WIDTH_PX = 456
SECOND = 2
"""Place of the tab of the second look."""

PAUSE_MS = 150
"""The Points layer's selection follows in a pause of the keys."""


class ReviewDock(Page):
    """Reviews the candidates of the active field.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__(viewer)
        self.preferences = Preferences()
        self.keys = ReviewKeys(self.preferences, viewer)
        self._down = False
        self._content: QWidget | None = None
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        self._pause.timeout.connect(self._select_detection)
        self.setStyleSheet(STYLE)
        self.setMinimumWidth(WIDTH_PX)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(8, 6, 8, 6)
        self._column.setSpacing(6)
        self.trouble = QLabel()
        self.trouble.setObjectName("trouble")
        self.trouble.setWordWrap(True)
        self.trouble.hide()
        self.empty = _Empty()
        self.empty.button.clicked.connect(self._help_out)
        self._column.addWidget(self.trouble)
        self.empty.setSizePolicy(*TALL)
        self._column.addWidget(self.empty)
        self._start()

    def _start(self) -> None:
        """Build everything about the desk."""
        desk = self.desk
        kept = self.preferences
        order, below = kept.get("review_order", "score"), kept.get("review_below", False)
        order = order if order in ORDERS else "score"
        closeness = kept.get("review_closeness", DEFAULT)
        self.reviewing = Reviewing(desk, self, order, below)
        self.thumbnails = Thumbnails(desk.workers, self)
        self.marker = Marker(self.viewer, self)
        self.magnification = closeness if closeness in MAGNIFICATIONS else DEFAULT
        self._content = QWidget()
        self._content.setSizePolicy(*TALL)
        column = QVBoxLayout(self._content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        self.panel = QueuePanel(self.reviewing, self.thumbnails, self.keys)
        self.browser = Browser(self.reviewing, self.thumbnails)
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        column.addWidget(self.panel)
        column.addWidget(self.tabs, 1)
        self._column.addWidget(self._content, 1)
        self._add_tabs()
        with signals_blocked(self.panel):
            self.panel.order.setCurrentIndex(max(0, self.panel.order.findData(order)))
            self.panel.below.setChecked(below)
            self.panel.magnification.setCurrentIndex(max(0, self.panel.magnification.findData(self.magnification)))
        self._connect()
        self.keys.bind(self.actions_by_name())
        self._show_keys()
        self._show_trouble(desk.warning)
        self._show_rows()
        self._show_present(False)

    def _add_tabs(self) -> None:
        self.tabs.addTab(self.browser, "Candidates")
        for title, kind in (("Annotate", AnnotatePanel), ("Second look", SecondLookPanel), ("Blind first", BlindPanel)):
            scroll = QScrollArea()
            scroll.setWidgetResizable(True)
            scroll.setFrameShape(QScrollArea.Shape.NoFrame)
            scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
            scroll.setWidget(part := kind(self.desk))
            if isinstance(part, SecondLookPanel):
                self.second = part
            self.tabs.addTab(scroll, title)
        self.tabs.setCornerWidget(self.browser.switch, Qt.Corner.TopRightCorner)

    def _connect(self) -> None:
        desk, reviewing, panel = self.desk, self.reviewing, self.panel
        desk.trouble.connect(self._show_trouble)
        desk.session.field_changed.connect(self.thumbnails.forget)
        desk.session.closed.connect(self.thumbnails.forget)
        desk.notebook_changed.connect(lambda _key: self.panel.show_present())
        reviewing.rows_changed.connect(self._show_rows)
        reviewing.notes_changed.connect(self._show_notes)
        reviewing.present_changed.connect(self._show_present)
        reviewing.said.connect(panel.say)
        panel.wanted.connect(lambda name: self.actions_by_name()[name]())
        panel.order_chosen.connect(self._set_order)
        panel.below_chosen.connect(self._set_below)
        panel.magnification_chosen.connect(self._set_magnification)
        panel.reader_entered.connect(self._set_reader)
        panel.keys_wanted.connect(self._change_keys)
        self.browser.chosen.connect(reviewing.look_at)
        self.tabs.currentChanged.connect(self._tab_changed)

    def actions_by_name(self) -> dict[str, Callable[[], object]]:
        """What each key and button does."""
        reviewing, looking = self.reviewing, self.second
        actions: dict[str, Callable[[], object]] = {
            name: self._either(partial(reviewing.set_phase, name), _nothing) for name in PHASES
        }
        for name in LABELS:
            actions[name] = self._either(partial(reviewing.say, name), partial(looking.judge, name))
        return actions | {
            "skip": self._either(reviewing.skip, looking.put_off),
            "next": self._either(partial(reviewing.go, 1), partial(looking.step, 1)),
            "back": self._either(partial(reviewing.go, -1), partial(looking.step, -1)),
            "undo": partial(reviewing.turn, True),
            "redo": partial(reviewing.turn, False),
        }

    def _either(self, queue: Callable[[], object], second: Callable[[], object]) -> Callable[[], object]:
        """What a key does to the present candidate of the queue, or to that of the second look, which is in front."""

        def act() -> object:
            return second() if self._second else queue()

        return act

    # Showing

    def _show_rows(self) -> None:
        """Other candidates, another order or another field."""
        self.browser.follow()
        self.panel.show_orders()
        self._show_empty()
        state = self.desk.session.current
        self.panel.field.setText(state.field.name if state is not None else "")
        if self.isVisible() and self.reviewing.queue.present is None:
            self.reviewing.engage()

    def _show_notes(self) -> None:
        """More is on record."""
        self.browser.follow()
        self.panel.show_present()

    def _show_present(self, move: bool) -> None:
        """Another candidate is the present one: mark it, go there, select it everywhere."""
        self.panel.show_present()
        self.browser.show_present()
        present, state, key = self.reviewing.present, self.desk.session.current, self.reviewing.key
        if present is None or state is None or state.field.mpp is None or self._second:
            self.marker.hide()
            return
        owner = self.desk.fields.layer(str(key))
        centre = (float(present["y_px"]), float(present["x_px"]))
        self._pause.start()
        self.marker.show(owner, centre, state.field.mpp)
        if move and self.isVisible():
            zoom = zoom_for(self.magnification, owner, state.field.mpp, self.marker.canvas_height_px)
            look_at(self.viewer, owner, centre, zoom)

    def _select_detection(self) -> None:
        """Select it in the Points layer, where it is a detection. Not at once: the layer takes longer than the rest."""
        key, row = self.reviewing.key, self.reviewing.queue.present
        if row is not None and not self.desk.is_closed and key in self.desk.session:
            kept = self.reviewing.queue.frame["kept"].to_numpy(dtype=bool)
            self.desk.fields.results(str(key)).select(int(kept[:row].sum()) if kept[row] else None)
            self.reviewing.annotating.select(self.reviewing.note(row)["figure"])

    def _show_empty(self) -> None:
        """Say what to do where there is nothing to review."""
        state, queue = self.desk.session.current, self.reviewing.queue
        dropped = len(queue.frame)
        if state is None:
            self.empty.say("Open a field first", "File > Open, or File > Open Sample.", None)
        elif self.reviewing.blind:
            self.empty.say(
                "This field is read blind", "Its candidates come up once you reveal them (Blind first).", None
            )
        elif state.result is None:
            self.empty.say(
                "Nothing was detected in this field yet",
                "Detect first: then each candidate comes up here, and one key judges it.",
                "Detect mitoses",
            )
        elif not len(queue) and dropped:
            self.empty.say("The rule keeps no candidate", "", f"Review the {dropped} that it drops")
        elif not len(queue):
            self.empty.say(
                "The detector found nothing", "Lower its threshold in the detect dock, or mark by hand.", None
            )
        self._show_parts()

    def _show_parts(self) -> None:
        """The queue's panel, or what to do without one; neither above the second look, which has its own candidates."""
        there = bool(len(self.reviewing.queue))
        panel, empty = there and not self._second, not there and not self._second
        # Hidden first: both at once, if only for a moment, would make the window grow, and it stays so.
        for part, yes in sorted(((self.panel, panel), (self.empty, empty)), key=lambda pair: pair[1]):
            part.setVisible(yes)

    @property
    def _second(self) -> bool:
        """Whether the second look is in front: its candidates are those that keys judge."""
        return self.tabs.currentIndex() == SECOND

    def _tab_changed(self) -> None:
        self._show_parts()
        self._show_present(False)

    def _help_out(self) -> None:
        """The button of the empty state."""
        if self.reviewing.result is None:
            self.empty.say("Detecting…", "The review begins as soon as the detector is done.", None)
            self.desk.detect_wanted.emit()
        else:
            self.panel.below.setChecked(True)

    def _show_trouble(self, text: str) -> None:
        self.trouble.setText(f"⚠ {text}")
        self.trouble.setVisible(bool(text))

    # What the reader chooses

    def _set_order(self, order: str) -> None:
        self.preferences.set("review_order", order)
        self.reviewing.set_order(order)
        self._chosen()

    def _set_below(self, below: bool) -> None:
        self.preferences.set("review_below", below)
        self.reviewing.set_below(below)
        self._chosen()

    def _set_magnification(self, name: str) -> None:
        self.preferences.set("review_closeness", name)
        self.magnification = name
        self._chosen()
        self._show_present(True)

    def _set_reader(self, name: str) -> None:
        self.desk.set_reader(name)
        self.panel.reader.setText(self.desk.reader)
        if self.panel.reader.hasFocus():
            self._chosen()

    def _chosen(self) -> None:
        """Letters are keys of the review again, not a search in a list or part of a name."""
        self.panel.show_present()
        self.setFocus()

    def _change_keys(self) -> None:
        self.keys.unbind()
        dialog = KeysDialog(self.keys, self)
        dialog.finished.connect(self._keys_changed)
        dialog.open()

    def _keys_changed(self, *_: object) -> None:
        if not self._down and not self.desk.is_closed:
            self.keys.bind(self.actions_by_name())
            self._show_keys()

    def _show_keys(self) -> None:
        self.panel.show_keys()
        self.second.show_keys({name: self.keys.pretty(name) for name in ("mitosis", "mimic", "skip")})

    # Coming and going

    def showEvent(self, event: QShowEvent | None) -> None:
        """Whatever was looked at last is looked at again."""
        super().showEvent(event)
        QTimer.singleShot(0, self._shown)

    def _shown(self) -> None:
        if self._down or self.desk.is_closed or not self.isVisible():
            return
        self.panel.reader.setText(self.desk.reader)
        self.desk.tissue_wanted.emit()
        self.reviewing.engage()

    def _let_go(self) -> None:
        self._pause.stop()
        self.keys.unbind()
        self.reviewing.stop()
        self.marker.remove()
        if self._content is not None:
            self._content.setParent(None)
            self._content.deleteLater()
            self._content = None

    def shutdown(self) -> None:
        """Give the keys back and let go of the viewer; what was noted is in the journal."""
        if self._down:
            return
        self._down = True
        self._let_go()


def _nothing() -> None:
    """What a key does where it has no meaning."""


class _Empty(QWidget):
    """What to do where there is nothing to review."""

    def __init__(self) -> None:
        super().__init__()
        self.title, self.text, self.button = QLabel(), QLabel(), QPushButton()
        self.title.setObjectName("place")
        self.text.setObjectName("faint")
        self.button.setObjectName("primary")
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 40, 20, 40)
        column.setSpacing(12)
        for one in (self.title, self.text):
            one.setWordWrap(True)
            one.setAlignment(Qt.AlignmentFlag.AlignCenter)
            column.addWidget(one)
        column.addWidget(self.button, 0, Qt.AlignmentFlag.AlignCenter)

    def say(self, title: str, text: str, button: str | None) -> None:
        """Show a title, a sentence, and a button if there is one."""
        self.title.setText(title)
        self.text.setText(text)
        self.text.setVisible(bool(text))
        self.button.setText(button or "")
        self.button.setVisible(button is not None)
