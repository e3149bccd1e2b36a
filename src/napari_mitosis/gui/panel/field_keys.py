"""Keys that work whatever step is in front: from field to field, bare tissue, magnifications, tools over the field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from .. import keys
from ..desk import Desk
from ..views import Views

MAGNIFICATIONS = (10, 20, 40)


class FieldKeys:
    """Binds the keys in a viewer, and gives them back.

    Parameters
    ----------
    desk : Desk
    views : Views
    tools : mapping of str to callable
        What else has a key: names of `keys.KEYS`.
    """

    def __init__(self, desk: Desk, views: Views, tools: Mapping[str, Callable[[], object]]) -> None:
        self._desk = desk
        self._views = views
        self._tools = tools

    def _actions(self) -> dict[str, Callable[[], object]]:
        views = self._views
        return {
            "next_field": partial(self.step, 1),
            "previous_field": partial(self.step, -1),
            "fit": views.fit,
            **self._tools,
            **{f"view_{times}x": partial(views.magnify, float(times)) for times in MAGNIFICATIONS},
        }

    def bind(self) -> None:
        """Take the keys."""
        keys.bind(self._desk.viewer, self._actions())
        keys.hold(self._desk.viewer, "bare", self._desk.peek.set_on)

    def unbind(self) -> None:
        """Give the keys back."""
        keys.unbind(self._desk.viewer, (*self._actions(), "bare"))

    def step(self, step: int) -> None:
        """Look at the next field of the list, or the one before; after the last comes the first."""
        fields = list(self._desk.fields)
        active = str(self._desk.session.active)
        if len(fields) > 1 and active in fields:
            self._desk.fields.choose(fields[(fields.index(active) + step) % len(fields)])
