"""The material, the folds by patient, and the queue: what no single stage of training could show."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napari_mitosis.datasets.crops import TISSUE, Crop
from napari_mitosis.datasets.sample import Sample
from napari_mitosis.datasets.scale import at_scale
from napari_mitosis.decision.decide import Rule
from napari_mitosis.decision.evidence import Evidence
from napari_mitosis.errors import WeightsError
from napari_mitosis.fields.field import Field
from napari_mitosis.inference.cache import save_evidence
from napari_mitosis.jobs import run
from napari_mitosis.measures.sweep import Grid, choose_rule
from napari_mitosis.models.partmitosis import CompactPartMitosis, PartMitosis
from napari_mitosis.models.registry import find_version, load_detector
from napari_mitosis.tables import annotations_frame
from napari_mitosis.training import paper
from napari_mitosis.training.ablations.segmitos import trained_ablation
from napari_mitosis.training.augment import make_batch, plain
from napari_mitosis.training.checkpoint import save_tensors
from napari_mitosis.training.crossval import Scored
from napari_mitosis.training.final import train_paper
from napari_mitosis.training.material import TrainingData
from napari_mitosis.training.patient_report import Seen, report_patients
from napari_mitosis.training.patients import patient_folds, patient_interval
from napari_mitosis.training.queue import QueuePlan, _blended, _parent, stages
from napari_mitosis.training.segmitos import SYSTEM
from napari_mitosis.training.stages import Stage, run_stages
from napari_mitosis.training.stain import Colour, disturb_colour, stain_bank, statistics
from napari_mitosis.training.strong import StrongSource
from napari_mitosis.training.systems import PaperPlan, half_positive, system
from napari_mitosis.training.windows import CropSource, FieldSource


def sample(name: str, case: str, mitoses: int = 2, mpp: float = 0.25, side: int = 240) -> Sample:
    pixels = np.random.default_rng(len(name)).integers(120, 250, (side, side, 3), dtype=np.uint8)
    points = annotations_frame([40.0 + 60 * i for i in range(mitoses)], [60.0] * mitoses)
    return Sample(Field.from_array(pixels, mpp, name), points, case=case, dataset="test")


def test_patients_of_both_contests_stay_together_and_every_fold_has_both_scanners() -> None:
    patients = {"A00": 1, "A01": 3, "A02": 2, "A03": 3, "H05": 3, "H07": 2, "H10": 1, "H11": 2}
    samples = [sample(f"{case}_{i}", case, n) for case, n in patients.items() for i in range(2)]
    samples.append(sample("A03_frame", "A03", 1))
    dealt = patient_folds(samples)
    assert sorted(i for fold in dealt for i in fold) == list(range(len(samples)))
    cases = [{samples[i].case for i in fold} for fold in dealt]
    assert all(not (a & b) for k, a in enumerate(cases) for b in cases[k + 1 :])
    assert all({case[0] for case in fold} == {"A", "H"} for fold in cases)


def test_the_interval_over_patients_is_wider_than_one_over_their_fields() -> None:
    import pandas as pd

    good = pd.DataFrame({"case": ["a"] * 20, "tp": 9, "fp": 1, "fn": 1})
    bad = pd.DataFrame({"case": ["b"] * 20, "tp": 3, "fp": 7, "fn": 7})
    low, high = patient_interval(pd.concat([good, bad], ignore_index=True))
    assert low == pytest.approx(0.3)
    assert high == pytest.approx(0.9)


def test_windows_are_moved_towards_the_stain_of_another_image_both_ways() -> None:
    rng = np.random.default_rng(0)
    pink = rng.normal((220, 150, 190), 15, (96, 96, 3)).clip(1, 254).astype(np.uint8)
    purple = rng.normal((120, 90, 170), 30, (96, 96, 3)).clip(1, 254).astype(np.uint8)
    for here, there in ((pink, purple), (purple, pink)):
        bank = stain_bank([[there]])
        crops = torch.from_numpy(here).permute(2, 0, 1)[None].float().repeat(64, 1, 1, 1)
        moved = disturb_colour(crops, rng, Colour(stain=0.0, offset=0.0, transfer=1.0, bank=bank))
        means = moved.mean(dim=(2, 3)).numpy()
        # Each went a random share of the way: some hardly at all, some nearly all of it.
        share = (means - here.mean((0, 1))) / (there.mean((0, 1)) - here.mean((0, 1)))
        assert share.min() < 0.15
        assert share.max() > 0.85
    assert statistics(purple)[0, 0] > statistics(pink)[0, 0]


def test_half_of_the_tiles_of_a_mosaic_hold_no_mitosis(tmp_path: Path) -> None:
    """Crops of one colour for each kind tell where a tile came from."""
    colours = {"mitosis": (200, 40, 40), TISSUE: (40, 40, 200)}
    crops = []

    class Painted(Crop):
        def pixels(self) -> np.ndarray:
            return np.full((128, 128, 3), colours[self.group], dtype=np.uint8)

    for group in colours:
        points = annotations_frame([64.0], [64.0]) if group == "mitosis" else annotations_frame([], [])
        crops += [Painted(tmp_path / group / f"{i}.png", points, f"{i}", group, (128, 128)) for i in range(4)]
    source = CropSource(crops, 256)
    rng = np.random.default_rng(1)
    mosaics = [source.mosaic(rng) for _ in range(40)]
    blue = np.mean([np.mean(m.pixels[..., 2] > 100) for m in mosaics])
    assert 0.2 < blue < 0.4  # 0.6 of the empty half; the rest of it is corners of the mitotic crops
    for mosaic in mosaics:
        for y, x in mosaic.mitoses_yx:
            if 0 <= y < 256 and 0 <= x < 256:
                assert mosaic.pixels[int(y), int(x), 0] == 200


def test_cases_with_few_mitoses_are_drawn_more_often_than_their_share() -> None:
    source = FieldSource([sample("a", "many", 3), sample("b", "many", 3), sample("c", "few", 1)], 96)
    rng = np.random.default_rng(0)
    few = np.mean([len(source.positive(rng).mitoses_yx) == 1 for _ in range(400)])
    assert 0.22 < few < 0.36  # 1 : root of 6, not 1 : 6
    anywhere = np.mean([len(source.negative(rng).mitoses_yx) == 1 for _ in range(400)])
    assert 0.4 < anywhere < 0.6


def test_fields_of_another_scanner_are_brought_to_the_scale_of_the_network() -> None:
    fine = sample("H", "H", 2, mpp=0.2, side=300)
    (scaled,) = at_scale([fine], 0.25)
    assert scaled.field.shape == (240, 240)
    assert scaled.field.mpp == 0.25
    np.testing.assert_allclose((scaled.centroids_yx() + 0.5) * 0.25, (fine.centroids_yx() + 0.5) * 0.2)
    alike = sample("A", "A", mpp=0.2456)
    assert at_scale([alike], 0.25) == [alike]


def test_stages_run_in_order_go_on_after_a_failure_and_again_for_a_longer_target(tmp_path: Path) -> None:
    ran: list[str] = []
    broken = [True]

    def job(name: str):
        def start():
            yield from ()
            if name == "b" and broken.pop():
                raise OSError("killed")
            ran.append(name)

        return start

    def queue(target: str) -> list[Stage]:
        return [
            Stage("c", target, job("c"), ("b",)),
            Stage("a", "once", job("a")),
            Stage("b", target, job("b"), ("a",)),
        ]

    with pytest.raises(OSError, match="killed"):
        run(run_stages(queue("10"), tmp_path))
    assert ran == ["a"]
    broken.append(False)
    (tmp_path / "b" / "lock").write_text("999999999")  # of a process that is no more
    assert run(run_stages(queue("10"), tmp_path)) == ["b", "c"]
    broken.append(False)
    assert run(run_stages(queue("20"), tmp_path)) == ["b", "c"]
    assert ran == ["a", "b", "c", "b", "c"]
    assert run(run_stages(queue("20"), tmp_path)) == []


def scored(name: str, case: str, fold: str, false_score: float) -> Scored:
    """A map that finds all mitoses at .9 and as many false figures at `false_score`."""
    field = sample(name, case)
    cells = np.zeros((60, 60), dtype=np.float16)
    for y, x in field.centroids_yx():
        row, column = int(y / 4), int(x / 4)
        cells[row - 2 : row + 3, column - 2 : column + 3] = 0.9
        cells[row - 2 : row + 3, column + 23 : column + 28] = false_score
    return Scored(field, fold, Evidence({"score": cells}, 4, (240, 240), 0.25, "test@1", field.field.digest))


def test_a_field_that_the_start_saw_is_neither_measured_nor_chosen_on(tmp_path: Path) -> None:
    fields = [
        scored("A00_0", "A00", "P-0", 0.95),  # seen: its false figures would push the threshold up
        scored("A00_1", "A00", "P-0", 0.4),
        scored("H05_0", "H05", "P-0", 0.4),
        scored("H07_0", "H07", "P-1", 0.5),
        scored("H10_0", "H10", "P-2", 0.5),
    ]
    rule, rules, measures = run(report_patients(fields, Rule(), Seen(frozenset({"A00_0"})), tmp_path, 7.5))
    figures = {m.name: m for m in measures}
    assert set(figures) == {"protocol P, Aperio, new fields of known slides", "protocol P, Hamamatsu, new patients"}
    new = figures["protocol P, Hamamatsu, new patients"]
    assert (new.fields, new.patients, new.mitoses) == (3, 3, 6)
    assert new.f == 1.0
    assert new.false_per_mm2 == 0.0
    assert rule.min_score < 0.9
    assert set(rules) == {"P-0", "P-1", "P-2"}
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["rule"]["min_score"] == rule.min_score


def test_no_rule_has_a_score_threshold_that_nothing_can_fail() -> None:
    grid = Grid(threshold=(0.2, 0.5), min_score=(0.2, 0.3, 0.45, 0.6, 0.75))
    flat = np.ones((*grid.shape, 2), dtype=np.int64)
    _, table = choose_rule([flat], 1, Rule(), grid)
    high = table[table["threshold"] == 0.5]
    assert not high.empty
    assert high["min_score"].min() == 0.45  # the highest one below the map's own stands for "none"


def test_paper_training_draws_a_positive_in_every_second_step() -> None:
    draw = half_positive(FieldSource([sample("a", "a", 1, side=1200)], 64))
    rng = np.random.default_rng(0)
    near = [np.abs(window.mitoses_yx - 32).max() < 110 for (window,) in (draw(rng) for _ in range(200))]
    assert 0.4 < np.mean(near) < 0.65


def test_both_branches_of_partmitosis_learn_from_centroids() -> None:
    torch.manual_seed(0)
    network = CompactPartMitosis()
    pixels = torch.rand(2, 3, 64, 64) * 255
    points = [np.array([[32.0, 32.0]]), np.empty((0, 2))]
    PartMitosis.loss(network, pixels, points, np.random.default_rng(0)).backward()
    for part in (network.concentric.score, network.strong.trunk.stem, network.transfer):
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in part.parameters())


def test_a_network_of_the_paper_gets_a_card_and_loads_like_any_version(tmp_path: Path) -> None:
    """MSSN, which has references to set besides; a few steps teach nothing, but make everything."""
    frame = annotations_frame([40.0, 160.0, 100.0], [60.0, 60.0, 150.0], ["mitosis", "mitosis", "mimic"])
    field = Field.from_array(np.random.default_rng(0).integers(0, 255, (240, 240, 3), dtype=np.uint8), 0.25, "f")
    samples = [Sample(field, frame, case="a", dataset="test")]
    job = train_paper("mssn", "paper", samples, None, tmp_path, PaperPlan(2, 128, 0), version="0.0.1")
    card = run(job)
    assert (card.config, card.version) == ("paper", "0.0.1")
    loaded = load_detector("mssn@0.0.1", tmp_path / "published")
    assert loaded.network.references.abs().sum() > 0


def test_a_fold_is_measured_between_the_weights_it_began_with_and_the_trained_ones(tmp_path: Path) -> None:
    first, trained = SYSTEM.network().state_dict(), SYSTEM.network().state_dict()
    for place, state in (("base/base", first), ("P-0/model", trained)):
        save_tensors(tmp_path / "segmitos" / f"{place}.safetensors", state, {})
    plan = QueuePlan(tmp_path, start=tmp_path / "segmitos" / "base" / "base.safetensors", blend=0.25)
    name = next(key for key, value in first.items() if value.ndim == 4)
    between = _blended(plan, "segmitos", "P-0")
    torch.testing.assert_close(between[name], 0.75 * first[name] + 0.25 * trained[name])
    whole = _blended(replace(plan, blend=1.0), "segmitos", "P-0")
    torch.testing.assert_close(whole[name], trained[name])
    # What was measured at one place on the way is no mark of another.
    data = TrainingData([sample("A00_01", "A00"), sample("H05_00", "H05")], [], [], [])
    targets = [{s.name: s.target for s in stages(data, p)} for p in (plan, replace(plan, blend=1.0))]
    assert targets[0]["segmitos/report"] != targets[1]["segmitos/report"]
    assert targets[0]["segmitos/published"] != targets[1]["segmitos/published"]


def test_what_another_threshold_alone_is_worth_is_measured_beside_the_training(tmp_path: Path) -> None:
    start = find_version("segmitos@1.0.0")[1]
    samples = [sample(f"{case}_{i}", case, 2) for case in ("H05", "H07", "A00", "A01") for i in range(2)]
    for one in samples:
        scores = np.zeros((60, 60), dtype=np.float16)
        for y, x in one.centroids_yx():
            scores[int(y) // 4 - 3 : int(y) // 4 + 3, int(x) // 4 - 3 : int(x) // 4 + 3] = 0.9
        scores[30:36, 40:46] = 0.75  # a mimic, which the rule of the card lets through
        evidence = Evidence({"score": scores}, 4.0, (240, 240), 0.25, "segmitos@1.0.0", one.field.digest)
        save_evidence(tmp_path / "segmitos" / "parent" / "evidence" / f"{one.field.name}.npz", evidence)
    (tmp_path / "segmitos" / "parent").mkdir(exist_ok=True)
    run(_parent(TrainingData(samples, [], [], []), QueuePlan(tmp_path, start=start, seen=("A00_1",)), "segmitos"))
    by_card, by_others = (tmp_path / "segmitos" / "parent" / "report.txt").read_text().split("by rules chosen")
    assert "Hamamatsu, new patients: P 0.667 R 1.000" in by_card
    assert "Hamamatsu, new patients: P 1.000 R 1.000" in by_others
    for text in (by_card, by_others):  # a field of a slide that the weights know is of no new patient
        assert "Aperio, new fields of known slides" in text
        assert "Aperio, new patients" in text


def test_labels_of_masks_are_the_masks_where_there_are_masks() -> None:
    mask = np.zeros((240, 240), dtype=np.uint16)
    mask[20:61, 40:81] = 1  # a square, which no disc is
    whole = sample("a", "a", 1)
    masked = Sample(whole.field, whole.annotations, mask, "a", "test")
    source = StrongSource([masked, sample("b", "b", 1)], 96)
    how = plain(64, label="mask")
    rng = np.random.default_rng(0)
    _, labels = make_batch([source.window(0, 40, 60), source.window(1, 40, 60)], rng, how, 4)
    # 41 px turned by any angle: about 105 cells, less those of its rim, against 44 at most of a random disc.
    assert (labels[0] == 1).sum() > 60
    assert 12 < (labels[1] == 1).sum() < 62
    # Where the mask is known a disc that leaves it out counts for nothing; in its cells at the rim nobody knows.
    assert set(np.unique(labels[0])) == {0, 1, 255}
    with pytest.raises(WeightsError, match="mask"):
        SYSTEM.with_label("square")
    with pytest.raises(WeightsError, match="its own"):
        system("idsia").with_label("mask")


def test_a_stage_of_the_paper_is_taught_by_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taught = []
    loss = paper.concentric_loss

    def noted(logits: torch.Tensor, labels: torch.Tensor, how: str) -> torch.Tensor:
        taught.append(labels)
        return loss(logits, labels, how)

    monkeypatch.setattr(paper, "concentric_loss", noted)
    field = sample("a", "a", side=480).field
    mask = np.ones((480, 480), dtype=np.uint16)  # all of the field: no disc is so large
    masked = Sample(field, annotations_frame([240.0], [240.0], "mitosis"), mask, "a", "test")
    recipe = paper.PaperRecipe(steps=1, crop_px=64, positives=1.0, label="mask")
    tiny = nn.Conv2d(3, 2, 32, stride=32)
    tiny.stride, tiny.finest = 32, 32
    run(paper.train_stage(tiny, [masked], recipe, tmp_path))
    assert (taught[0] == 1).all()


def test_kinds_of_labels_are_compared_from_stage_1_on(tmp_path: Path, shared_data: Path) -> None:
    (tmp_path / "S-0").mkdir()
    with pytest.raises(WeightsError, match=r"base\.safetensors is missing"):
        run(trained_ablation(tmp_path, shared_data, tmp_path, steps=1))
