"""The keys of the review: their defaults, what is taken already, and how a reader changes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import napari
from app_model.types import KeyBinding, KeyCode
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points, Shapes, Surface, Tracks, Vectors
from napari.settings import get_settings
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtGui import QAction, QKeySequence  # type: ignore[attr-defined]

from .. import keys as detect_keys
from ..preferences import Preferences

ACTIONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "mitosis": ("G", "It is a mitosis; go on"),
        "mimic": ("W", "It is a look-alike, no mitosis; go on"),
        "unsure": ("U", "I am unsure; go on"),
        "skip": ("Q", "Put it off; go on"),
        "next": ("PageDown", "Next candidate, without a judgement"),
        "back": ("PageUp", "Back to the candidate before"),
        "undo": ("Shift-U", "Undo my last action in this field"),
        "redo": ("Shift-R", "Do it again"),
        "prophase": ("Control-1", "Phase: prophase"),
        "metaphase": ("Control-2", "Phase: metaphase"),
        "anaphase": ("Control-3", "Phase: anaphase"),
        "telophase": ("Control-4", "Phase: telophase"),
        "atypical": ("Control-5", "Phase: atypical"),
        "click": ("Shift-M", "Click to annotate on or off"),
    }
)
"""Each action with its default key, in napari's notation, and what it does."""

DEFAULTS: Mapping[str, str] = MappingProxyType({name: key for name, (key, _) in ACTIONS.items()})
MEANINGS: Mapping[str, str] = MappingProxyType({name: meaning for name, (_, meaning) in ACTIONS.items()})

_TO_NAPARI: Mapping[str, str] = MappingProxyType(
    {"Ctrl": "Control", "PgDown": "PageDown", "PgUp": "PageUp", "Ins": "Insert", "Del": "Delete", "Esc": "Escape"}
    | {"Return": "Enter"}
)
_TO_QT: Mapping[str, str] = MappingProxyType({napari: qt for qt, napari in _TO_NAPARI.items() if qt != "Return"})

_PREFERENCE = "review_keys"


def canonical(key: str) -> str | None:
    """A key in app-model's own notation, so that two spellings compare; None where napari cannot bind it."""
    try:
        binding = KeyBinding.from_str(key.replace("Control", "Ctrl"))
    except (ValueError, TypeError, KeyError):
        return None
    if len(binding.parts) != 1:
        return None
    part = binding.parts[0]
    if part.key == KeyCode.UNKNOWN or part.is_modifier_key():
        return None
    # With Shift a digit is another sign on each keyboard, and napari sees that sign.
    if part.shift and len(str(part.key)) == 1 and not str(part.key).isalpha():
        return None
    return str(binding)


def from_sequence(sequence: QKeySequence) -> str:
    """A key that was pressed in a `QKeySequenceEdit`, in napari's notation; empty for none."""
    text = sequence.toString(QKeySequence.SequenceFormat.PortableText)
    if not text:
        return ""
    key = text.split(", ")[0]
    head, _, last = key.rpartition("+") if not key.endswith("+") else (key[:-2], "+", "+")
    parts = [*(part for part in head.split("+") if part), last]
    return "-".join(_TO_NAPARI.get(part, part) for part in parts)


def to_sequence(key: str) -> QKeySequence:
    """A key in napari's notation as Qt's."""
    return QKeySequence("+".join(_TO_QT.get(part, part) for part in _parts(key)))


def pretty(key: str) -> str:
    """A key as a person writes it."""
    return "+".join({"Control": "Ctrl", "PageDown": "PgDn", "PageUp": "PgUp"}.get(part, part) for part in _parts(key))


def _parts(key: str) -> list[str]:
    return [*key[:-2].split("-"), "-"] if key.endswith("--") else key.split("-") if key != "-" else ["-"]


def taken(viewer: napari.Viewer | None = None) -> dict[str, str]:
    """Every key that belongs to someone else, with whom: napari, its layers, its menus, the detect dock.

    Parameters
    ----------
    viewer : napari.Viewer, optional
        Its menus are asked, too.

    Returns
    -------
    dict of str to str
        By `canonical` key.
    """
    owners: dict[str, str] = {}
    known: list[Mapping[str, list[KeyBinding]]] = [default_shortcuts, get_settings().shortcuts.shortcuts]
    for shortcuts in known:
        for action, bindings in shortcuts.items():
            for binding in bindings:
                owners[str(KeyBinding.validate(binding))] = f"napari ({action.partition(':')[2].replace('_', ' ')})"
    for kind in (Image, Labels, Points, Shapes, Surface, Tracks, Vectors):
        for binding in kind.class_keymap:
            owners.setdefault(str(binding), f"napari's {kind.__name__} layers")
    for binding in ViewerModel.class_keymap:
        owners.setdefault(str(binding), "napari")
    if viewer is not None:
        for action in _menu_actions(viewer):
            key = canonical(from_sequence(action.shortcut()))
            if key is not None:
                owners.setdefault(key, f"napari's menu ({action.text().replace('&', '')})")
    for name, text in detect_keys.KEYS.items():
        key = canonical(text)
        if key is not None:
            owners[key] = f"the detect dock ({detect_keys.MEANINGS[name].lower()})"
    return owners


def _menu_actions(viewer: napari.Viewer) -> list[QAction]:
    window = viewer.window
    menus = (window.file_menu, window.view_menu, window.layers_menu, window.plugins_menu, window.window_menu)
    return [action for menu in (*menus, window.help_menu) for action in (*menu.actions(), *menu.findChildren(QAction))]


class ReviewKeys:
    """The keys as they stand: the defaults, and what the reader made of them.

    Parameters
    ----------
    preferences : Preferences
    viewer : napari.Viewer
    """

    def __init__(self, preferences: Preferences, viewer: napari.Viewer) -> None:
        self._preferences = preferences
        self._viewer = viewer
        self._bound: list[str] = []
        self._actions: Mapping[str, Callable[..., object]] = {}
        kept = preferences.get(_PREFERENCE, {})
        chosen = {name: key for name, key in kept.items() if name in DEFAULTS and isinstance(key, str)}
        self.keys = {**DEFAULTS, **chosen}
        wrong = [name for name, key in chosen.items() if self.why_not(name, key) is not None]
        self.keys |= {name: DEFAULTS[name] for name in wrong}
        if wrong and any(self.why_not(name, key) is not None for name, key in self.keys.items()):
            self.keys = dict(DEFAULTS)

    def why_not(self, action: str, key: str) -> str | None:
        """Why a key cannot be that of an action; None where it can."""
        wanted = canonical(key)
        if wanted is None:
            return f"napari cannot bind {pretty(key)}." if key else "Press a key."
        for name, other in self.keys.items():
            if name != action and canonical(other) == wanted:
                return f"{pretty(key)} is that of “{MEANINGS[name]}”."
        owner = taken(self._viewer).get(wanted)
        return f"{pretty(key)} belongs to {owner}." if owner is not None else None

    def change(self, action: str, key: str) -> None:
        """Another key for an action; kept across starts.

        Raises
        ------
        ValueError
            Saying why it cannot be.
        """
        why = self.why_not(action, key)
        if why is not None:
            raise ValueError(why)
        self.keys[action] = key
        self._changed()

    def reset(self) -> None:
        """Back to the defaults."""
        self.keys = dict(DEFAULTS)
        self._changed()

    def _changed(self) -> None:
        chosen = {name: key for name, key in self.keys.items() if key != DEFAULTS[name]}
        self._preferences.set(_PREFERENCE, chosen)
        if self._bound:
            self.bind(self._actions)

    def bind(self, actions: Mapping[str, Callable[..., object]]) -> None:
        """Bind each action to its key in the viewer."""
        self.unbind()
        self._actions = actions
        for name, action in actions.items():
            self._viewer.bind_key(self.keys[name], _called(action, MEANINGS[name]), overwrite=True)
            self._bound.append(self.keys[name])

    def unbind(self) -> None:
        """Give the keys back."""
        for key in self._bound:
            self._viewer.bind_key(key, None, overwrite=True)
        self._bound = []

    def pretty(self, action: str) -> str:
        """The key of an action as a person writes it."""
        return pretty(self.keys[action])

    def help_page(self) -> str:
        """All keys as a small table."""
        rows = "".join(
            f"<tr><td><b>{self.pretty(name)}</b>&nbsp;&nbsp;</td><td>{MEANINGS[name]}</td></tr>" for name in ACTIONS
        )
        return f"<table>{rows}</table>"


def _called(action: Callable[[], object], meaning: str) -> Callable[[ViewerModel], None]:
    def pressed(_viewer: ViewerModel) -> None:
        action()

    pressed.__doc__ = meaning
    return pressed
