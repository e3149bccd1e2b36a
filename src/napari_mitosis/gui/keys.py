"""The keys of the panel, whatever step is in front: none of them is one of napari's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from napari.components import ViewerModel

KEYS: Mapping[str, str] = MappingProxyType(
    {
        "run": "Shift-D",
        "cancel": "Shift-Q",
        "next": "N",
        "previous": "Shift-N",
        "score_map": "H",
        "detections": "J",
        "labels": "K",
        "boxes": "Shift-J",
        "less": ",",
        "more": ".",
        "area_down": "9",
        "area_up": "0",
        "next_field": "Shift-PageDown",
        "previous_field": "Shift-PageUp",
        "bare": "8",
        "fit": "Shift-F",
        "view_10x": "Alt-1",
        "view_20x": "Alt-2",
        "view_40x": "Alt-4",
        "hpf_grid": "Alt-5",
        "measure": "Alt-6",
    }
)
"""What each key does, in napari's notation."""

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "run": "Detect in the active field",
        "cancel": "Cancel the run",
        "next": "Next detection, best score first",
        "previous": "Previous detection",
        "score_map": "Score map on or off",
        "detections": "Detections on or off",
        "labels": "Concentric labels on or off",
        "boxes": "Boxes on or off",
        "less": "Less sensitive: fewer detections",
        "more": "More sensitive: more detections",
        "area_down": "Lower the smallest area",
        "area_up": "Raise the smallest area",
        "next_field": "Next field",
        "previous_field": "Previous field",
        "bare": "Held down: nothing but tissue",
        "fit": "The whole field",
        "view_10x": "As through a 10x objective",
        "view_20x": "As through a 20x objective",
        "view_40x": "As through a 40x objective",
        "hpf_grid": "Squares of one high-power field on or off",
        "measure": "Measure a length on or off",
    }
)


def pretty(action: str) -> str:
    """The key of an action as a person writes it."""
    return KEYS[action].replace("-", "+")


def help_page() -> str:
    """All keys as a small table."""
    rows = "".join(f"<tr><td><b>{pretty(name)}</b>&nbsp;&nbsp;</td><td>{MEANINGS[name]}</td></tr>" for name in KEYS)
    return f"<table>{rows}</table>"


def bind(viewer: ViewerModel, actions: Mapping[str, Callable[[], object]]) -> None:
    """Bind each action to its key in a viewer; an older dock's binding is replaced."""
    for name, action in actions.items():
        viewer.bind_key(KEYS[name], _called(action, MEANINGS[name]), overwrite=True)


def hold(viewer: ViewerModel, name: str, switch: Callable[[bool], object]) -> None:
    """Bind what is switched on while a key is held down, and off when it is let go."""

    def held(_viewer: ViewerModel) -> Iterator[None]:
        switch(True)
        yield
        switch(False)

    held.__doc__ = MEANINGS[name]
    viewer.bind_key(KEYS[name], held, overwrite=True)


def unbind(viewer: ViewerModel, names: Iterable[str]) -> None:
    """Give the keys of these actions back."""
    for name in names:
        viewer.bind_key(KEYS[name], None, overwrite=True)


def _called(action: Callable[[], object], meaning: str) -> Callable[[ViewerModel], None]:
    def pressed(_viewer: ViewerModel) -> None:
        action()

    pressed.__doc__ = meaning
    return pressed
