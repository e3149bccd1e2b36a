"""Layers that are kept out of sight come back as they would be without it, whoever else hides and shows them."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Points

from napari_mitosis.gui.annotate.cover import Cover
from napari_mitosis.gui.annotate.peek import OverlayPeek
from napari_mitosis.gui.places import OWNER_KEY


def overlay(name: str, visible: bool = True) -> Points:
    return Points(np.zeros((1, 2)), name=name, visible=visible, metadata={OWNER_KEY: "field"})


@pytest.fixture
def viewer() -> ViewerModel:
    made = ViewerModel()
    made.add_image(np.zeros((8, 8, 3), np.uint8), name="field", rgb=True)
    for layer in (overlay("rings"), overlay("map", visible=False)):
        made.add_layer(layer)
    return made


def seen(viewer: ViewerModel) -> set[str]:
    return {layer.name for layer in viewer.layers if layer.visible}


def test_a_held_key_leaves_the_tissue_alone_and_gives_everything_back(viewer: ViewerModel, qapp: object) -> None:
    peek = OverlayPeek(viewer, None)
    told: list[bool] = []
    peek.changed.connect(told.append)
    peek.set_on(True)
    assert seen(viewer) == {"field"}
    viewer.add_layer(overlay("came meanwhile"))
    viewer.layers["map"].visible = True  # another key, while this one is held
    viewer.layers.remove(viewer.layers["rings"])
    assert seen(viewer) == {"field"}
    peek.set_on(True)
    peek.set_on(False)
    assert seen(viewer) == {"field", "came meanwhile", "map"}
    assert told == [True, False]
    peek.stop()


@pytest.mark.parametrize("first", [0, 1])
def test_two_covers_over_one_layer_end_in_any_order(viewer: ViewerModel, first: int) -> None:
    active = [True, True]
    covers = [Cover(viewer, lambda layer, at=at: active[at] and OWNER_KEY in layer.metadata) for at in (0, 1)]
    for cover in covers:
        cover.follow()
    assert seen(viewer) == {"field"}
    for at in (first, 1 - first):
        assert seen(viewer) == {"field"}, "the other one still covers it"
        active[at] = False
        covers[at].follow()
    assert seen(viewer) == {"field", "rings"}
    for cover in covers:
        cover.stop()
