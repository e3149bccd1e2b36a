"""Which fields are proposed for annotation: unsure ones, unlike each other; and those drawn without a look."""

from __future__ import annotations

import numpy as np
import pytest

from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.store import Journal
from napari_mitosis.fields.field import Field, lazy_field
from napari_mitosis.finetune.features import candidate_features
from napari_mitosis.finetune.propose import FieldCandidates, draw_blind, propose
from napari_mitosis.jobs import run
from napari_mitosis.models.registry import load_detector


def field(name: str, probability: list[float], at: float = 0.0) -> FieldCandidates:
    rng = np.random.default_rng(len(name))
    features = np.full((len(probability), 4), at) + rng.normal(0, 0.01, (len(probability), 4))
    return FieldCandidates(name, np.array(probability), features)


def test_unsure_fields_come_before_sure_ones() -> None:
    fields = [field("sure", [0.99, 0.98, 0.01], 5.0), field("unsure", [0.5, 0.45, 0.55], 0.0), field("empty", [])]
    order = propose(fields, 3)
    assert [proposal.field for proposal in order] == [1, 0]  # nothing is to be learned from the empty one
    assert order[0].value > order[1].value


def test_a_field_like_one_chosen_before_is_worth_little() -> None:
    fields = [field("a", [0.5] * 5, 0.0), field("b", [0.5] * 5, 0.0), field("c", [0.4] * 5, 9.0)]
    first, second = propose(fields, 2)
    assert {first.field, second.field} in ({0, 2}, {1, 2})
    seen = fields[2].features
    assert seen is not None
    assert propose(fields, 1, judged=seen)[0].field != 2  # what was judged before is not asked for again
    assert propose([FieldCandidates("empty", np.empty(0))], 1, judged=seen) == []


def test_only_so_many_candidates_of_a_field_count() -> None:
    crowded = FieldCandidates("crowded", np.linspace(0.3, 0.7, 50))
    (proposal,) = propose([crowded], 1, per_field=7)
    assert len(proposal.candidates) == len(set(proposal.candidates)) == 7
    with pytest.raises(ValueError, match="at least one"):
        propose([crowded], 0)


def test_a_blind_draw_depends_on_names_and_seed_only() -> None:
    names = [f"field{i}" for i in range(9)]
    drawn = {names[i] for i in draw_blind(names, 3)}
    turned = names[::-1]
    assert {turned[i] for i in draw_blind(turned, 3)} == drawn
    assert len(drawn) == 2
    assert len({tuple(draw_blind(names, seed)) for seed in range(9)}) > 3


def test_the_same_figure_has_the_same_features_wherever_it_lies() -> None:
    pixels = np.random.default_rng(0).integers(150, 250, (256, 384, 3), dtype=np.uint8)
    figure = np.random.default_rng(1).integers(0, 120, (64, 64, 3), dtype=np.uint8)
    places = [(64, 256), (160, 64)]
    for y, x in places:
        pixels[y - 32 : y + 32, x - 32 : x + 32] = figure
    points = np.array([*places, (64, 64)], dtype=np.float64)
    detector = load_detector("segmitos")
    features = run(candidate_features(Field.from_array(pixels, 0.25, "two"), points, detector, device="cpu"))
    np.testing.assert_allclose(features[0], features[1], atol=1e-3)
    assert np.abs(features[0] - features[2]).max() > 0.1


def test_the_command_looks_and_proposes(tmp_path) -> None:
    from importlib import resources

    import tifffile
    from typer.testing import CliRunner

    from napari_mitosis.cli.app import app

    for name in ("hotspot", "quiet", "mimics"):
        pixels = tifffile.imread(str(resources.files("napari_mitosis") / "sample_data" / f"{name}.tif"))
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels[:320, :320], photometric="rgb")
    store = Journal(tmp_path / "journal.sqlite")
    annotated = lazy_field(tmp_path / "hotspot.tif", mpp=0.25)
    store.remember(annotated)
    Notebook(store, annotated, "Ann").add(100.0, 100.0)
    store.close()
    call = ["propose", str(tmp_path), "--count", "2", "--blind", "1", "--mpp", "0.25", "--device", "cpu"]
    call += ["--journal", str(tmp_path / "journal.sqlite")]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    (drawn,) = [line.split()[0] for line in done.output.splitlines() if "drawn at random" in line]
    assert f"finetune --drawn {drawn} " in done.output
    assert done.output.count("candidates, worth") <= 1  # of the other two one was drawn
    assert "hotspot" not in done.output  # it is annotated already
    for name in ("quiet", "mimics"):
        (tmp_path / f"{name}.tif").unlink()
    none = CliRunner().invoke(app, call)
    assert none.exit_code == 1
    assert "annotated already" in " ".join(none.output.split())
