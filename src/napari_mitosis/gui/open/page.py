"""The first step: open fields, and go from one to the next."""

from __future__ import annotations

from pathlib import Path

import napari
from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QDialog,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QTextBrowser,
    QVBoxLayout,
)

from ...fields.npe2_reader import SUFFIXES
from ..card import DISCLAIMER
from ..keys import pretty
from ..page import Page
from .fields_list import FieldsList
from .opening import Opening
from .pixel_size import PixelSizeRow, pixel_sizes_of

PLUGIN = "napari-mitosis"
SAMPLES = (("hotspot", "Hotspot"), ("mimics", "Look-alikes"), ("quiet", "Quiet"))
GUIDE = Path(__file__).with_name("guide.md")


class FieldsPage(Page):
    """The welcome card while nothing is open, then the list of fields.

    Parameters
    ----------
    viewer : napari.Viewer

    Attributes
    ----------
    detect_all_wanted : Signal()
    first_opened : Signal()
        The one field that is open is the first: there is nothing to choose from in the list.
    """

    detect_all_wanted = Signal()
    first_opened = Signal()

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__(viewer)
        desk = self.desk
        self.welcome = Welcome()
        self.list = FieldsList(desk)
        self.pixel_size = PixelSizeRow(desk, pixel_sizes_of(desk), only_unknown=False)
        self.open_field = QPushButton("Open field…")
        self.open_folder = QPushButton("Open folder…")
        self.detect_all = QPushButton("Detect in all")
        self.detect_all.setToolTip("Let the selected model look at every field that it has not looked at yet")
        self.hint = QLabel(f"{pretty('previous_field')} and {pretty('next_field')} go from field to field.")
        self.hint.setObjectName("faint")
        self.busy = QLabel()
        self.busy.setObjectName("faint")
        self.busy.setWordWrap(True)
        self.busy.setVisible(False)
        self.opening = Opening(desk, self)
        self._before = 0
        self._lay_out()
        self.opening.told.connect(self._tell_opening)
        self.opening.ended.connect(self._tell_first)
        self.list.chosen.connect(desk.fields.choose)
        self.open_field.clicked.connect(self.ask_for_files)
        self.open_folder.clicked.connect(self.ask_for_folder)
        self.detect_all.clicked.connect(self.detect_all_wanted)
        self.welcome.open_field.clicked.connect(self.ask_for_files)
        self.welcome.open_folder.clicked.connect(self.ask_for_folder)
        self.welcome.sample_wanted.connect(self.open_sample)
        desk.fields.changed.connect(self._show)
        self._show()

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        column.setSpacing(6)
        row = QHBoxLayout()
        for button in (self.open_field, self.open_folder, self.detect_all):
            row.addWidget(button)
        column.addWidget(self.welcome)
        column.addLayout(row)
        column.addWidget(self.busy)
        column.addWidget(self.list, 1)
        column.addWidget(self.pixel_size)
        column.addWidget(self.hint)
        column.addStretch(0)

    def _show(self) -> None:
        there = bool(len(self.desk.session))
        self.welcome.setVisible(not there)
        for part in (self.list, self.open_field, self.open_folder, self.detect_all, self.hint):
            part.setVisible(there)

    def ask_for_files(self) -> None:
        """Let the user choose image files, and open them."""
        kinds = " ".join(f"*{suffix}" for suffix in SUFFIXES)
        chosen, _ = QFileDialog.getOpenFileNames(self, "Open fields", "", f"Images ({kinds})")
        self.open_paths([Path(name) for name in chosen])

    def ask_for_folder(self) -> None:
        """Let the user choose a folder, and open every image in it."""
        chosen = QFileDialog.getExistingDirectory(self, "Open every image of a folder")
        if chosen:
            self.open_paths([Path(chosen)])

    def open_paths(self, paths: list[Path]) -> None:
        """Open these files, or all images of a folder, as fields; nothing asks which reader is meant."""
        self._before = len(self.desk.session)
        self.opening.open(paths)

    def _tell_opening(self, text: str) -> None:
        self.busy.setText(text)
        self.busy.setVisible(bool(text))

    def open_sample(self, name: str) -> None:
        """Open a sample field."""
        self._before = len(self.desk.session)
        self.viewer.open_sample(PLUGIN, name)
        self._tell_first()

    def _tell_first(self) -> None:
        if not self._before and len(self.desk.session) == 1:
            self.first_opened.emit()


class Welcome(QFrame):
    """What to do first.

    Attributes
    ----------
    sample_wanted : Signal(str)
    """

    sample_wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("welcome")
        title = QLabel("Count mitoses in H&E fields")
        title.setObjectName("title")
        steps = QLabel(
            "<b>1. Open</b> a field at 40x (TIFF, SVS, PNG, BMP or JPEG).<br>"
            "<b>2. Detect:</b> a network proposes figures.<br>"
            "<b>3. Review:</b> you judge each with one key.<br>"
            "<b>4. Report:</b> the count per mm², with its interval."
        )
        steps.setWordWrap(True)
        terms = QLabel(DISCLAIMER)
        terms.setObjectName("amber")
        self.open_field = QPushButton("Open field…")
        self.open_field.setObjectName("primary")
        self.open_folder = QPushButton("Open folder…")
        self.tutorial = QPushButton("Tutorial (10 minutes)")
        self.tutorial.clicked.connect(self.show_guide)
        self.samples = {name: QPushButton(text) for name, text in SAMPLES}
        for name, button in self.samples.items():
            button.setToolTip("A drawn field, to try the steps: it says nothing of accuracy")
            button.clicked.connect(lambda _checked, name=name: self.sample_wanted.emit(name))
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 18)
        column.setSpacing(12)
        column.addWidget(title)
        column.addWidget(steps)
        column.addWidget(self.open_field)
        column.addWidget(self.open_folder)
        column.addWidget(QLabel("Sample fields"), 0, Qt.AlignmentFlag.AlignLeft)
        row = QHBoxLayout()
        for button in self.samples.values():
            row.addWidget(button)
        column.addLayout(row)
        column.addWidget(self.tutorial)
        column.addWidget(terms)

    def show_guide(self) -> None:
        """The tutorial in short, beside the window: it can be followed while it is read."""
        dialog = QDialog(self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setWindowTitle("Ten minutes with napari-mitosis")
        text = QTextBrowser()
        text.setMarkdown(GUIDE.read_text(encoding="utf-8"))
        column = QVBoxLayout(dialog)
        column.addWidget(text)
        dialog.resize(560, 520)
        dialog.show()
