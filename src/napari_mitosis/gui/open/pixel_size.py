"""The pixel size of a field: asked for where the file does not state it, and remembered by the pixels' digest."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QFrame, QGridLayout, QLabel, QPushButton
from superqt.utils import signals_blocked

from ...fields.field import Field
from ...jobs import Job, Progress
from ..desk import Desk
from ..field_layer import scale_field_layer
from ..preferences import Preferences
from .size_guess import SizeGuess

AT_40X = 0.25
REMEMBERED = "pixel_sizes"
GUESSED = "guessed_pixel_sizes"
"""Those of the remembered ones that are guesses."""
MOST_REMEMBERED = 5000


class PixelSizes(QObject):
    """Gives fields the um/px that their reader has stated, also after a restart.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._desk = desk
        self._preferences = Preferences()
        self._guessed: set[Any] = set()
        desk.session.opened.connect(self._opened)
        for key in desk.session:
            self._opened(key)

    def state(self, key: Any, mpp: float, folder: bool = False, guessed: bool = False) -> None:
        """The um/px of a field is this; with `folder`, also that of open fields of the same folder without one."""
        session = self._desk.session
        keys = [key]
        path = session[key].field.path
        if folder and path is not None:
            keys += [other for other in session if other != key and _beside(session[other].field, session[key].field)]
        for field_key in keys:
            self._mark(field_key, guessed)
            scale_field_layer(self._desk.fields.layer(str(field_key)), mpp)
            session.set_mpp(field_key, mpp)
            self._desk.workers.start(_digest(session[field_key].field, guessed), succeeded=self._remember)
        if folder and path is not None:
            self._keep(str(path.parent), mpp, guessed)

    def is_guess(self, key: Any) -> bool:
        """Whether the um/px of a field was guessed from its nuclei."""
        return key in self._guessed

    def _mark(self, key: Any, guessed: bool) -> None:
        (self._guessed.add if guessed else self._guessed.discard)(key)

    def _opened(self, key: Any) -> None:
        field = self._desk.session[key].field
        known = self._known()
        if field.mpp is None and known:
            if field.path is not None and (mpp := known.get(str(field.path.parent))) is not None:
                self._give(key, field, mpp, str(field.path.parent))
            else:
                self._desk.workers.start(_asked(key, field), succeeded=self._found)

    def _found(self, answer: tuple[Any, Field, str]) -> None:
        key, field, digest = answer
        mpp = self._known().get(digest)
        if mpp is not None:
            self._give(key, field, mpp, digest)

    def _give(self, key: Any, field: Field, mpp: float, name: str) -> None:
        session = self._desk.session
        if key in session and session[key].field.pixels is field.pixels:
            self._mark(key, name in self._preferences.get(GUESSED, []))
            scale_field_layer(self._desk.fields.layer(str(key)), mpp)
            session.set_mpp(key, mpp)

    def _known(self) -> dict[str, float]:
        return {str(name): float(mpp) for name, mpp in self._preferences.get(REMEMBERED, {}).items()}

    def _remember(self, answer: tuple[str, float, bool]) -> None:
        self._keep(*answer)

    def _keep(self, name: str, mpp: float, guessed: bool) -> None:
        guesses = [other for other in self._preferences.get(GUESSED, []) if other != name]
        self._preferences.set(GUESSED, [*guesses, *([name] if guessed else [])][-MOST_REMEMBERED:])
        known = {other: size for other, size in self._known().items() if other != name}
        self._preferences.set(REMEMBERED, dict([*known.items(), (name, mpp)][-MOST_REMEMBERED:]))


def _beside(other: Field, field: Field) -> bool:
    """Whether another field lies in the same folder and does not state its um/px."""
    same = other.path is not None and field.path is not None and other.path.parent == field.path.parent
    return same and other.mpp is None


def _digest(field: Field, guessed: bool) -> Job[tuple[str, float, bool]]:
    yield Progress(0, 1, "hashing the field")
    return field.digest, field.require_mpp("Remembering it"), guessed


def _asked(key: Any, field: Field) -> Job[tuple[Any, Field, str]]:
    yield Progress(0, 1, "hashing the field")
    return key, field, field.digest


class PixelSizeRow(QFrame):
    """Asks for the um/px of the active field.

    Parameters
    ----------
    desk : Desk
    sizes : PixelSizes
    only_unknown : bool
        Hide the row where the pixel size is known.
    """

    stated = Signal(float)

    def __init__(self, desk: Desk, sizes: PixelSizes, only_unknown: bool) -> None:
        super().__init__()
        self._desk = desk
        self._sizes = sizes
        self._only_unknown = only_unknown
        self.question = QLabel()
        self.question.setWordWrap(True)
        self.usual = QPushButton(f"40× scan = {AT_40X}")
        self.usual.setToolTip("Scanners at 40x take a pixel each 0.25 µm, within a few hundredths")
        self.mpp = QDoubleSpinBox()
        self.mpp.setRange(0.0, 20.0)
        self.mpp.setDecimals(4)
        self.mpp.setSingleStep(0.01)
        self.mpp.setSpecialValueText("other…")
        self.mpp.setSuffix(" µm/px")
        self.mpp.setKeyboardTracking(False)
        self.mpp.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.folder = QCheckBox("for all of this folder")
        self.folder.setToolTip("Fields of the same folder that do not state theirs get it too, now and later")
        self.guess = SizeGuess(desk)
        grid = QGridLayout(self)
        grid.setContentsMargins(8, 4, 8, 4)
        grid.setSpacing(4)
        grid.addWidget(self.question, 0, 0, 1, 3)
        grid.addWidget(self.usual, 1, 0)
        grid.addWidget(self.mpp, 1, 1)
        grid.addWidget(self.folder, 1, 2)
        grid.addWidget(self.guess, 2, 0, 1, 3)
        grid.setColumnStretch(2, 1)
        self.usual.clicked.connect(lambda: self._state(AT_40X))
        self.mpp.valueChanged.connect(self._state)
        self.guess.accepted.connect(lambda mpp: self._state(mpp, guessed=True))
        for signal in (desk.session.active_changed, desk.session.field_changed):
            signal.connect(self._show)
        self._show()

    def _state(self, mpp: float, guessed: bool = False) -> None:
        key = self._desk.session.active
        if key is not None and mpp > 0:
            self._sizes.state(key, mpp, self.folder.isChecked(), guessed)
            self.stated.emit(mpp)

    def _show(self, *_: object) -> None:
        state = self._desk.session.current
        field = state.field if state is not None else None
        unknown = field is not None and field.mpp is None
        self.setVisible(unknown or (field is not None and not self._only_unknown))
        self.usual.setVisible(unknown)
        self.guess.setVisible(unknown)
        if field is not None and unknown:
            self.guess.show_for(field)
        else:
            self.guess.forget()
        self.folder.setVisible(unknown and field is not None and field.path is not None)
        if self.objectName() != (name := "amberbox" if unknown else ""):
            self.setObjectName(name)
            style = self.style()
            if style is not None:
                style.polish(self)
        with signals_blocked(self.mpp):
            self.mpp.setValue(field.mpp if field is not None and field.mpp is not None else 0.0)
        if field is None:
            return
        if unknown:
            self.question.setText("⚠ The file does not state its pixel size. Areas and densities need it:")
        else:
            height, width = field.shape
            guess = " (a guess)" if self._sizes.is_guess(self._desk.session.active) else ""
            self.question.setText(f"{width} × {height} px, {field.area_mm2():.3f} mm². Pixel size{guess}:")


def pixel_sizes_of(desk: Desk) -> PixelSizes:
    """The pixel sizes of a desk; made when first asked for."""
    sizes = desk.findChild(PixelSizes)
    return sizes if isinstance(sizes, PixelSizes) else PixelSizes(desk)
