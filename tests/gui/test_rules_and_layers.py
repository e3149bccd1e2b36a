"""Sliders and layers for each kind of evidence, built by hand so that every number is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from napari.layers import Image, Shapes

from napari_mitosis.decision.decide import Decider, Rule
from napari_mitosis.decision.evidence import CANDIDATE_COLUMNS, Evidence
from napari_mitosis.gui.card import short
from napari_mitosis.gui.detect.boxes import MOST_DROPPED, boxes_of
from napari_mitosis.gui.detect.rule_panel import RulePanel
from napari_mitosis.gui.detect.weights import FusionWeights
from napari_mitosis.gui.layers import FieldLayers, score_map
from napari_mitosis.session import Request, Result, Ticket

from .conftest import MPP, DarknessDetector, DarknessPipeline, add_field, card


def two_maps() -> Evidence:
    """Two figures: one that only the first map shows, one that only the second does."""
    a, b = np.zeros((64, 80), np.float16), np.zeros((64, 80), np.float16)
    a[10:16, 10:16] = 0.9
    b[40:46, 50:56] = 0.9
    return Evidence({"concentric": a, "strong": b}, 4.0, (256, 320), MPP, "x@1", "d")


def candidates(names: tuple[str, ...], rows: list[list[float]]) -> Evidence:
    frame = pd.DataFrame(rows, columns=[*CANDIDATE_COLUMNS, *names, "fired"])
    return Evidence({}, 1.0, (256, 320), MPP, "x@1", "d", candidates=frame, scores=names)


def decided(evidence: Evidence, rule: Rule) -> Result:
    pipeline = DarknessPipeline(card(), rule, DarknessDetector())
    return Request(Ticket("a", 1, 1), evidence, Decider(evidence), rule, pipeline).run()


@pytest.fixture
def panel(qtbot: Any) -> RulePanel:
    made = RulePanel()
    qtbot.addWidget(made)
    made.show()
    return made


def test_two_maps_have_one_slider_between_their_names(panel: RulePanel) -> None:
    rule = Rule(weights=(("concentric", 0.6), ("strong", 0.4)))
    panel.set_evidence(two_maps(), rule)
    panel.set_rule(rule)
    assert [end.text() for end in panel.weights.ends] == ["concentric 0.60", "0.40 strong"]
    edited: list[Rule] = []
    panel.rule_edited.connect(edited.append)
    (slider,) = panel.weights.sliders.values()
    slider.setValue(0.25)
    assert [rule.weights for rule in edited] == [(("concentric", 0.75), ("strong", 0.25))]
    assert [end.text() for end in panel.weights.ends] == ["concentric 0.75", "0.25 strong"]
    slider.setValue(1.0)
    assert edited[-1].weights == (("concentric", 0.0), ("strong", 1.0))


def test_no_weights_mean_all_alike(qtbot: Any) -> None:
    weights = FusionWeights()
    qtbot.addWidget(weights)
    weights.set_names(("a", "b"))
    weights.set_weights(())
    assert weights.sliders["b"].value() == pytest.approx(0.5)
    weights.set_names(("only",))
    assert weights.isHidden()
    assert weights.sliders == {}


def test_several_scores_have_a_slider_each_and_never_all_zero(qtbot: Any) -> None:
    weights = FusionWeights()
    qtbot.addWidget(weights)
    weights.set_names(("a", "b", "c"))
    weights.set_weights((("a", 1.0), ("b", 1.0), ("c", 2.0)))
    assert [slider.value() for slider in weights.sliders.values()] == pytest.approx([0.25, 0.25, 0.5])
    edited: list[Any] = []
    weights.edited.connect(edited.append)
    for slider in weights.sliders.values():
        slider.setValue(0.0)
    assert dict(edited[0]) == pytest.approx({"a": 0.0, "b": 0.333, "c": 0.667})
    assert dict(edited[-1]) == {"a": 0.0, "b": 0.0, "c": 1.0}
    assert not weights.folded.isExpanded()


def shown(panel: RulePanel) -> set[str]:
    names = ("area", "smoothing", "disc", "mode", "weights", "threshold", "score")
    return {name for name in names if not getattr(panel, name).isHidden()}


def test_the_sliders_follow_the_kind_of_evidence(panel: RulePanel) -> None:
    maps, peaks = two_maps(), Rule(method="peaks", threshold=0.35, min_score=0.0, min_area_um2=0.0)
    panel.set_evidence(maps, Rule())
    assert shown(panel) == {"score", "weights", "area", "smoothing", "mode", "threshold"}
    panel.set_evidence(maps, peaks)
    panel.set_rule(peaks)
    assert shown(panel) == {"score", "weights", "disc", "threshold"}
    edited: list[Rule] = []
    panel.rule_edited.connect(edited.append)
    panel.disc.setValue(3.0)
    panel.threshold.setValue(0.5)
    assert (edited[-1].disc_um, edited[-1].threshold, edited[-1].method) == (3.0, 0.5, "peaks")
    boxes = candidates(("detector",), [[50, 60, 30, 24, 0.9, 1], [90, 60, 20, 24, 0.7, 2]])
    panel.set_evidence(boxes, Rule())
    assert shown(panel) == {"score", "area", "threshold"}
    same = candidates(("a", "b"), [[50, 60, 30, 30, 0.9, 0.5, 1], [90, 60, 30, 30, 0.7, 0.2, 2]])
    panel.set_evidence(same, Rule())
    assert shown(panel) == {"score", "weights", "threshold"}, "boxes of one size have no area to cut at"


def test_otsu_stays_otsu_where_only_a_number_is_shown(panel: RulePanel) -> None:
    """Candidates know no Otsu: the floor is shown, and what is not touched stays as it is."""
    rule = Rule(threshold="otsu", floor=0.2)
    panel.set_evidence(candidates(("detector",), [[50, 60, 30, 24, 0.9, 1]]), rule)
    panel.set_rule(rule, 0.2)
    edited: list[Rule] = []
    panel.rule_edited.connect(edited.append)
    panel.score.setValue(0.7)
    assert edited[-1].threshold == "otsu"
    panel.threshold.setValue(0.4)
    assert edited[-1].threshold == pytest.approx(0.4)


def test_a_weight_is_not_shown_for_what_the_preset_does_not_weigh(panel: RulePanel) -> None:
    names = ("surest", "one", "two")
    rule = Rule(weights=(("one", 0.7), ("two", 0.3)), threshold=0.0)
    panel.set_evidence(candidates(names, [[50, 60, 30, 24, 0.9, 0.9, 0.1, 1]]), rule)
    panel.set_rule(rule)
    assert panel.weights.names == ("one", "two")
    assert panel.threshold.value() == 0.0
    edited: list[Rule] = []
    panel.rule_edited.connect(edited.append)
    panel.score.setValue(0.3)
    assert edited[-1].threshold == 0.0


def test_boxes_are_those_of_the_candidates() -> None:
    rows = [[50.0, 60.0, 30.0, 24.0, 0.9, 1.0], [90.0, 61.5, 20.0, 22.0, 0.4, 2.0]]
    edges, kept = boxes_of(decided(candidates(("detector",), rows), Rule(threshold=0.1, min_score=0.5)))
    assert edges.tolist() == [[35.0, 48.0, 65.0, 72.0], [80.0, 50.5, 100.0, 72.5]]
    assert kept.tolist() == [True, False]


def test_a_crowd_of_dropped_boxes_is_cut_and_none_is_no_error() -> None:
    rows = [[50.0 + i, 60.0, 30.0, 24.0, 0.3, 1.0] for i in range(150)]
    edges, kept = boxes_of(decided(candidates(("detector",), rows), Rule(threshold=0.1, min_score=0.5)))
    assert (len(edges), kept.sum()) == (MOST_DROPPED, 0)
    edges, kept = boxes_of(decided(candidates(("detector",), []), Rule(threshold=0.1)))
    assert edges.shape == (0, 4)


def test_a_blob_without_a_box_gets_the_square_about_its_ellipse() -> None:
    result = decided(two_maps(), Rule(smoothing_um=0.0, threshold=0.3, min_score=0.0))
    edges, kept = boxes_of(result)
    side = np.sqrt(36 * 4 / np.pi) * 4  # 36 cells of 4 px
    assert kept.all()
    assert (edges[:, 2:] - edges[:, :2]) == pytest.approx(np.full((2, 2), side))
    assert edges[:, :2] + side / 2 == pytest.approx(result.candidates[["y_px", "x_px"]].to_numpy())


def test_each_map_is_a_layer_and_weights_move_their_mean(make_napari_viewer: Any) -> None:
    viewer = make_napari_viewer()

    def bury(*gone: Any) -> None:
        for layer in gone:
            if layer is not None:
                viewer.layers.remove(layer)

    results = FieldLayers(viewer, add_field(viewer), bury)
    evidence, weights = two_maps(), (("concentric", 0.75), ("strong", 0.25))
    results.show_evidence(evidence, True, weights)
    names = ["field", "field: score map concentric", "field: score map strong", "field: score map"]
    assert [one.name for one in viewer.layers] == names
    assert [one.visible for one in viewer.layers] == [True, False, False, True]
    fused = viewer.layers["field: score map"]
    assert isinstance(fused, Image)
    assert fused.data[12, 12] == pytest.approx(0.75 * 0.9, abs=1e-3)
    results.show_weights(evidence, (("concentric", 0.0), ("strong", 1.0)))
    assert viewer.layers["field: score map"] is fused
    assert fused.data[12, 12] == 0
    assert fused.data[42, 52] == pytest.approx(0.9, abs=1e-3)
    # Switching fields hides what the user has made visible, and brings it back.
    viewer.layers[names[1]].visible = True
    results.show(None)
    assert not any(one.visible for one in viewer.layers[1:])
    results.show({"score_map": True, "detections": True, "labels": False, "boxes": False})
    assert [one.visible for one in viewer.layers] == [True, True, False, True]
    # A model of boxes has no map: the layers go.
    results.show_evidence(candidates(("detector",), [[50, 60, 30, 24, 0.9, 1]]), True)
    assert [one.name for one in viewer.layers] == ["field"]


def test_scores_of_candidates_do_not_weigh_maps() -> None:
    evidence = two_maps()
    assert score_map(evidence, (("verifier", 1.0),))[12, 12] == pytest.approx(0.45, abs=1e-3)


def test_box_layers_are_updated_in_place(make_napari_viewer: Any) -> None:
    viewer = make_napari_viewer()
    results = FieldLayers(viewer, add_field(viewer), lambda *gone: None)
    results.show_boxes(np.array([[35.0, 48, 65, 72], [80, 50, 100, 72]]), np.array([True, False]), True)
    layer = viewer.layers["field: boxes"]
    assert isinstance(layer, Shapes)
    assert layer.data[0].tolist() == [[35, 48], [35, 72], [65, 72], [65, 48]]
    assert tuple(layer.scale) == (MPP, MPP)
    assert not np.allclose(layer.edge_color[0], layer.edge_color[1])
    results.show_boxes(np.zeros((0, 4)), np.zeros(0, dtype=bool), True)
    assert viewer.layers["field: boxes"] is layer
    assert len(layer.data) == 0


def test_information_lands_in_the_features(make_napari_viewer: Any) -> None:
    viewer = make_napari_viewer()
    results = FieldLayers(viewer, add_field(viewer), lambda *gone: None)
    rows = [[50.0, 60.0, 30.0, 24.0, 0.9, 0.6, 5.0]]
    results.show_detections(decided(candidates(("stage1", "siamese"), rows), Rule(threshold=0.1)), True)
    features = viewer.layers["field: detections"].features
    assert features.iloc[0].drop("label").to_dict() == pytest.approx(
        {"score": 0.75, "area_um2": np.pi / 4 * 720 * MPP**2, "stage1": 0.9, "siamese": 0.6, "fired": 5.0}
    )


def test_short_names() -> None:
    assert short(card().model_copy(update={"title": "DeepDet: regions (Faster R-CNN)"})) == "DeepDet 1.0.0"
    assert short(card().model_copy(update={"title": "DeepVer, compact (96 px)"})) == "DeepVer 1.0.0"
