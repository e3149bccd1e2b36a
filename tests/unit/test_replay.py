"""What a sequence of actions adds up to, checked against a model that keeps whole copies of the state."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mitosis.annotations.actions import KINDS, PHASES, Action
from napari_mitosis.annotations.replay import FieldState, Marks, history_of, replay
from napari_mitosis.tables import LABELS

FIELD = "f" * 64


def act(number: int, kind: str, reader: str = "ann", **values: object) -> Action:
    if kind in ("add", "accept", "reject"):
        values = {"y_px": 1.0, "x_px": 2.0, "label": "mitosis", **values}
    return Action(f"a{number}", kind, FIELD, reader=reader, **values)  # type: ignore[arg-type]


@dataclass
class Model:
    """One reader's undo as everybody knows it: a stack of whole states."""

    figures: dict[str, tuple[float, float, str, str]] = field(default_factory=dict)
    marks: Marks = field(default_factory=Marks)
    past: list[tuple[dict[str, tuple[float, float, str, str]], Marks]] = field(default_factory=list)
    future: list[tuple[dict[str, tuple[float, float, str, str]], Marks]] = field(default_factory=list)

    def save(self) -> None:
        self.past.append((copy.copy(self.figures), self.marks))
        self.future.clear()

    def turn(self, source: list, sink: list) -> None:
        sink.append((copy.copy(self.figures), self.marks))
        self.figures, self.marks = source.pop()


STEP = st.tuples(
    st.sampled_from(KINDS),
    st.integers(0, 5),
    st.floats(0, 100),
    st.sampled_from(LABELS),
    st.sampled_from([None, *PHASES]),
)


def seen(state: FieldState) -> dict[str, tuple[float, float, str, str]]:
    return {f.id: (f.y_px, f.x_px, f.label, f.phase) for f in state.figures}


def perform(model: Model, state: FieldState, step: tuple, number: int) -> Action | None:
    """The action of one step on both, or None where it is impossible."""
    kind, which, place, label, phase = step
    if kind in ("undo", "redo"):
        source, sink = (model.past, model.future) if kind == "undo" else (model.future, model.past)
        unit = state.undoable("ann") if kind == "undo" else state.redoable("ann")
        assert bool(unit) == bool(source)
        if not source:
            return None
        model.turn(source, sink)
        return act(number, kind, target=unit[0].unit)
    if kind in ("complete", "reopen"):
        model.save()
        model.marks = replace(model.marks, complete=kind == "complete")
        return act(number, kind)
    if kind in ("join", "leave", "area"):
        model.save()
        target = "" if kind == "leave" else f"{kind} {which}"
        model.marks = replace(model.marks, **{"area" if kind == "area" else "case": target})
        return act(number, kind, target=target)
    if kind in ("add", "accept", "reject"):
        model.save()
        model.figures[f"g{number}"] = (place, place / 2, label, phase or "")
        values = {"y_px": place, "x_px": place / 2, "label": label, "phase": phase}
        return act(number, kind, figure=f"g{number}", **values)
    if not model.figures:
        return None
    figure = sorted(model.figures)[which % len(model.figures)]
    model.save()
    y, x, old_label, old_phase = model.figures[figure]
    if kind == "move":
        model.figures[figure] = (place, x + 1, old_label, old_phase)
        return act(number, kind, figure=figure, y_px=place, x_px=x + 1)
    if kind == "relabel":
        model.figures[figure] = (y, x, label, phase or "")
        return act(number, kind, figure=figure, label=label, phase=phase)
    del model.figures[figure]
    return act(number, kind, figure=figure)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=60))
def test_undo_and_redo_restore_exactly_what_was(steps: list[tuple]) -> None:
    model, state, actions = Model(), FieldState(), []
    for number, step in enumerate(steps):
        action = perform(model, state, step, number)
        if action is not None:
            actions.append(action)
            state.apply(action)
        assert seen(state) == model.figures
        assert state.marks == model.marks
    again = replay(actions)
    assert again.figures == state.figures  # the rows alone give the same, in the same order
    assert again.undoable("ann") == state.undoable("ann")
    assert again.redoable("ann") == state.redoable("ann")


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=40), st.data())
def test_rows_read_twice_change_nothing(steps: list[tuple], data: st.DataObject) -> None:
    model, state, actions = Model(), FieldState(), []
    for number, step in enumerate(steps):
        action = perform(model, state, step, number)
        if action is not None:
            actions.append(action)
            state.apply(action)
            if data.draw(st.booleans()):
                assert state.apply(data.draw(st.sampled_from(actions))) == ()
    assert replay(actions).figures == state.figures


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(STEP, st.booleans()), max_size=50))
def test_nobody_undoes_what_another_did(steps: list[tuple[tuple, bool]]) -> None:
    """Two readers in turn, on the same figures: after all undos of one, the other's actions alone remain."""
    state, actions = FieldState(), []
    for number, ((kind, which, place, label, phase), second) in enumerate(steps):
        reader = "bob" if second else "ann"
        there = sorted(f.id for f in state.figures)
        if kind in ("undo", "redo"):
            unit = state.undoable(reader) if kind == "undo" else state.redoable(reader)
            if not unit:
                continue
            action = act(number, kind, reader, target=unit[0].unit)
        elif kind in ("complete", "reopen", "join", "leave", "area"):
            action = act(number, kind, reader, target=kind if kind in ("join", "area") else "")
        elif kind in ("add", "accept", "reject"):
            values = {"y_px": place, "x_px": place, "label": label}
            action = act(number, kind, reader, figure=f"g{number}", **values)
        elif there:
            figure = there[which % len(there)]
            detail: dict = {"y_px": place, "x_px": place} if kind == "move" else {}
            detail = {"label": label, "phase": phase} if kind == "relabel" else detail
            action = act(number, kind, reader, figure=figure, **detail)
        else:
            continue
        actions.append(action)
        state.apply(action)
    number = len(steps)
    while unit := state.undoable("ann"):
        number += 1
        actions.append(act(number, "undo", target=unit[0].unit))
        state.apply(actions[-1])
    alone = replay(action for action in actions if action.reader == "bob")
    assert state.figures == alone.figures
    assert state.complete == alone.complete


def test_a_new_action_forgets_what_could_be_redone() -> None:
    state = replay([act(1, "add", figure="g1"), act(2, "undo", target="a1"), act(3, "add", figure="g2")])
    assert not state.redoable("ann")
    state.apply(act(4, "redo", target="a1"))  # written by a program that did not know
    assert [f.id for f in state.figures] == ["g2"]


def test_another_readers_undo_of_my_action_counts_for_nothing() -> None:
    state = replay([act(1, "add", figure="g1"), act(2, "undo", "bob", target="a1")])
    assert [f.id for f in state.figures] == ["g1"]


def test_two_windows_undo_the_same_action_once() -> None:
    state = replay(
        [
            act(1, "add", figure="g1"),
            act(2, "add", figure="g2"),
            act(3, "undo", target="a2"),
            act(4, "undo", target="a2"),
        ]
    )
    assert [f.id for f in state.figures] == ["g1"]


def test_a_figure_that_another_deleted_stays_deleted_whatever_comes_after() -> None:
    rows = [
        act(1, "add", figure="g1"),
        act(2, "delete", "bob", figure="g1"),
        act(3, "move", figure="g1", y_px=9.0, x_px=9.0),
        act(4, "relabel", figure="g1", label="mimic"),
    ]
    state = replay(rows)
    assert state.figures == []
    assert state.deleted_by("g1") == "bob"
    state.apply(act(5, "undo", "bob", target="a2"))  # and the move shows once the deletion is taken back
    (figure,) = state.figures
    assert (figure.y_px, figure.label, figure.reader) == (9.0, "mimic", "ann")


def test_of_two_moves_the_later_row_wins_and_its_undo_gives_way_to_the_other() -> None:
    rows = [
        act(1, "add", figure="g1"),
        act(2, "move", figure="g1", y_px=5.0, x_px=5.0),
        act(3, "move", "bob", figure="g1", y_px=7.0, x_px=7.0),
    ]
    assert replay(rows).figures[0].y_px == 7.0
    assert replay([*rows, act(4, "undo", "bob", target="a3")]).figures[0].y_px == 5.0
    assert replay([*rows, act(4, "undo", target="a2")]).figures[0].y_px == 7.0


def test_a_batch_is_undone_and_redone_as_one() -> None:
    rows = [replace(act(n, "add", figure=f"g{n}"), batch="a1") for n in (1, 2, 3)]
    state = replay([*rows, act(4, "undo", target="a1")])
    assert state.figures == []
    state.apply(act(5, "redo", target="a1"))
    assert [f.id for f in state.figures] == ["g1", "g2", "g3"]


def test_history_of_a_figure_has_undos_and_nothing_of_others() -> None:
    rows = [
        act(1, "add", figure="g1"),
        act(2, "add", figure="g2"),
        act(3, "relabel", figure="g1", label="mimic"),
        act(4, "undo", target="a3"),
        act(5, "redo", target="a3"),
        act(6, "complete"),
    ]
    assert [one.id for one in history_of("g1", rows)] == ["a1", "a3", "a4", "a5"]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("shout", {"figure": "g"}),
        ("add", {}),
        ("add", {"figure": "g", "y_px": float("nan"), "x_px": 1.0, "label": "mitosis"}),
        ("add", {"figure": "g", "y_px": 1.0, "x_px": 1.0, "label": "cell"}),
        ("add", {"figure": "g", "y_px": 1.0, "x_px": 1.0, "label": "mitosis", "score": 2.0}),
        ("relabel", {"figure": "g", "label": "mitosis", "phase": "interphase"}),
        ("undo", {}),
        ("complete", {"figure": "g"}),
        ("move", {"figure": "g", "y_px": 1.0}),
    ],
)
def test_an_action_that_cannot_be_meant_is_refused(kind: str, values: dict) -> None:
    with pytest.raises(ValueError, match=kind):
        Action("a", kind, FIELD, **values)
