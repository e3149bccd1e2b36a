"""What was seen: cells, time, magnification, where to look next."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mitosis.review.coverage import MAX_CELLS, Coverage, Enough, cell_px, tissue_of

MPP = 0.25


def test_half_a_second_close_enough_is_seen() -> None:
    coverage = Coverage((160, 320), MPP)
    assert coverage.cell_px == 16
    assert coverage.seconds.shape == (10, 20)
    left = (-0.5, -0.5, 159.5, 159.5)
    assert not coverage.look(left, 0.5, 0.25)
    assert coverage.share == 0
    assert coverage.look(left, 0.3, 0.25)
    assert coverage.share == pytest.approx(0.5)
    assert not coverage.look(left, 0.3, 5.0), "seen already"
    assert not coverage.look((-0.5, 159.5, 159.5, 319.5), 0.51, 60.0), "too small to be judged"
    assert coverage.share == pytest.approx(0.5)
    assert coverage.seen[:, :10].all()
    assert not coverage.seen[:, 10:].any()


def test_enough_can_be_chosen() -> None:
    coverage = Coverage((160, 320), MPP, Enough(um_per_screen_px=1.0, seconds=2.0))
    everything = (-1000.0, -1000.0, 2000.0, 2000.0)
    coverage.look(everything, 1.0, 1.0)
    assert coverage.share == 0
    coverage.look(everything, 1.0, 1.0)
    assert coverage.share == 1
    assert coverage.next_view(100, 100) is None
    assert not coverage.unseen.any()
    with pytest.raises(ValueError, match="screen pixel"):
        Enough(um_per_screen_px=0)


def test_cut_cells_count_by_their_area_and_tissue_alone_counts() -> None:
    coverage = Coverage((24, 16), MPP)  # a whole cell, and half a one below
    coverage.look((-0.5, -0.5, 15.5, 15.5), 0.25, 1.0)
    assert coverage.share == pytest.approx(2 / 3)
    coverage.set_tissue(np.array([[True], [False]]))
    assert coverage.share == 1
    coverage.set_tissue(np.zeros((2, 1), dtype=bool))
    assert coverage.share == 1, "there is nothing to be seen"
    with pytest.raises(ValueError, match="cells"):
        coverage.set_tissue(np.ones((3, 3), dtype=bool))


def test_the_next_view_shows_the_most_unseen_tissue() -> None:
    coverage = Coverage((320, 320), MPP)
    coverage.look((-0.5, -0.5, 255.5, 319.5), 0.25, 1.0)
    assert coverage.next_view(64, 64) == (287.5, 31.5)
    tissue = np.zeros((20, 20), dtype=bool)
    tissue[18:, 16:] = True
    coverage.set_tissue(tissue)
    y, x = coverage.next_view(64, 64) or (0.0, 0.0)
    assert 256 <= y <= 320
    assert x == 287.5


def test_a_slide_has_a_coarser_map() -> None:
    coverage = Coverage((100_000, 40_000), MPP)
    assert max(coverage.seconds.shape) == MAX_CELLS
    assert cell_px((100_000, 40_000), MPP) == pytest.approx(100_000 / MAX_CELLS)


def test_glass_is_no_tissue() -> None:
    glass = np.full((20, 20, 3), 240, dtype=np.uint8)
    assert not tissue_of(glass)
    glass[:10] = (200, 120, 180)
    assert tissue_of(glass)
    assert not tissue_of(glass[:0])


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.lists(
        st.tuples(*[st.floats(-50, 250) for _ in range(4)], st.sampled_from([0.25, 0.5, 0.6]), st.floats(0.1, 1.0)),
        max_size=8,
    ),
)
def test_looking_on_step_by_step_leads_to_the_end(
    shape: tuple[int, int], looks: list[tuple[float, float, float, float, float, float]]
) -> None:
    """Against a plain count; following `next_view` all of it is seen."""
    coverage = Coverage(shape, 1.0)
    seconds = np.zeros(coverage.seconds.shape)
    centres = [(np.arange(n) + 0.5) * coverage.cell_px - 0.5 for n in seconds.shape]
    for y0, x0, y1, x1, fine, time in looks:
        before = coverage.share
        coverage.look((y0, x0, y1, x1), fine, time)
        if fine <= 0.5:
            rows, columns = (
                (axis >= low) & (axis <= high) for axis, low, high in zip(centres, (y0, x0), (y1, x1), strict=True)
            )
            seconds += np.outer(rows, columns) * time
        assert coverage.share >= before
    assert coverage.seconds == pytest.approx(seconds, abs=1e-5)
    for _ in range(2 * seconds.size):
        place = coverage.next_view(40, 40)
        if place is None:
            break
        assert coverage.look((place[0] - 20, place[1] - 20, place[0] + 20, place[1] + 20), 0.25, 1.0)
    assert coverage.share == 1
