"""The keys of the review while something else is judged: borrowed, and given back as they were."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import napari
from app_model.types import KeyBinding
from napari.components import ViewerModel

from ..preferences import Preferences
from ..review.review_keys import ReviewKeys, pretty

SHOW_WORDS = "Shift-S"
BORROWED = ("mitosis", "mimic", "unsure", "next", "back")


class BorrowedKeys:
    """Takes the keys with which a reader judges, and returns them.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._owners: dict[str, Any] = {}
        self.keys: dict[str, str] = {}
        self.read()

    def read(self) -> None:
        """The keys as the reader set them in the review."""
        known = ReviewKeys(Preferences(), self._viewer).keys
        self.keys = {**{name: known[name] for name in BORROWED}, "words": SHOW_WORDS}

    def pretty(self, name: str) -> str:
        """A key as a person writes it."""
        return pretty(self.keys[name])

    @property
    def taken(self) -> bool:
        """Whether they are borrowed now."""
        return bool(self._owners)

    def take(self, actions: Mapping[str, Callable[[], object]]) -> None:
        """Bind each action to its key; whoever has it gets it back."""
        if self.taken:
            return
        self.read()
        for name, act in actions.items():
            key = self.keys[name]
            self._owners[key] = self._viewer.keymap.get(KeyBinding.validate(key.replace("Control", "Ctrl")))
            self._viewer.bind_key(key, _called(act), overwrite=True)

    def give_back(self) -> None:
        """As it was before."""
        for key, owner in self._owners.items():
            self._viewer.bind_key(key, owner, overwrite=True)
        self._owners = {}


def _called(act: Callable[[], object]) -> Callable[[ViewerModel], None]:
    def pressed(_viewer: ViewerModel) -> None:
        act()

    return pressed
