"""The bar above every step: which field, what was counted in it by whom, and how far the review is."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QDateTime, QLocale, Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QToolButton

from ...session import Result
from ..card import short
from ..desk import Desk
from ..keys import pretty

COUNTS_TIP = (
    "The reviewed count: mitoses on record, accepted or marked by hand. Behind it: what the detector counts under "
    "the rule that is set now."
)
DENSITY_TIP = (
    "Mitoses per mm² of this field, with the 95 % interval of a Poisson count. It tells nothing of what was missed."
)
PAUSE_MS = 40
"""After a judgement the next candidate is drawn first: the count follows a moment later."""

GRID_TIP = (
    "Squares of one high-power field: as large as a tenth of the hotspot of the Report step, 0.237 mm² unless it is set"
)

LINE_TIP = "Measure: drag a line over the field and read its length; it is kept nowhere, and Esc ends it"

JUDGED_TIP = "How many of the detections were judged in the review"


class ResultBar(QFrame):
    """Shows the active field. A result carries its own model, rule and time, whatever is selected elsewhere.

    Parameters
    ----------
    desk : Desk

    Attributes
    ----------
    field_wanted : Signal(int)
        The next field (1) or the previous one (-1).
    step_wanted : Signal(str)
        Another step of the panel.
    """

    field_wanted = Signal(int)
    step_wanted = Signal(str)

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self._selected = ""
        self.setObjectName("summary")
        self.previous, self.next, self.grid, self.line = (QToolButton() for _ in range(4))
        self.field = _label("field", wide=True)
        self.mpp = _label("faint")
        self.count = _label("count")
        self.what = _label("")
        self.density = _label("density")
        self.interval = _label("faint")
        self.model = _label("faint", wide=True)
        self.judged = _label("faint")
        self.other = _label("amber", wide=True)
        self.about_grid, self.about_line = _label("faint"), _label("")
        self._lay_out()
        self.previous.clicked.connect(lambda: self.field_wanted.emit(-1))
        self.next.clicked.connect(lambda: self.field_wanted.emit(1))
        session = desk.session
        for signal in (session.active_changed, session.result_changed, session.field_changed):
            signal.connect(self._show)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(PAUSE_MS)
        self._soon.timeout.connect(self._show)
        desk.counts.changed.connect(self._later)
        desk.blind.changed.connect(self._show)
        desk.fields.changed.connect(self._show)
        desk.closed.connect(self._soon.stop)
        desk.model_selected.connect(self._select)
        self._show()

    def _lay_out(self) -> None:
        for button, text, what, name in (
            (self.previous, "◀", "Previous field", "previous_field"),
            (self.next, "▶", "Next field", "next_field"),
        ):
            button.setText(text)
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            button.setToolTip(f"{what} ({pretty(name)})")
        for button, text, tip, name in (
            (self.grid, "▦", GRID_TIP, "hpf_grid"),
            (self.line, "↔", LINE_TIP, "measure"),
        ):
            button.setText(text)
            button.setCheckable(True)
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            button.setToolTip(f"{tip} ({pretty(name)})")
        for sentence in (self.about_grid, self.about_line):
            sentence.setWordWrap(True)
            sentence.hide()
        self.count.setToolTip(COUNTS_TIP)
        self.what.setToolTip(COUNTS_TIP)
        self.density.setToolTip(DENSITY_TIP)
        self.interval.setToolTip(DENSITY_TIP)
        self.judged.setToolTip(JUDGED_TIP)
        self.what.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        top = QHBoxLayout()
        top.setSpacing(4)
        for part in (self.previous, self.field, self.mpp, self.grid, self.line, self.next):
            top.addWidget(part, 1 if part is self.field else 0)
        grid = QGridLayout(self)
        grid.setContentsMargins(8, 3, 8, 4)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(1)
        grid.setColumnStretch(1, 1)
        right = Qt.AlignmentFlag.AlignRight
        grid.addLayout(top, 0, 0, 1, 3)
        grid.addWidget(self.count, 1, 0, 2, 1)
        grid.addWidget(self.what, 1, 1, 2, 1)
        grid.addWidget(self.density, 1, 2, right)
        grid.addWidget(self.interval, 2, 2, right)
        grid.addWidget(self.model, 3, 0, 1, 2)
        grid.addWidget(self.judged, 3, 2, right)
        grid.addWidget(self.other, 4, 0, 1, 3)
        grid.addWidget(self.about_grid, 5, 0, 1, 3)
        grid.addWidget(self.about_line, 6, 0, 1, 3)

    def show_grid(self, wanted: bool, sentence: str) -> None:
        """Show whether the HPF grid is wanted, and what is to be said of it."""
        _show_tool(self.grid, self.about_grid, wanted, sentence)

    def show_line(self, on: bool, sentence: str) -> None:
        """Show whether a length is measured, and the length."""
        _show_tool(self.line, self.about_line, on, sentence)

    def _later(self, *_: object) -> None:
        self._soon.start()

    def _select(self, name: str) -> None:
        """Another model is selected: what is shown stays what the one that ran has seen."""
        self._selected = name
        self._show()

    def _show(self, *_: object) -> None:
        session = self._desk.session
        key, state = session.active, session.current
        several = len(session) > 1
        for button in (self.previous, self.next):
            button.setVisible(several)
        if state is None:
            self.field.setText("No field is open")
            self._clear()
            return
        mpp = state.field.mpp
        self.field.setText(state.field.name)
        self.field.setToolTip(state.field.name)
        self.mpp.setText("µm/px unknown" if mpp is None else f"{mpp:.3g} µm/px")
        if self._desk.blind.blind(key):
            self._clear()
            self.what.setText("Read blind: counts are shown once you reveal them")
            return
        self._show_counts(key, state.result)
        self._show_model(state.result, key)

    def _clear(self) -> None:
        for part in (self.count, self.what, self.density, self.interval, self.model, self.judged, self.other):
            part.setText("")
        self.other.hide()

    def _show_counts(self, key: Any, result: Result | None) -> None:
        counts = self._desk.counts.of(key)
        reviewed = counts is not None and bool(counts.judged or counts.mitoses)
        if result is None and not reviewed:
            self._clear()
            self.count.setText("–")
            self.what.setText("not detected yet")
            return
        detected = len(result.detections) if result is not None else None
        count = counts.mitoses if counts is not None and reviewed else detected or 0
        self.count.setText(str(count))
        if counts is not None and reviewed:
            behind = f"reviewed<br>{detected} by the detector" if detected is not None else "reviewed"
            self.judged.setText(f"{counts.judged} of {detected} judged" if detected else "")
        else:
            behind = f"{'mitosis' if detected == 1 else 'mitoses'}<br>not reviewed yet"
            self.judged.setText(f"0 of {detected} judged" if detected else "")
        self.what.setText(behind)
        self._show_density(key, count, result)

    def _show_density(self, key: Any, count: int, result: Result | None) -> None:
        """Of the count that is shown large."""
        field = self._desk.session[key].field
        if field.mpp is None:
            return
        if result is not None:
            from ...measures.grade import mitotic_density  # loaded with the first result, in its worker

            density = mitotic_density(count, result.density.area_mm2)
            self.density.setText(f"{density.per_mm2:.1f} / mm²")
            self.interval.setText(f"95 % {density.low:.1f}–{density.high:.1f} in {density.area_mm2:.3f} mm²")
        else:
            self.density.setText(f"{count / field.area_mm2():.1f} / mm²")
            self.interval.setText(f"in {field.area_mm2():.3f} mm²")

    def _show_model(self, result: Result | None, key: Any) -> None:
        """Which model the result is of, under which rule, when; and that the selected one did not run."""
        if result is None:
            self.model.setText("")
        else:
            time = self._desk.seen_at.get(key)
            today = time is not None and time.date() == QDateTime.currentDateTime().date()
            moment = "" if time is None else QLocale().toString(time, "HH:mm" if today else "d MMM HH:mm")
            rule = "" if result.rule == result.preset else " · rule changed"
            self.model.setText(f"{_title(result)}{rule}{f' · {moment}' if moment else ''}")
            self.model.setToolTip(f"{result.evidence.model}\n{_rule_in_words(result)}")
        card = result.card if result is not None else None
        differs = bool(self._selected) and card is not None and self._selected != card.name
        self.other.setVisible(differs)
        self.other.setText(f"{self._selected}: not run on this field" if differs else "")


def _show_tool(button: QToolButton, about: QLabel, on: bool, sentence: str) -> None:
    button.setChecked(on)
    about.setText(sentence)
    about.setVisible(bool(sentence))


def _title(result: Result) -> str:
    """The model by name and version, and its verifier's where one looked."""
    second = result.evidence.model.partition(f"{result.card.name}+")[2]
    verifier = f" + {second}" if "@" in second else ""
    return f"{short(result.card)}{verifier}"


def _rule_in_words(result: Result) -> str:
    rule = result.rule
    weights = ", ".join(f"{name} {share:.2f}" for name, share in rule.weights)
    parts = [f"score > {rule.min_score:.2f}", f"area > {rule.min_area_um2:g} µm²", f"threshold {result.threshold:.2f}"]
    return "Rule: " + ", ".join([*parts, *([f"weights {weights}"] if weights else [])])


def _label(name: str, wide: bool = False) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    if wide:
        label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label
