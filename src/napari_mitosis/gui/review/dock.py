"""The review: one target, judged with a key; the lists that it comes from; marking by hand; blind reading."""

from collections.abc import Callable
from functools import partial

import napari
from napari.layers import Layer
from qtpy.QtCore import Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from ...annotations.actions import PHASES
from ...review.orders import ORDERS
from ...review.target import CANDIDATES, SECOND
from ...tables import LABELS
from ..annotate.annotating import annotating_of
from ..annotate.cover import Cover
from ..page import Page
from ..places import COMPARISON, KIND_KEY
from ..preferences import Preferences
from .browser import Browser
from .judged_rings import JudgedRings
from .keys_dialog import KeysDialog
from .marker import DEFAULT, MAGNIFICATIONS, Marker, look_at, zoom_for
from .onward import Onward
from .parts import LISTS, Parts
from .queue_panel import STYLE
from .review_keys import ReviewKeys
from .reviewing import Reviewing
from .score_order import ScoreOrder
from .second_look import SecondLook
from .threshold_offer import ThresholdOffer
from .thumbnails import Thumbnails

WIDTH_PX = 456
PAUSE_MS = 150  # the Points layer's selection follows in a pause of the keys


class ReviewDock(Page):
    """Reviews the candidates of the active field.

    `report_wanted` asks for the report; it is offered after the last candidate once `onward.has_report` is set.
    """

    report_wanted = Signal()

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
        self._column.addWidget(self.trouble)
        self._start()

    def _start(self) -> None:
        """Build everything about the desk."""
        desk = self.desk
        kept = self.preferences
        order, below = kept.get("review_order", "score"), kept.get("review_below", False)
        order = order if order in ORDERS else "score"
        closeness = kept.get("review_closeness", DEFAULT)
        self.annotating = annotating_of(desk)
        self.reviewing = Reviewing(desk, self, order, below)
        self.thumbnails = Thumbnails(desk.workers, self)
        self.marker = Marker(self.viewer, self)
        self.magnification = closeness if closeness in MAGNIFICATIONS else DEFAULT
        self._cover = Cover(self.viewer, self._in_the_way)
        self._content = parts = Parts(desk, self.reviewing, self.thumbnails, self.keys)
        self.tabs, self.lists, self.pages = parts.tabs, parts.lists, parts.pages
        self.panel, self.browser, self.second = parts.panel, parts.browser, parts.second
        self.annotate, self.empty = parts.annotate, parts.empty
        self._column.addWidget(parts, 1)
        self.onward = Onward(desk, self.reviewing, self.panel, self)
        self.score_order = ScoreOrder(self.reviewing, self)
        self.rings = JudgedRings(self.reviewing, self)
        self.offer = ThresholdOffer(self.reviewing, parts.offer, self)
        with signals_blocked(self.panel), signals_blocked(self.browser):
            self.browser.order.setCurrentIndex(max(0, self.browser.order.findData(order)))
            self.browser.below.setChecked(below)
            self.panel.magnification.setCurrentIndex(max(0, self.panel.magnification.findData(self.magnification)))
        self._connect()
        self.keys.bind(self.actions_by_name())
        self._show_keys()
        self._show_trouble(desk.warning)
        self._show_rows()
        self._show_target(False)

    def _connect(self) -> None:
        desk, reviewing, panel = self.desk, self.reviewing, self.panel
        desk.trouble.connect(self._show_trouble)
        desk.session.field_changed.connect(self.thumbnails.forget)
        desk.session.closed.connect(self.thumbnails.forget)
        desk.notebook_changed.connect(lambda _key: self.panel.show_target())
        reviewing.rows_changed.connect(self._show_rows)
        reviewing.notes_changed.connect(self._show_notes)
        reviewing.target_changed.connect(self._show_target)
        reviewing.said.connect(panel.say)
        panel.wanted.connect(lambda name: self.actions_by_name()[name]())
        self.onward.second_wanted.connect(lambda: self.tabs.setCurrentIndex(LISTS.index(SECOND)))
        self.onward.field_wanted.connect(self._go_to_field)
        self.onward.report_wanted.connect(self.report_wanted)
        panel.magnification_chosen.connect(self._set_magnification)
        panel.reader_entered.connect(self._set_reader)
        panel.keys_wanted.connect(self._change_keys)
        self.browser.order_chosen.connect(self._set_order)
        self.browser.below_chosen.connect(self._set_below)
        self.browser.chosen.connect(reviewing.look_at)
        self.second.chosen.connect(reviewing.look_at)
        self.empty.button.clicked.connect(self._help_out)
        self.desk.peek.changed.connect(self.marker.set_aside)
        self.tabs.currentChanged.connect(self._tab_changed)

    def actions_by_name(self) -> dict[str, Callable[..., object]]:
        """What each key and button does."""
        reviewing = self.reviewing
        judging: dict[str, Callable[[], object]] = {name: partial(reviewing.say, name) for name in LABELS}
        judging |= {name: partial(reviewing.set_phase, name) for name in PHASES}
        judging |= {"skip": reviewing.skip}
        steps: dict[str, Callable[[], object]] = {
            "next": partial(reviewing.go, 1),
            "back": partial(reviewing.go, -1),
            "undo": partial(reviewing.turn, True),
            "redo": partial(reviewing.turn, False),
        }
        return {
            **{name: partial(self._in_sight, act) for name, act in judging.items()},
            **{name: partial(self._in_front, act) for name, act in steps.items()},
            "click": lambda: self.annotating.set_mode(not self.annotating.tool.on),
        }

    def _in_front(self, act: Callable[[], object]) -> None:
        """Do something to what the review shows, if it shows anything now."""
        if self.isVisible():
            act()
        else:
            self.viewer.status = "Open Review first: its keys act on what it shows."

    def _in_sight(self, act: Callable[[], object]) -> None:
        """Do something to the target, if its mark is on the screen; else bring it there, for the next key."""
        if self.marker.in_view or not self.isVisible():
            self._in_front(act)
            return
        self._show_target(True)
        self.panel.say("It was out of view: here it is. Press again to judge it.")

    # Showing

    def _show_rows(self) -> None:
        """Other candidates, another order or another field: the target may have another number."""
        self.panel.show_target()
        self.browser.follow()
        self.second.follow()
        self._list_in_front.show_target()
        self.browser.show_orders()
        self._show_empty()
        if self.isVisible() and self.reviewing.queue.present is None:
            self.reviewing.engage()

    def _show_notes(self) -> None:
        """More is on record."""
        self._list_in_front.follow()
        self.panel.show_target()

    @property
    def _list_in_front(self) -> Browser | SecondLook:
        """The list that is to be seen; the other one is brought up to date when it comes to the front."""
        return self.second if self.lists.currentWidget() is self.second else self.browser

    def _show_target(self, move: bool) -> None:
        """Another target: mark it, go there, select it everywhere."""
        self.panel.show_target()
        self._list_in_front.follow()
        self._list_in_front.show_target()
        self._show_empty()
        self._mark()
        target, state, key = self.reviewing.target, self.desk.session.current, self.reviewing.key
        if target is None or state is None or state.field.mpp is None:
            return
        self._pause.start()
        if move and self.isVisible():
            owner = self.desk.fields.layer(str(key))
            zoom = zoom_for(self.magnification, owner, state.field.mpp, self.marker.canvas_height_px)
            look_at(self.viewer, owner, target.place, zoom)

    def _mark(self) -> None:
        """The mark is about the target for as long as the review is to be seen."""
        target, state = self.reviewing.target, self.desk.session.current
        if target is None or state is None or state.field.mpp is None or not self.isVisible():
            self.marker.hide()
        else:
            self.marker.show(self.desk.fields.layer(str(self.reviewing.key)), target.place, state.field.mpp)

    def _select_detection(self) -> None:
        """Select it in the Points layer, where it is a detection. Not at once: the layer takes longer than the rest."""
        key, queue, target = self.reviewing.key, self.reviewing.queue, self.reviewing.target
        if queue.present is not None and target is not None and not self.desk.is_closed and key in self.desk.session:
            before = int(queue.frame["kept"].to_numpy(dtype=bool)[: queue.present].sum())
            self.desk.fields.results(str(key)).select(before if target.kept else None)
            self.annotating.select(target.figure)

    def _in_the_way(self, layer: Layer) -> bool:
        """A comparison's marks lie on the nuclei: not while these are judged."""
        return self.isVisible() and layer.metadata.get(KIND_KEY) == COMPARISON

    def _show_empty(self) -> None:
        """The target and its lists, or what to do where there is nothing to review."""
        state, queue = self.desk.session.current, self.reviewing.queue
        tab = self.tabs.currentIndex()
        if tab >= len(LISTS):
            self.pages.setCurrentIndex(tab)
            return
        there = queue.present is not None or len(queue.listed()) > 0
        if not there:
            detected = state is not None and state.result is not None
            name = state.field.name if state is not None else None
            self.empty.explain(name, self.reviewing.blind, detected, queue)
        self.pages.setCurrentIndex(0 if there else 1)

    def _tab_changed(self, tab: int) -> None:
        if tab < len(LISTS):
            self.lists.setCurrentIndex(tab)
            self._list_in_front.follow()
            self.reviewing.bring(LISTS[tab])
        self._show_empty()
        self._show_target(False)

    def _help_out(self) -> None:
        """The button of the empty state."""
        state = self.desk.session.current
        if state is not None and state.result is None:
            self.empty.say("Detecting…", "The review begins as soon as the detector is done.", None)
            self.desk.detect_wanted.emit()
        else:
            self.tabs.setCurrentIndex(LISTS.index(SECOND))

    def _go_to_field(self, key: str) -> None:
        self.desk.fields.choose(key)
        self.tabs.setCurrentIndex(LISTS.index(CANDIDATES))
        self._show_target(True)

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
        self._show_target(True)

    def _set_reader(self, name: str) -> None:
        self.desk.set_reader(name)
        self.panel.reader.setText(self.desk.reader)
        if self.panel.reader.hasFocus():
            self._chosen()

    def _chosen(self) -> None:
        """Letters are keys of the review again, not a search in a list or part of a name."""
        self.panel.show_target()
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
        self.annotate.show_key(self.keys.pretty("click"))

    # Coming and going

    def showEvent(self, event: QShowEvent | None) -> None:
        """Whatever was looked at last is looked at again."""
        super().showEvent(event)
        if not self._down and not self.desk.is_closed:
            self._mark()
        QTimer.singleShot(0, self._shown)

    def _shown(self) -> None:
        if self._down or self.desk.is_closed or not self.isVisible():
            return
        self.panel.reader.setText(self.desk.reader)
        self.desk.tissue_wanted.emit()
        self._cover.follow()
        self.reviewing.engage()
        self._show_target(True)

    def hideEvent(self, event: QHideEvent | None) -> None:
        """What nobody sees marks nothing, and hides nothing."""
        super().hideEvent(event)
        if not self._down and not self.desk.is_closed:
            self.marker.hide()
            self._cover.follow()

    def _let_go(self) -> None:
        self._pause.stop()
        self.keys.unbind()
        self.reviewing.stop()
        self.marker.remove()
        self._cover.stop()
        self.desk.peek.changed.disconnect(self.marker.set_aside)
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
