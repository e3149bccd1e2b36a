"""An ensemble chosen fold by fold, on evidence whose truth is known."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_mitosis import jobs
from napari_mitosis.datasets.sample import Sample
from napari_mitosis.decision.decide import Rule, decide
from napari_mitosis.decision.evidence import CANDIDATE_COLUMNS, Evidence
from napari_mitosis.errors import DatasetError
from napari_mitosis.fields.field import Field
from napari_mitosis.inference.cache import save_evidence
from napari_mitosis.inference.ensemble import ensemble_rule
from napari_mitosis.measures.calibrate import Calibration
from napari_mitosis.measures.evaluate import match
from napari_mitosis.models.card import read_card
from napari_mitosis.training.crossval import folds
from napari_mitosis.training.ensemble import (
    Held,
    Run,
    combined,
    count_weights,
    cross_fit,
    fit_ensemble,
    fold_rules,
    gather,
    loosened,
    parse_run,
    weight_grid,
)
from napari_mitosis.training.ensemble_card import ensemble_card, make_ensemble
from napari_mitosis.training.reliability import SUMMARY_COLUMNS, read_scores, reliability

MPP = 0.25
SIDE = 1200
CUT = Rule(smoothing_um=0.0, threshold=0.05, min_area_um2=0.0, min_score=0.5)


def draw_sample(number: int) -> Sample:
    """A field of nothing with eight mitoses on a grid: the evidence is drawn, not computed."""
    rng = np.random.default_rng(number)
    places = rng.permutation([(y, x) for y in range(100, SIDE, 125) for x in range(100, SIDE, 125)])[:8]
    points = pd.DataFrame({"y_px": places[:, 0], "x_px": places[:, 1]}).astype(np.float64)
    points = points.assign(label="mitosis", confidence=1.0)
    pixels = np.full((SIDE, SIDE, 3), number, dtype=np.uint8)
    field = Field.from_array(pixels, MPP, f"A0{number % 4}_{number:02}")
    return Sample(field, points, dataset="drawn", case=f"A0{number % 4}")


def draw_evidence(sample: Sample, skill: float, others: int, seed: int) -> Evidence:
    """Candidates at every mitosis and at so many of a hundred other places; scores tell them apart by `skill`."""
    rng = np.random.default_rng((seed, int(sample.field.name[4:])))
    mitoses = sample.centroids_yx()
    elsewhere_yx = rng.permutation([(y, x) for y in range(40, SIDE, 125) for x in range(40, SIDE, 125)])[:others]
    places = np.concatenate([mitoses + rng.normal(0, 2, mitoses.shape), elsewhere_yx])
    right = np.arange(len(places)) < len(mitoses)
    scores = 1 / (1 + np.exp(-(np.where(right, skill, -skill) + rng.normal(0, 1, len(places)))))
    table = np.column_stack([places, np.full((len(places), 2), 30.0), scores])
    candidates = pd.DataFrame(table, columns=[*CANDIDATE_COLUMNS, "detector"])
    shape = sample.field.shape
    return Evidence({}, 1.0, shape, MPP, "drawn@1", sample.field.digest, candidates=candidates, scores=("detector",))


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [draw_sample(number) for number in range(12)]


@pytest.fixture(scope="module")
def runs(samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Run folders of a good, an equally good and a useless detector, as `train crossval` and `report` leave them.

    The useless one has a candidate everywhere: where it had some only, a candidate of another member that it has, too,
    would more likely be a mitosis, whatever its scores.
    """
    found = []
    for number, (name, skill, others) in enumerate((("segmitos", 1.0, 16), ("idsia", 1.0, 16), ("mssn", 0.0, 100))):
        folder = tmp_path_factory.mktemp(name)
        names = []
        for protocol in ("S", "N"):
            for fold, test in folds(samples, protocol).items():  # type: ignore[arg-type]
                names.append(fold)
                for i in test:
                    evidence = draw_evidence(samples[i], skill, others, 10 * number + (protocol == "N"))
                    save_evidence(folder / fold / "evidence" / f"{samples[i].field.name}.npz", evidence)
        values = {k: v for k, v in asdict(CUT).items() if v != float("inf")}
        (folder / "rules.json").write_text(json.dumps(dict.fromkeys(names, values)))
        (folder / "report.json").write_text(json.dumps({"rule": values}))
        found.append(Run(name, folder))
    return found


def test_the_ensemble_beats_its_members_and_is_published(
    runs: list[Run], samples: list[Sample], tmp_path: Path
) -> None:
    found = jobs.run(make_ensemble(runs, samples, tmp_path, 7.5))
    assert list(found) == ["ensemble", "segmitos", "idsia", "mssn"]
    for i, protocol in enumerate("SN"):
        each = {name: measures[i] for name, measures in found.items()}
        assert f"protocol {protocol}" in each["ensemble"].name
        assert each["ensemble"].mitoses == 96
        assert each["ensemble"].f > max(each["segmitos"].f, each["idsia"].f) + 0.04
        assert each["mssn"].f < 0.5
    report = json.loads((tmp_path / "report.json").read_text())
    weights = dict(report["rule"]["weights"])
    # Nobody is left out, not even a member that tells nothing: it adds the same to all. But it weighs no more than one
    # that does.
    assert set(weights) == {"segmitos", "idsia", "mssn"}
    assert min(weights.values()) > 0
    assert weights["mssn"] <= min(weights["segmitos"], weights["idsia"])
    assert [member["model"].partition("@")[0] for member in report["members"]] == list(weights)
    scores = read_scores(tmp_path / "scores.csv")
    assert set(scores["fold"]) == {*folds(samples, "S"), *folds(samples, "N")}
    assert scores["hit"].sum() == 192  # every mitosis has a candidate, in either protocol
    summary = reliability("ensemble", scores, tmp_path / "reliability.png")
    assert tuple(summary.columns) == SUMMARY_COLUMNS
    assert summary["protocol"].tolist() == ["S", "N"]
    assert summary["mitoses"].tolist() == [96, 96]
    assert (summary["error_probability"] < 0.12).all()
    with Image.open(tmp_path / "reliability.png") as picture:
        assert picture.size == (800, 960)


def test_nothing_of_a_fold_reaches_what_measures_it(runs: list[Run], samples: list[Sample]) -> None:
    """With every truth of one fold's fields moved away, its detections stay as they are to the bit."""
    pair = runs[:2]
    held = gather(pair, samples)
    assert len(held) == 2 * len(samples)
    own = {one.sample.field.name for one in held if one.fold == "S-1"}
    moved = [replace(one, sample=elsewhere(one.sample)) if one.sample.field.name in own else one for one in held]
    before, after = (
        {(one.held.fold, one.held.sample.field.name): one.detections["ensemble"] for one in found}
        for found in (jobs.run(cross_fit(held, pair, 7.5)), jobs.run(cross_fit(moved, pair, 7.5)))
    )
    assert before.keys() == after.keys()
    for (fold, name), table in before.items():
        if fold == "S-1":
            pd.testing.assert_frame_equal(table, after[fold, name])
    changed = [fold for (fold, name), table in before.items() if not table.equals(after[fold, name])]
    assert changed  # or the moved truths reached nothing at all


def elsewhere(sample: Sample) -> Sample:
    """The same field with its mitoses where nobody looks."""
    points = sample.annotations.assign(y_px=np.arange(8) * 60.0 + 5, x_px=3.0)
    return Sample(sample.field, points, dataset=sample.dataset, case=sample.case)


def test_an_equal_member_is_weighed_alike(runs: list[Run], samples: list[Sample]) -> None:
    held = gather(runs[:2], samples)
    rules = {run.name: fold_rules(run)[""] for run in runs[:2]}
    fitted = jobs.run(fit_ensemble(held, rules, 7.5))
    weights = dict(fitted.rule.weights)
    assert 0.3 <= weights["segmitos"] <= 0.7
    assert sum(weights.values()) == pytest.approx(1, abs=1e-3)
    assert fitted.calibrations["segmitos"].apply(0.9) > 0.8
    assert fitted.calibrations["segmitos"].apply(0.1) < 0.2


def test_weights_are_tried_once_each() -> None:
    pairs = {tuple(each.values()) for each in weight_grid(["a", "b"])}
    assert pairs == {(0.3333, 0.6667), (0.5, 0.5), (0.6667, 0.3333)}
    five = weight_grid(list("abcde"))
    assert len({tuple(each.values()) for each in five}) == len(five)
    assert all(sum(each.values()) == pytest.approx(1, abs=1e-3) for each in five)


def test_all_weights_at_once_count_as_one_by_one(runs: list[Run], samples: list[Sample]) -> None:
    held = gather(runs, samples)[:3]
    points = np.array([list(each.values()) for each in weight_grid([run.name for run in runs])])
    cuts = np.array([0.1, 0.3, 0.5, 0.7])
    for one in held:
        tables = {name: decide(evidence, loosened(CUT)) for name, evidence in one.evidence.items()}
        like = one.evidence["segmitos"]
        own = combined(tables, dict.fromkeys(tables, Calibration()), like)
        counts = count_weights(own, one.truth, points, cuts, 7.5)
        for i, weights in enumerate(points):
            for j, cut in enumerate(cuts):
                rule = ensemble_rule(dict(zip(tables, weights, strict=True)), float(cut))
                found = match(decide(own, rule), one.truth, 7.5, MPP).counts
                assert counts[:, i, j].tolist() == [found.tp, found.fp]


def test_loose_rules_only_lose_their_cuts() -> None:
    assert loosened(Rule(threshold=0.3, min_area_um2=30, min_score=0.4, smoothing_um=1.0)) == Rule(
        threshold=0.1, floor=0.1, min_area_um2=15, min_score=0.0, smoothing_um=1.0
    )
    assert loosened(Rule()).threshold == 0.1
    assert loosened(replace(CUT, threshold=0.05)).threshold == 0.05
    peaks = Rule(method="peaks", threshold=0.4, min_score=0.0)
    assert loosened(peaks) == replace(peaks, threshold=0.025)


def test_runs_are_named_by_detector_and_verifier(tmp_path: Path) -> None:
    plain, behind = parse_run("deepdet=some/where"), parse_run("deepdet+deepver=there")
    assert (plain.name, plain.kind, plain.ending, plain.folder) == ("deepdet", "evidence", "", Path("some/where"))
    assert (behind.name, behind.kind, behind.ending) == ("deepdet+deepver", "verified-deepdet", "-verified-deepdet")
    for text in ("deepdet", "=there", "deepdet="):
        with pytest.raises(ValueError, match="no run"):
            parse_run(text)
    with pytest.raises(DatasetError, match="train report"):
        fold_rules(Run("deepdet", tmp_path))
    with pytest.raises(DatasetError, match="no held-out field"):
        gather([Run("deepdet", tmp_path)], [draw_sample(0)])
    with pytest.raises(DatasetError, match="no table"):
        read_scores(tmp_path / "scores.csv")


def test_its_card_pins_published_members(runs: list[Run], samples: list[Sample], tmp_path: Path) -> None:
    """SegMitos ships: an ensemble of it alone has a card that can be read back and says where it comes from."""
    jobs.run(make_ensemble(runs[:1], samples, tmp_path, 7.5, version="0.0.9"))
    card = read_card(tmp_path / "ensemble-0.0.9.json")
    assert card.name == "ensemble@0.0.9"
    assert card.members[0].name == "segmitos"
    assert card.members[0].model in card.notes
    assert card.decision_rule().weights == (("segmitos", 1.0),)
    assert card.members[0].decision_rule().min_score == 0
    assert card.calibration
    assert card.measures[0].command
    assert ensemble_card.__doc__
    assert isinstance(gather(runs[:1], samples)[0], Held)
