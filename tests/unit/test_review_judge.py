"""What the reader said of each candidate: linked one to one, put on record once, still known after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.store import Journal
from napari_mitosis.fields.field import Field
from napari_mitosis.review.judge import LETTERS, LINK_UM, STATES, decisions, judge, link

MPP = 0.25
FIELD = Field.from_array(np.full((400, 500, 3), 230, dtype=np.uint8), mpp=MPP, name="drawn")
MODEL = "segmitos@1.0.0"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal.sqlite")
    yield made
    made.close()


@pytest.fixture
def notebook(journal: Journal) -> Notebook:
    return Notebook(journal, FIELD, "Ada")


def state_of(notebook: Notebook, y: float, x: float) -> str:
    """What is on record of a candidate at a place."""
    figures = notebook.figures
    linked = link([(y, x)], figures[["y_px", "x_px"]], MPP)
    return str(decisions(linked, figures)["state"].iloc[0])


def test_the_nearest_pair_is_linked_first() -> None:
    # In um: the figure at 0 lies 3 from the first candidate and 1 from the second; the other figure 4 from the first.
    candidates = np.array([(0.0, 3.0), (0.0, -1.0)]) / MPP
    figures = np.array([(0.0, 0.0), (0.0, 7.0)]) / MPP
    assert link(candidates, figures, MPP).tolist() == [1, 0]


def test_five_micrometres_link_and_a_little_more_do_not() -> None:
    at = np.array([(100.0, 100.0)])
    assert link(at, at + np.array([0, LINK_UM / MPP]), MPP).tolist() == [0]
    assert link(at, at + np.array([0, LINK_UM / MPP + 0.01]), MPP).tolist() == [-1]
    # The same pixels, another um/px.
    assert link(at, at + np.array([0, LINK_UM / MPP]), 2 * MPP).tolist() == [-1]


def test_nothing_links_with_nothing() -> None:
    assert link(np.empty((0, 2)), [(1, 1)], MPP).shape == (0,)
    assert link([(1, 1)], np.empty((0, 2)), MPP).tolist() == [-1]


places = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=14)


@given(places, places)
@settings(max_examples=150, deadline=None)
def test_links_are_those_of_repeatedly_taking_the_nearest_pair(ours: list, theirs: list) -> None:
    linked = link(np.array(ours).reshape(-1, 2), np.array(theirs).reshape(-1, 2), MPP)
    apart = cdist(np.array(ours).reshape(-1, 2), np.array(theirs).reshape(-1, 2)) * MPP
    taken: dict[int, int] = {}
    while apart.size and apart.min() <= LINK_UM:
        i, j = np.unravel_index(apart.argmin(), apart.shape)
        taken[int(i)] = int(j)
        apart[i, :] = np.inf
        apart[:, j] = np.inf
    found = {i: int(j) for i, j in enumerate(linked) if j >= 0}
    assert len(set(found.values())) == len(found)
    # Which of equal distances comes first is left open.
    original = cdist(np.array(ours).reshape(-1, 2), np.array(theirs).reshape(-1, 2))
    if len(np.unique(original.round(9))) == original.size:
        assert found == taken


def test_each_judgement_is_its_own_kind_of_action(notebook: Notebook, journal: Journal) -> None:
    for x, label in ((50, "mitosis"), (150, "mimic"), (250, "unsure")):
        judge(notebook, 100, x, label, source=MODEL, score=0.8)
        assert state_of(notebook, 100, x) == label
    actions = journal.actions()
    assert [(one.kind, one.label) for one in actions] == [
        ("accept", "mitosis"), ("reject", "mimic"), ("accept", "unsure")
    ]  # fmt: skip
    assert {one.source for one in actions} == {MODEL}
    assert {one.score for one in actions} == {0.8}
    assert state_of(notebook, 100, 350) == "undecided"


def test_another_judgement_relabels_and_the_same_again_notes_nothing(notebook: Notebook, journal: Journal) -> None:
    figure = judge(notebook, 100, 50, "mitosis", source=MODEL, score=0.8)
    assert judge(notebook, 100, 50, "mitosis", source=MODEL, score=0.8, figure=figure) == figure
    assert len(journal.actions()) == 1
    assert judge(notebook, 100, 50, "mimic", source=MODEL, score=0.8, figure=figure) == figure
    assert [one.kind for one in journal.history(figure)] == ["accept", "relabel"]
    assert len(notebook.figures) == 1
    assert state_of(notebook, 100, 50) == "mimic"
    notebook.undo()
    assert state_of(notebook, 100, 50) == "mitosis"


def test_a_figure_that_was_deleted_meanwhile_is_judged_anew(notebook: Notebook) -> None:
    figure = judge(notebook, 100, 50, "mitosis", source=MODEL, score=0.8)
    notebook.delete(figure)
    other = judge(notebook, 100, 50, "mimic", source=MODEL, score=0.8, figure=figure)
    assert other != figure
    assert state_of(notebook, 100, 50) == "mimic"


def test_judgements_outlive_the_process_and_the_detector(journal: Journal, notebook: Notebook) -> None:
    judge(notebook, 100, 50, "mitosis", source=MODEL, score=0.8)
    later = Notebook(journal, FIELD, "Grace")
    # Another detector puts the same figure two micrometres aside.
    assert state_of(later, 100, 50 + 2 / MPP) == "mitosis"
    figures = later.figures
    frame = decisions(link([(100, 58)], figures[["y_px", "x_px"]], MPP), figures)
    assert frame["reader"].tolist() == ["Ada"]


def test_only_labels_can_be_said(notebook: Notebook, journal: Journal) -> None:
    with pytest.raises(ValueError, match="skipped"):
        judge(notebook, 100, 50, "skipped", source=MODEL, score=0.8)
    assert journal.actions() == []


def test_every_state_has_a_letter_of_its_own() -> None:
    assert set(LETTERS) == set(STATES)
    assert len(set(LETTERS.values())) == len(STATES)
