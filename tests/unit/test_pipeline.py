"""One object looks and decides: what a name means, what a chain is, and what has a name of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from napari_mitosis import Rule, load_pipeline, open_field, run
from napari_mitosis.cli import app
from napari_mitosis.datasets.samples import sample_folder
from napari_mitosis.errors import WeightsError
from napari_mitosis.fields.field import Field
from napari_mitosis.inference.pipeline import VerifiedPipeline, split_verifier
from napari_mitosis.models.card import ModelCard
from napari_mitosis.models.presets import preset_cards
from napari_mitosis.models.registry import find_version, list_cards, load_detector
from napari_mitosis.tables import DETECTION_COLUMNS, check_detections


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("segmitos", ("segmitos", "")),
        ("segmitos@1.0.0+tuned.2", ("segmitos@1.0.0+tuned.2", "")),
        ("deepdet+deepver", ("deepdet", "deepver")),
        ("mssn@1.0.0+tuned.2+deepver@1.0.0+tuned.1", ("mssn@1.0.0+tuned.2", "deepver@1.0.0+tuned.1")),
    ],
)
def test_a_name_says_what_verifies(name: str, parts: tuple[str, str]) -> None:
    assert split_verifier(name) == parts


def test_deepmitosis_is_a_model_like_any_other() -> None:
    """The paper's system: the shipped chain with the rule and the measures of both together."""
    card, _ = find_version("deepmitosis")
    assert card in list_cards()
    assert card.is_chain
    detector, verifier = (find_version(name)[0] for name in ("deepdet", "deepver"))
    assert card.measures
    assert all("verified by" in measure.name for measure in card.measures)
    assert card.parameters == detector.parameters + verifier.parameters
    chain, pair = load_pipeline("deepmitosis"), load_pipeline("deepdet+deepver")
    assert isinstance(chain, VerifiedPipeline)
    assert chain.name == pair.name == f"{detector.name}+{verifier.name}"
    assert chain.rule == pair.rule == card.decision_rule() == detector.verified_rule()
    assert chain.fingerprint == pair.fingerprint
    assert chain.card == card
    assert [card.name for card in chain.cards] == [detector.name, verifier.name]
    with pytest.raises(WeightsError, match="load_pipeline"):
        load_detector("deepmitosis")


def test_a_chain_follows_its_parts_and_needs_them() -> None:
    detector, verifier = (find_version(name)[0] for name in ("deepdet", "deepver"))
    tuned = verifier.model_copy(update={"version": "1.0.0+tuned.1", "finetuned": {"from": "corrections"}})
    assert preset_cards({"deepdet": detector}) == []
    (card,) = preset_cards({"deepdet": detector, "deepver": tuned})
    assert card.members[0].verifier == "deepver@1.0.0+tuned.1"
    assert card.name != find_version("deepmitosis")[0].name
    assert ModelCard.model_validate_json(card.model_dump_json()).decision_rule() == card.decision_rule()


def test_boxes_keep_their_size_to_the_end() -> None:
    """From the network over the verifier to the table of detections, row by row."""
    sample = open_field(sample_folder() / "hotspot.tif")
    field = Field.from_array(sample.read(448, 704, 128, 384), 0.25, "part of a sample")
    pipeline = load_pipeline("deepmitosis")
    evidence = run(pipeline.look(field, device="cpu"))
    assert evidence.candidates is not None
    assert (evidence.candidates["height_px"] != evidence.candidates["width_px"]).any(), "the detector's own boxes"
    everything = Rule(threshold=0.0, min_score=0.0, min_area_um2=0.0, min_distance_um=0.0)
    table = pipeline.decide(evidence, everything)
    check_detections(table)
    assert tuple(table.columns) == (*DETECTION_COLUMNS, *pipeline.extra_columns)
    places = ["y_px", "x_px", "height_px", "width_px"]
    known = evidence.candidates[places].sort_values(places[:2]).to_numpy()
    kept = table[places].sort_values(places[:2]).to_numpy()
    assert len(kept) == len(known) > 0
    np.testing.assert_array_equal(kept, known)
    np.testing.assert_allclose(table["area_um2"], np.pi / 4 * kept_area(table), rtol=1e-9)


def kept_area(table: pd.DataFrame) -> np.ndarray:
    return (table["height_px"] * table["width_px"]).to_numpy() * 0.25**2


def test_the_command_line_knows_it(tmp_path: Path) -> None:
    listed = CliRunner().invoke(app, ["models", "list"])
    assert "deepmitosis@1.0.0" in listed.output
    shown = CliRunner().invoke(app, ["models", "show", "deepmitosis"])
    assert json.loads(shown.output)["members"][0]["verifier"].startswith("deepver@")
    refused = CliRunner().invoke(app, ["detect", str(tmp_path), "--model", "deepmitosis", "--verify"])
    assert refused.exit_code != 0
