"""The hotspot against brute force and against any place at all; never outside of tissue or field."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mitosis.measures.doubles import possible_doubles
from napari_mitosis.measures.hotspot import (
    HPF_10_MM2,
    SHAPES,
    Outline,
    Region,
    centres_in_field,
    centres_in_tissue,
    find_hotspot,
)
from napari_mitosis.measures.tissue import tissue_cells, tissue_mm2

quick = settings(deadline=None, max_examples=30)
shapes = st.sampled_from(SHAPES)


def best_by_brute_force(points: np.ndarray, outline: Outline, region: Region) -> int:
    """Every place where two outlines cross, or one the border, for circles; every pair of sides for rectangles."""
    half = np.array([outline.half_height_um, outline.half_width_um])
    low = np.array(region.origin_yx_um) / half
    high = low + np.array(region.cell_yx_um) / half
    p = points / half
    if outline.shape == "circle":
        places = [*p, *([y, x] for y in (low[0], high[0]) for x in (low[1], high[1]))]
        for a in p:
            for b in p:
                d = np.hypot(*(b - a))
                if 0 < d <= 2:
                    step = np.sqrt(max(0.0, 1 - d * d / 4)) * np.array([-(b - a)[1], (b - a)[0]]) / d
                    places += [(a + b) / 2 + step, (a + b) / 2 - step]
            for axis in (0, 1):
                for edge in (low[axis], high[axis]):
                    along = 1 - (edge - a[axis]) ** 2
                    for sign in (-1, 1) if along >= 0 else ():
                        place = np.empty(2)
                        place[axis], place[1 - axis] = edge, a[1 - axis] + sign * np.sqrt(along)
                        places.append(place)
        places = np.array(places)
    else:
        sides = [np.concatenate([p[:, i] - 1, p[:, i] + 1, [low[i], high[i]]]) for i in (0, 1)]
        places = np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)
    inside = ((places >= low - 1e-9) & (places <= high + 1e-9)).all(axis=1)
    return max(int(outline.holds(place * half, points).sum()) for place in places[inside])


@quick
@given(shapes, st.floats(0.01, 0.5), st.booleans(), st.integers(0, 24), st.integers(0, 10_000))
def test_against_brute_force(shape: str, area_mm2: float, on_grid: bool, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # On a grid many figures stand exactly on an outline, or in one place.
    points = rng.integers(0, 11, (n, 2)) * 100.0 if on_grid else rng.uniform(0, 1000, (n, 2))
    outline = Outline.of_area(area_mm2, shape)  # type: ignore[arg-type]
    region = centres_in_field((1000.0, 1100.0), outline)
    found = find_hotspot(points, outline, region)
    assert found is not None
    assert found.count == outline.holds(found.centre_yx_um, points).sum()
    assert found.count == best_by_brute_force(points, outline, region)


@quick
@given(shapes, st.integers(0, 10_000))
def test_no_sampled_place_has_more_and_no_part_is_outside_of_tissue(shape: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cell_um = 20.0
    tissue = np.ones((60, 60), dtype=bool)
    for _ in range(4):
        y, x = rng.integers(0, 60, 2)
        tissue[y : y + 6, x : x + 6] = False
    points = rng.uniform(0, 1200, (150, 2))
    outline = Outline.of_area(0.05, shape)  # type: ignore[arg-type]
    found = find_hotspot(points, outline, centres_in_tissue(tissue, cell_um, outline))
    if found is None:
        return
    fine = np.stack(np.meshgrid(*[np.arange(2.5, 1200, 5)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    covered = fine[outline.holds(found.centre_yx_um, fine)]
    assert tissue[tuple((covered // cell_um).astype(int).T)].all()
    assert (outline.corners_um(found.centre_yx_um) >= 0).all()
    allowed = centres_in_tissue(tissue, cell_um, outline).cells
    places = np.argwhere(allowed) * cell_um + rng.uniform(0, cell_um, (allowed.sum(), 2))
    assert found.count >= max(outline.holds(place, points).sum() for place in places)


def test_some_of_it_may_be_other_than_tissue_when_that_is_asked_for() -> None:
    tissue = np.ones((50, 50), dtype=bool)
    tissue[20:22] = False
    outline = Outline.of_area(0.2)
    strict, loose = (centres_in_tissue(tissue, 20.0, outline, share).cells.sum() for share in (1.0, 0.9))
    assert strict < loose


def test_outlines_have_the_area_that_was_asked_for() -> None:
    for shape in SHAPES:
        assert Outline.of_area(HPF_10_MM2, shape).area_mm2 == pytest.approx(HPF_10_MM2)
    rectangle = Outline.of_area(12.0, "rectangle")
    assert rectangle.half_width_um / rectangle.half_height_um == pytest.approx(4 / 3)
    corners = rectangle.corners_um((5000.0, 5000.0))
    assert np.prod(np.ptp(corners, axis=0)) / 1e6 == pytest.approx(12.0)


def test_where_it_cannot_stand_there_is_none() -> None:
    assert find_hotspot([[5, 5]], Outline.of_area(1.0), centres_in_field((500.0, 500.0), Outline.of_area(1.0))) is None
    with pytest.raises(ValueError, match="area_mm2"):
        Outline.of_area(0)
    empty = find_hotspot(np.empty((0, 2)), Outline.of_area(0.01), centres_in_field((500, 500), Outline.of_area(0.01)))
    assert empty is not None
    assert empty.count == 0


def test_tissue_without_holes_and_pen() -> None:
    mpp = 0.5
    pixels = np.full((800, 800, 3), 243, np.uint8)
    pixels[100:700, 100:700] = (190, 120, 180)  # eosin and haematoxylin
    pixels[300:420, 300:420] = 243  # a hole
    pixels[500:600, 100:700] = (40, 150, 70)  # green ink
    pixels[620:690, 100:700] = (30, 60, 190)  # blue ink
    pixels[20:24, 20:24] = (90, 40, 120)  # dirt
    cells = tissue_cells(lambda y0, y1, x0, x1: pixels[y0:y1, x0:x1], (800, 800), mpp)
    wanted = np.zeros((800, 800), bool)
    wanted[100:700, 100:700] = True
    wanted[300:420, 300:420] = wanted[500:600] = wanted[620:690] = False
    got = np.kron(cells, np.ones((16, 16), bool))[:800, :800]
    assert (got ^ wanted).mean() < 0.04  # cells at an edge are half tissue
    assert not cells[1, 1]
    assert tissue_mm2(cells, 16, (800, 800), mpp) == pytest.approx(got.sum() * mpp**2 / 1e6)


def test_plates_of_one_anaphase_are_flagged() -> None:
    pairs, apart = possible_doubles([[0, 0], [100, 100], [0, 12.0], [100, 121]])
    assert (pairs.tolist(), apart.tolist()) == ([[0, 2]], [12.0])
    assert len(possible_doubles(np.empty((0, 2)))[0]) == 0
