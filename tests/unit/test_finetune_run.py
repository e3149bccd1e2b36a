"""Whole fine-tunings, on real weights and small cuts of the phantom field, with a budget of a few steps."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib import resources
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch

from napari_mitosis.errors import DatasetError, FieldError, WeightsError
from napari_mitosis.finetune import job
from napari_mitosis.finetune.job import RECIPE, finetune
from napari_mitosis.finetune.looking import Looking
from napari_mitosis.finetune.material import Known
from napari_mitosis.finetune.outcome import read_outcome
from napari_mitosis.finetune.plan import FieldPlan, Figure, FinetunePlan, read_plan
from napari_mitosis.finetune.reference_figures import renew_references
from napari_mitosis.jobs import run
from napari_mitosis.models.registry import LearnsMimics, detector_class, find_version
from napari_mitosis.models.segmitos import SegMitos
from napari_mitosis.models.weights import read_state

SIDE = 448
NAMES = ("segmitos", "partmitosis", "deepdet", "rpn", "deepver", "idsia", "mssn")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def fields(tmp_path_factory) -> list[FieldPlan]:
    """Three cuts of the phantom with many mitoses."""
    folder = tmp_path_factory.mktemp("fields")
    data = resources.files("napari_mitosis") / "sample_data"
    pixels = tifffile.imread(str(data / "hotspot.tif"))
    table = pd.read_csv(str(data / "hotspot.csv"))
    made = []
    for name, top, left in (("a", 0, 0), ("b", SIDE, 0), ("c", 0, SIDE)):
        path = folder / f"{name}.tif"
        tifffile.imwrite(path, pixels[top : top + SIDE, left : left + SIDE], photometric="rgb")
        y, x = table["y_px"] - top, table["x_px"] - left
        inside = y.between(0, SIDE - 1) & x.between(0, SIDE - 1)
        figures = tuple(
            Figure(y_px=py, x_px=px, label=label)
            for py, px, label in zip(y[inside], x[inside], table["label"][inside], strict=True)
        )
        made.append(FieldPlan(path=str(path), name=name, mpp=0.25, complete=True, figures=figures))
    return made


def plan_of(cuts: list[FieldPlan], parent: str = "segmitos@1.0.0", **changes) -> FinetunePlan:
    tissue = (cuts[2].model_copy(update={"figures": ()}),)
    values = {"fields": tuple(cuts[:2]), "tissue": tissue, "steps": 2, "device": "cpu", **changes}
    return FinetunePlan(parent=parent, version="1.0.0+tuned.1", **values)


@pytest.mark.parametrize("name", NAMES)
def test_every_detector_and_verifier_can_be_finetuned(fields, tmp_path, name):
    plan = plan_of(fields, f"{name}@1.0.0")
    outcome = run(finetune(plan, tmp_path, replace(RECIPE, blends=(0.0, 1.0), batch=8)))
    card = outcome.card
    assert (card.name, card.parent) == (f"{name}@1.0.0+tuned.1", f"{name}@1.0.0")
    seen = find_version(f"{name}@1.0.0")[0].seen
    assert (card.seen is None) == (seen is None)
    if seen is not None:
        assert len(card.seen.looks) == len(seen.looks) + 2  # it has seen what it learned from
    assert outcome.verdict.fields == 2
    assert outcome.verdict.mitoses == sum(f.label == "mitosis" for p in fields[:2] for f in p.figures)
    assert read_outcome(tmp_path) == outcome
    assert read_plan(tmp_path) == plan
    child, parent = read_state(tmp_path / "child.safetensors"), read_state(find_version(f"{name}@1.0.0")[1])
    assert child.keys() == parent.keys()
    changed = {k for k in child if not torch.equal(child[k], parent[k])}
    assert not {k for k in changed if "trunk." in k and child[k].ndim > 1}  # of the trunk, norms and biases learn
    assert not {k for k in changed if k.endswith(("running_mean", "running_var"))}
    assert bool(changed) == (card.finetuned["blend"] > 0)
    if name == "deepver":  # it decides behind a detector
        assert card.verified["detector"] == "deepdet"


@pytest.mark.parametrize("name", ["deepver", "mssn"])
def test_what_a_reader_called_a_mimic_enters_the_loss(name):
    """The loss on mimics falls as it is learned, and without mimics it is nothing."""
    torch.manual_seed(0)
    cls = detector_class(name)
    assert isinstance(cls, LearnsMimics)
    network = cls.build("compact").eval()
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 255, (2, 3, 128, 128)).astype(np.float32))
    places = [np.array([[40.0, 50.0]]), np.array([[90.0, 64.0]])]
    none = [np.empty((0, 2))] * 2
    assert float(cls.mimic_loss(network, pixels, places, none)) == 0.0
    mimics = [np.array([[90.0, 90.0]]), np.array([[30.0, 30.0], [500.0, 30.0]])]  # one lies outside
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    losses = []
    for _ in range(6):
        loss = cls.mimic_loss(network, pixels, places, mimics)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_references_follow_the_embedding_and_take_in_the_readers_figures(fields):
    parent, child = (detector_class("mssn").build("compact") for _ in range(2))
    state = read_state(find_version("mssn@1.0.0")[1])
    parent.load_state_dict(state)
    child.load_state_dict(state)
    known = [Known(f.sample(), None, np.empty((0, 2))) for f in fields[:2]]
    mitoses = sum(len(k.sample.centroids_yx()) for k in known)
    renew_references(child, parent, known, 288, torch.device("cpu"))
    before, after = parent.references, child.references
    changed = ((before - after).abs().amax(dim=2) > 1e-6).sum(dim=1)
    assert int(changed[0]) == min(mitoses, before.shape[1] // 2)  # nothing moved: only the reader's figures are new
    assert int(changed[2]) == 0
    with torch.no_grad():
        for name, value in child.embedding.named_parameters():
            if name.endswith("bias"):
                value += 0.3
    renew_references(child, parent, known, 288, torch.device("cpu"))
    assert not torch.equal(child.references[2], before[2])


def test_an_ensemble_says_that_its_members_can_be_finetuned(fields, tmp_path):
    with pytest.raises(WeightsError, match="one of its members: deepdet"):
        run(finetune(plan_of(fields, "ensemble@1.0.0"), tmp_path))


def test_a_run_that_is_cut_short_anywhere_ends_as_an_unbroken_one(fields, tmp_path, monkeypatch):
    recipe = replace(RECIPE, blends=(0.0, 1.0))
    monkeypatch.setattr("napari_mitosis.finetune.tune.CHECKPOINT_S", 0.0)
    whole = run(finetune(plan_of(fields), tmp_path / "whole", recipe))
    rng = np.random.default_rng(0)
    for _ in range(200):
        job = finetune(plan_of(fields), tmp_path / "cut", recipe)
        try:
            for _ in range(int(rng.integers(1, 25))):
                next(job)
        except StopIteration as stop:
            cut = stop.value
            break
        job.close()
    assert cut.verdict == whole.verdict
    assert cut.card == whole.card
    one, other = (read_state(tmp_path / name / "child.safetensors") for name in ("whole", "cut"))
    for key, value in one.items():
        torch.testing.assert_close(value, other[key], rtol=1e-5, atol=1e-6)


def test_training_changes_the_child_and_its_loss_is_told(fields, tmp_path):
    recipe = replace(RECIPE, blends=(1.0,))
    metrics = []
    outcome = run(finetune(plan_of(fields), tmp_path, recipe), lambda p: metrics.append((p, dict(p.metrics))))
    child, parent = read_state(tmp_path / "child.safetensors"), read_state(find_version("segmitos@1.0.0")[1])
    assert any(not torch.equal(child[k], parent[k]) for k in child)
    assert outcome.card.finetuned["blend"] == 1.0
    assert any("loss" in m for _, m in metrics)
    assert metrics[-1][1] == {"f": outcome.verdict.child.f, "parent_f": outcome.verdict.parent.f}
    steps = [p for p, _ in metrics if p.total == 2 * 3]  # two folds and the child, two steps each
    assert steps[-1].done == 6
    assert [p.done for p in steps] == sorted(p.done for p in steps)


def test_fields_to_compare_on_are_judged_and_not_learnt_from(fields, tmp_path):
    test = fields[2].model_copy(update={"role": "test"})
    outcome = run(finetune(plan_of(fields, fields=(test, *fields[:2]), tissue=()), tmp_path))
    assert outcome.verdict.fields == 3
    assert {s.field for s in (*outcome.verdict.found, *outcome.verdict.lost)} <= {0, 1, 2}
    assert "2 fields" in outcome.card.trained_on


def test_a_patient_is_judged_by_networks_that_learned_from_no_field_of_theirs(fields, tmp_path, monkeypatch):
    learned = []

    class Noted(job.Material):
        def __init__(self, known, *rest):
            learned.append([k.sample.field.name for k in known if k.unknown is None])
            super().__init__(known, *rest)

    monkeypatch.setattr(job, "Material", Noted)
    cases = [f.model_copy(update={"case": case}) for f, case in zip(fields, ("Ann", "Bob", "Ann"), strict=True)]
    outcome = run(finetune(plan_of(cases, fields=tuple(cases), tissue=(), steps=1), tmp_path))
    assert learned == [["b"], ["a", "c"], ["a", "b", "c"]]
    assert len(outcome.verdict.patients) == len(outcome.card.finetuned["patients"]) == 2
    assert outcome.card.finetuned["offered_for"] == "others, too"
    assert "Ann" not in outcome.card.model_dump_json()  # a card may be passed on


def test_one_field_is_judged_by_its_halves_and_never_enough(fields, tmp_path):
    outcome = run(finetune(plan_of(fields, fields=(fields[1],), tissue=()), tmp_path))
    assert outcome.verdict.fields == 1
    assert outcome.verdict.mitoses == sum(f.label == "mitosis" for f in fields[1].figures)
    assert not outcome.verdict.offered
    assert outcome.card.finetuned["offered_for"] == "the patient that it learned from"


class Machine:
    """A clock that only work moves on: every step and every look takes its time, later ones more."""

    def __init__(self, monkeypatch, step_s: float, look_s: float, busy_from_s: float = math.inf) -> None:
        self.now, self.busy_from_s = 1000.0, 1000.0 + busy_from_s
        real_loss, real_look = SegMitos.loss, Looking.look

        def loss(*arguments):
            self.work(step_s)
            return real_loss(*arguments)

        def look(*arguments):
            self.work(look_s)
            return real_look(*arguments)

        monkeypatch.setattr(SegMitos, "loss", staticmethod(loss))
        monkeypatch.setattr(Looking, "look", look)
        monkeypatch.setattr("napari_mitosis.finetune.job.time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr("napari_mitosis.finetune.tune.time", SimpleNamespace(monotonic=lambda: self.now))

    def work(self, seconds: float) -> None:
        self.now += seconds * (3 if self.now > self.busy_from_s else 1)


@pytest.mark.parametrize(("minutes", "busy_from_s"), [(1, math.inf), (5, math.inf), (5, 150.0)])
def test_the_time_is_kept_on_a_machine_that_gets_busy(fields, tmp_path, monkeypatch, minutes, busy_from_s):
    machine = Machine(monkeypatch, step_s=2.0 * minutes, look_s=1.0 * minutes, busy_from_s=busy_from_s)
    began, recipe = machine.now, replace(RECIPE, batch=1)
    outcome = run(finetune(plan_of(fields, steps=0, minutes=minutes), tmp_path, recipe))
    assert 0.9 * 60 * minutes <= machine.now - began <= 1.1 * 60 * minutes
    assert outcome.verdict.fields == 2
    assert outcome.card.finetuned["steps"] > 1


def test_too_little_time_leaves_a_child_and_says_that_nothing_was_judged(fields, tmp_path):
    outcome = run(finetune(plan_of(fields, steps=0, minutes=0.001), tmp_path))
    assert outcome.card.finetuned["steps"] == 1
    assert outcome.verdict.reason.startswith("Too little evidence: 0 fields")


def test_what_cannot_be_done_is_said(fields, tmp_path):
    empty = fields[0].model_copy(update={"figures": ()})
    other = fields[0].model_copy(update={"digest": "0" * 64})
    with pytest.raises(DatasetError, match="nothing to learn from"):
        run(finetune(plan_of(fields, fields=(empty,)), tmp_path / "empty"))
    with pytest.raises(DatasetError, match="at least one field"):
        run(finetune(plan_of(fields, fields=()), tmp_path / "none"))
    with pytest.raises(FieldError, match="not those that were annotated"):
        run(finetune(plan_of(fields, fields=(other, fields[1])), tmp_path / "other"))
    with pytest.raises(WeightsError, match="no weights for"):
        run(finetune(plan_of(fields, "segmitos@7.7.7"), tmp_path / "parent"))
    job = finetune(plan_of(fields), tmp_path / "taken")
    next(job)
    job.close()
    with pytest.raises(DatasetError, match="another fine-tuning"):
        run(finetune(plan_of(fields, seed=1), tmp_path / "taken"))


def test_a_damaged_plan_and_outcome_are_told(tmp_path):
    (tmp_path / "plan.json").write_text('{"parent": 3}')
    (tmp_path / "outcome.json").write_text("{}")
    with pytest.raises(DatasetError, match="no readable plan"):
        read_plan(tmp_path)
    with pytest.raises(DatasetError, match="no readable outcome"):
        read_outcome(tmp_path)
