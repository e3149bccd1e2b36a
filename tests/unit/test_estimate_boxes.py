"""Boxes about centroids: of the blob that covers one, dealt out between several, or fixed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from napari_mitosis.cli.app import app
from napari_mitosis.datasets.sample import Sample
from napari_mitosis.datasets.samples import sample_folder
from napari_mitosis.decision.decide import Rule
from napari_mitosis.decision.estimate_boxes import (
    BOX_COLUMNS,
    box_iou,
    box_rule,
    estimate_boxes,
    fixed_boxes,
    rectangles,
)
from napari_mitosis.decision.evidence import Evidence
from napari_mitosis.fields.field import Field
from napari_mitosis.inference.cache import save_evidence
from napari_mitosis.jobs import run
from napari_mitosis.tables import annotations_frame
from napari_mitosis.training.ablations.deepseg import ablation, mask_boxes

EDGES = ["y0_px", "x0_px", "y1_px", "x1_px"]
HALF = Rule(smoothing_um=0.0, threshold=0.5)


def seen(maps: dict[str, np.ndarray] | np.ndarray, stride: float = 1.0, mpp: float = 0.25) -> Evidence:
    maps = maps if isinstance(maps, dict) else {"score": maps}
    maps = {name: value.astype(np.float16) for name, value in maps.items()}
    h, w = next(iter(maps.values())).shape
    return Evidence(maps, stride, (round(h * stride), round(w * stride)), mpp, "test@1", "d")


def filled(shape: tuple[int, int], *parts: tuple[slice, slice], value: float = 1.0) -> np.ndarray:
    score = np.zeros(shape)
    for part in parts:
        score[part] = value
    return score


def test_a_blob_over_a_centroid_gives_its_own_edges() -> None:
    evidence = seen(filled((120, 160), np.s_[40:64, 80:100]))
    frame = estimate_boxes(evidence, [[50.0, 90.0], [110.0, 20.0]])
    assert list(frame.columns) == list(BOX_COLUMNS)
    assert frame.loc[0, EDGES].tolist() == [39.5, 79.5, 63.5, 99.5]
    assert frame["estimated"].tolist() == [True, False]
    assert frame.loc[1, EDGES].tolist() == [95.0, 5.0, 125.0, 35.0]
    assert frame[["y_px", "x_px"]].to_numpy().tolist() == [[50, 90], [110, 20]]


@pytest.mark.parametrize("stride", [2.0, 4.0, 8.0])
def test_between_cells_the_map_is_linear(stride: float) -> None:
    # Cells 10 to 14 hold 1, their neighbours 0: halfway between the cells' centres the map is 0.5.
    evidence = seen(filled((40, 40), np.s_[10:15, 10:15]), stride)
    centre = 12.5 * stride - 0.5
    edges = estimate_boxes(evidence, [[centre, centre]], HALF).loc[0, EDGES].to_numpy(float)
    outer = np.array([10, 10, 15, 15]) * stride - 0.5
    np.testing.assert_allclose(edges, outer, atol=1.0)
    np.testing.assert_allclose(edges[:2] + edges[2:], 2 * centre)


def test_touching_figures_share_their_blob() -> None:
    evidence = seen(filled((100, 160), np.s_[40:60, 20:120]))
    frame = estimate_boxes(evidence, [[50.0, 45.0], [50.0, 95.0]])
    assert frame["estimated"].all()
    assert frame.loc[0, EDGES].tolist() == [39.5, 19.5, 59.5, 70.5]  # column 70 is as near to either
    assert frame.loc[1, EDGES].tolist() == [39.5, 69.5, 59.5, 119.5]


def test_a_centroid_beside_the_blob_takes_nothing_from_it() -> None:
    evidence = seen(filled((100, 160), np.s_[40:60, 20:60]))
    frame = estimate_boxes(evidence, [[50.0, 40.0], [50.0, 62.0]])
    assert frame.loc[0, EDGES].tolist() == [39.5, 19.5, 59.5, 59.5]
    assert frame["estimated"].tolist() == [True, False]


def test_what_is_dealt_out_hangs_together() -> None:
    # A ring: the far arm is nearer to the first centroid in part, but not connected to it on its own side.
    blob = filled((120, 120), np.s_[20:26, 20:100], np.s_[20:90, 94:100], np.s_[84:90, 20:100])
    frame = estimate_boxes(seen(blob), [[22.0, 30.0], [60.0, 97.0]])
    assert frame["estimated"].all()
    assert frame.loc[0, "y1_px"] == 25.5


def test_diagonal_pixels_belong_together() -> None:
    evidence = seen(filled((60, 60), np.s_[20:30, 20:30], np.s_[30:40, 30:40]))
    assert estimate_boxes(evidence, [[25.0, 25.0]]).loc[0, EDGES].tolist() == [19.5, 19.5, 39.5, 39.5]


def test_a_blob_larger_than_the_first_look_is_followed_to_its_end() -> None:
    evidence = seen(filled((700, 500), np.s_[5:690, 240:252], np.s_[680:690, 100:400]))
    assert estimate_boxes(evidence, [[20.0, 245.0]]).loc[0, EDGES].tolist() == [4.5, 99.5, 689.5, 399.5]


def test_a_blob_may_end_at_the_border_of_the_field() -> None:
    evidence = seen(filled((60, 80), np.s_[0:9, 70:80]))
    assert estimate_boxes(evidence, [[0.0, 79.0]]).loc[0, EDGES].tolist() == [-0.5, 69.5, 8.5, 79.5]


def test_boxes_are_of_tissue_whatever_the_resolution() -> None:
    coarse = seen(filled((60, 60), np.s_[20:30, 20:30]), mpp=0.5)
    frame = estimate_boxes(coarse, [[25.0, 25.0], [45.0, 50.0]])
    assert frame.loc[0, EDGES].tolist() == [19.5, 19.5, 29.5, 29.5]
    assert (frame.loc[1, "y1_px"] - frame.loc[1, "y0_px"]) * 0.5 == 7.5
    assert fixed_boxes([[9, 9]], 0.25, side_um=5.0).loc[0, EDGES].tolist() == [-1.0, -1.0, 19.0, 19.0]


def test_the_map_learned_from_outlines_is_preferred_and_weights_choose_another() -> None:
    maps = {"concentric": filled((60, 60), np.s_[10:50, 10:50]), "strong": filled((60, 60), np.s_[25:35, 25:35])}
    evidence = seen(maps)
    assert estimate_boxes(evidence, [[30.0, 30.0]]).loc[0, EDGES].tolist() == [24.5, 24.5, 34.5, 34.5]
    wide = Rule(smoothing_um=0.0, weights=(("concentric", 1.0),))
    assert estimate_boxes(evidence, [[30.0, 30.0]], wide).loc[0, EDGES].tolist() == [9.5, 9.5, 49.5, 49.5]
    with pytest.raises(ValueError, match="no score map 'other'"):
        estimate_boxes(evidence, [[30.0, 30.0]], Rule(weights=(("other", 1.0),)))


def test_candidates_do_not_stand_in_the_way_of_the_maps() -> None:
    maps = {"score": filled((60, 60), np.s_[20:30, 20:30]).astype(np.float16)}
    columns = ["y_px", "x_px", "height_px", "width_px", "detector"]
    found = pd.DataFrame([[1.0, 1.0, 9.0, 9.0, 0.9]], columns=columns)
    evidence = Evidence(maps, 1.0, (60, 60), 0.25, "t", "d", found, ("detector",))
    assert estimate_boxes(evidence, [[25.0, 25.0]])["estimated"].all()


def test_what_cannot_be_meant_is_said() -> None:
    evidence = seen(filled((60, 80), np.s_[20:30, 20:30]))
    with pytest.raises(ValueError, match=r"y 60, x 3 is outside the field of 60 x 80 px"):
        estimate_boxes(evidence, [[60.0, 3.0]])
    with pytest.raises(ValueError, match="finite"):
        estimate_boxes(evidence, [[np.nan, 3.0]])
    with pytest.raises(ValueError, match="side_um"):
        estimate_boxes(evidence, [[6.0, 3.0]], side_um=0.0)
    with pytest.raises(ValueError, match="no score map to decide on"):
        estimate_boxes(Evidence({}, 1.0, (60, 80), 0.25, "boxes@1", "d"), [[6.0, 3.0]])
    assert len(estimate_boxes(evidence, np.empty((0, 2)))) == 0


def test_rectangles_go_round() -> None:
    evidence = seen(filled((60, 80), np.s_[20:30, 20:40]))
    boxes = estimate_boxes(evidence, [[25.0, 30.0], [50.0, 70.0]])
    assert boxes["estimated"].tolist() == [True, False]
    assert rectangles(boxes[boxes["estimated"]]).tolist() == [[[19.5, 19.5], [19.5, 39.5], [29.5, 39.5], [29.5, 19.5]]]
    assert rectangles(fixed_boxes(np.empty((0, 2)), 0.25)).shape == (0, 4, 2)


@given(st.lists(st.tuples(*[st.integers(0, 40)] * 2, *[st.integers(1, 30)] * 2), min_size=1, max_size=5), st.data())
def test_overlap_is_that_of_counted_pixels(parts: list[tuple[int, int, int, int]], data: st.DataObject) -> None:
    other = data.draw(st.permutations(parts))
    first, second = (np.array([[y, x, y + h, x + w] for y, x, h, w in some], dtype=float) for some in (parts, other))
    for (a, b), value in zip(zip(parts, other, strict=True), box_iou(first, second), strict=True):
        masks = [np.zeros((80, 80), dtype=bool) for _ in range(2)]
        for mask, (y, x, h, w) in zip(masks, (a, b), strict=True):
            mask[y : y + h, x : x + w] = True
        assert value == pytest.approx((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum())


def test_boxes_of_a_mask() -> None:
    mask = np.zeros((40, 50), dtype=np.uint16)
    mask[2:6, 3:9], mask[20:22, 30:31], mask[26:28, 33:36] = 1, 2, 2  # the plates of a telophase
    field = Field.from_array(np.zeros((40, 50, 3), dtype=np.uint8), 0.25)
    sample = Sample(field, annotations_frame([3.5, 24], [5.5, 33]), mask)
    assert mask_boxes(sample).tolist() == [[1.5, 2.5, 5.5, 8.5], [19.5, 29.5, 27.5, 35.5]]
    with pytest.raises(ValueError, match="mitosis 3"):
        mask_boxes(Sample(field, annotations_frame([3.5, 24, 9], [5.5, 33, 9]), mask))


def test_perfect_maps_are_worth_all_that_boxes_can_be(tmp_path: Path, shared_data: Path) -> None:
    from napari_mitosis.datasets.icpr import read_icpr2012
    from napari_mitosis.training.crossval import folds

    samples = read_icpr2012(shared_data / "icpr2012")
    name, held_out = next(iter(folds(samples, "S").items()))
    for sample in [samples[i] for i in (held_out[0], held_out[-1])]:
        mask = sample.mask
        assert mask is not None
        score = (mask > 0).astype(np.float16)
        evidence = Evidence({"score": score}, 1.0, score.shape, 0.25, "t", sample.field.digest)
        save_evidence(tmp_path / name / "evidence" / f"{sample.field.name}.npz", evidence)
    table = run(ablation(tmp_path, shared_data)).set_index("variant")
    assert table.loc["fixed 7.5 um", "iou"] < 0.8
    assert table.loc["fixed 7.5 um", "estimated"] == 0
    # Centroids between the plates of a telophase are not covered, and touching figures are cut apart.
    assert table.loc["score, above 0.5", "iou_of_estimated"] > 0.85
    assert table.loc["score, above 0.5", "gain_over_fixed"] > 0.2
    # A map of zeros and ones has the same blobs at every threshold but for the pixels between two values.
    assert table.loc["score, threshold of other slides", "iou"] == pytest.approx(
        table.loc["score, Otsu", "iou"], abs=0.02
    )


def test_the_command_writes_a_row_for_each_point(tmp_path: Path) -> None:
    field = sample_folder() / "hotspot.tif"
    points, out = tmp_path / "points.csv", tmp_path / "boxes.csv"
    known = pd.read_csv(sample_folder() / "hotspot.csv")
    places = known.loc[known["label"] == "mitosis", ["y_px", "x_px"]]
    other = pd.DataFrame({"y_px": [1e6], "x_px": [5.0], "file": ["sub/other.tif"]})
    pd.concat([places.assign(file=f"sub/{field.name}"), other]).to_csv(points, index=False)
    arguments = ["boxes", str(field), "--points", str(points), "--out", str(out), "--device", "cpu"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    frame = pd.read_csv(out)
    assert list(frame.columns) == list(BOX_COLUMNS)
    np.testing.assert_allclose(frame[["y_px", "x_px"]], places, atol=1e-3)
    assert frame["estimated"].sum() > len(frame) / 2
    sides = (frame["y1_px"] - frame["y0_px"])[frame["estimated"]]
    assert 10 < sides.median() < 60
    assert f"{frame['estimated'].sum()} boxes estimated" in " ".join(result.output.split())
    high = CliRunner().invoke(app, [*arguments, "--threshold", "1", "--model", "segmitos"], catch_exceptions=False)
    assert f"0 boxes estimated, {len(frame)} fixed" in " ".join(high.output.split())


@pytest.mark.parametrize(
    ("text", "reason"),
    [("row,col\n1,2\n", "column 'y_px' is missing"), ("y_px,x_px\n1,two\n", "not a table of points"), ("", "points")],
)
def test_the_command_says_what_is_wrong_with_the_points(tmp_path: Path, text: str, reason: str) -> None:
    points = tmp_path / "points.csv"
    points.write_text(text)
    field = sample_folder() / "quiet.tif"
    result = CliRunner().invoke(app, ["boxes", str(field), "--points", str(points), "--out", str(tmp_path / "o.csv")])
    assert result.exit_code == 1
    assert reason in " ".join(result.output.split())
    assert not (tmp_path / "o.csv").exists()


def test_the_rule_is_otsu_without_smoothing() -> None:
    rule = box_rule(seen(np.zeros((4, 4))))
    assert (rule.threshold, rule.smoothing_um, rule.weights) == ("otsu", 0.0, ())
