"""One case of each attack: it survives when it ends in a result or in a `MitosisError`, and nothing else."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import random
import shutil
import struct
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from napari_mitosis.annotations.exchange import read_annotations
from napari_mitosis.annotations.rows import FieldFacts
from napari_mitosis.annotations.snapshot import FieldRecord, FigureRecord, Snapshot
from napari_mitosis.annotations.spill import Spill, left_behind
from napari_mitosis.batches.batch import read_detections
from napari_mitosis.errors import MitosisError
from napari_mitosis.fields.field import open_field
from napari_mitosis.finetune.claim import claim
from napari_mitosis.finetune.journal import field_plans
from napari_mitosis.finetune.outcome import read_outcome
from napari_mitosis.finetune.plan import FinetunePlan, read_plan
from napari_mitosis.finetune.publish import publish_child
from napari_mitosis.finetune.runs import read_progress, read_run
from napari_mitosis.models.adoption import read_adopted
from napari_mitosis.models.card import read_card
from napari_mitosis.models.registry import installed

from .kinds import contents
from .mutate import damaged, damaged_json, damaged_tags

FACTS = FieldFacts("a", "a.tif", (48, 80), 0.25)


def image(rng: random.Random, folder: Path) -> str:
    """An image of any kind is damaged, opened and read."""
    name = rng.choice(sorted(contents()))
    change = rng.choice((damaged, damaged, damaged_tags))
    path = folder / "image.tif"
    path.write_bytes(change(contents()[name], rng))
    try:
        field = open_field(path)
        height, width = field.shape
        block = field.read(0, min(height, 512), max(0, width - 512), width)
        field.read(max(0, height - 64), height, 0, min(width, 64))
    except MitosisError as error:
        assert "\n" not in str(error), "a message of several lines"
        assert len(str(error)) < 400, "a long message"
        return "refused"
    assert block.dtype == np.uint8
    assert block.shape == (min(height, 512), min(width, 512), 3)
    assert field.mpp is None or 0.05 <= field.mpp <= 5
    return "opened"


_CSV = (
    "figure,y_px,x_px,label,phase,reader,source,score,time\n"
    "0123456789abcdef0123456789abcdef,1.5,2.5,mitosis,metaphase,ann,reader,0.5,2030-01-01T00:00:00+00:00\n"
    ",3,4,mimic,,=cmd,segmitos@1.0.0,,\n"
)
_GEOJSON = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "id": "01234567-89ab-cdef-0123-456789abcdef",
            "geometry": {"type": kind, "coordinates": places},
            "properties": {
                "objectType": "annotation",
                "classification": {"name": "mitosis", "color": [0, 1, 2]},
                "metadata": {"reader": "ann"},
                "measurements": {"score": 0.5},
            },
        }
        for kind, places in (("Point", [1.5, 2]), ("Polygon", [[[0, 0], [4, 0], [4, 4], [0, 0]]]))
    ],
}
_MIDOG = {
    "images": [{"id": 1, "file_name": "a.tif", "width": 80, "height": 48}],
    "categories": [{"id": 1, "name": "mitotic figure"}, {"id": 2, "name": "hard negative"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 11, 12], "score": 0.5, "reader": "ann"},
        {"id": 2, "image_id": 1, "category_id": 2, "bbox": [20, 20, 30, 30]},
    ],
}
_DETECTIONS = (
    "file,y_px,x_px,y_um,x_um,score,area_um2,model\na.tif,1,2,0.25,0.5,0.9,30,m@1\nb.tif,3,4,0.75,1,0.8,20,m@1\n"
)


def table(rng: random.Random, folder: Path) -> str:
    """Annotations or detections are damaged and read."""
    kind = rng.choice(("csv", "geojson", "midog", "detections"))
    if kind in ("geojson", "midog"):
        content = _json_bytes(_GEOJSON if kind == "geojson" else _MIDOG, rng)
    else:
        content = damaged((_CSV if kind == "csv" else _DETECTIONS).encode(), rng)
    path = folder / "table"
    path.write_bytes(content)
    try:
        if kind == "detections":
            read_detections(path)
        else:
            read_annotations(path, FACTS, kind)
    except MitosisError:
        return "refused"
    return "read"


def _json_bytes(content: Any, rng: random.Random) -> bytes:
    if rng.random() < 0.25:
        return damaged(json.dumps(content).encode(), rng)
    return json.dumps(damaged_json(content, rng)).encode("utf-8", "surrogatepass")


@functools.cache
def _card() -> Any:
    shipped = Path(str(resources.files("napari_mitosis") / "weights" / "deepdet-1.0.0.json"))
    return json.loads(shipped.read_text(encoding="utf-8"))


def card(rng: random.Random, folder: Path) -> str:
    """A model card, or the note of what is in use, is damaged and read."""
    (folder / "a.safetensors").write_bytes(b"")
    (folder / "a.json").write_bytes(_json_bytes(_card(), rng))
    (folder / "adopted.json").write_bytes(_json_bytes({"deepdet": ["deepdet@1.0.0"]}, rng))
    with contextlib.suppress(MitosisError):
        read_adopted(folder)
        assert len(installed(folder)) <= 1
    try:
        found = read_card(folder / "a.json")
    except MitosisError:
        return "refused"
    found.decision_rule()
    found.verified_rule()
    assert "/" not in found.name + found.version
    return "read"


_DIGEST = "d" * 64


@functools.cache
def _run() -> Mapping[str, Any]:
    """The files of a finished fine-tuning."""
    figure = FigureRecord(id="f" * 32, y_px=5, x_px=5, label="mitosis")
    fields = (FieldRecord(digest=_DIGEST, name="a", path="/a.tif", mpp=0.25, shape=(99, 99), figures=(figure,)),)
    snapshot = Snapshot(seq=1, fields=fields)
    plan = FinetunePlan(
        parent="deepdet@1.0.0", version="1.0.0+tuned.1", fields=field_plans(snapshot), snapshot=snapshot.sha256
    )
    figures = dict.fromkeys(("precision", "recall", "f", "low", "high"), 0.5)
    spots = {kind: [{"field": 0, "y_px": 1, "x_px": 2}] for kind in ("found", "lost", "new_false", "dropped_false")}
    verdict = {"offered": True, "reason": "r", "parent": figures, "child": figures, "difference": 0.1, **spots}
    outcome = {
        "status": "finished",
        "child": "child.safetensors",
        "child_sha256": hashlib.sha256(b"weights").hexdigest(),
        "card": {**_card(), "version": "1.0.0+tuned.1", "parent": "deepdet@1.0.0", "sha256": ""},
        "fields": [_DIGEST],
        "verdict": {**verdict, "low": 0.0, "high": 0.2, "fields": 1, "mitoses": 9},
    }
    frozen = {"sha256": snapshot.sha256, **snapshot.model_dump(mode="json")}
    progress = {"event": "progress", "done": 1, "total": 2, "message": "m", "metrics": {"f": 0.5}, "time": 1.0}
    return MappingProxyType(
        {"plan": plan.model_dump(mode="json"), "snapshot": frozen, "outcome": outcome, "progress": progress}
    )


def tampered_run(rng: random.Random, folder: Path) -> str:
    """A finished fine-tuning of which a file was changed is continued and published; nothing leaves its place."""
    place, models = folder / "run", folder / "models"
    for path in (place, models):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
    changed = rng.choice(sorted(_run()))
    for name, content in _run().items():
        suffix = "jsonl" if name == "progress" else "json"
        text = _json_bytes(content, rng) if name == changed else json.dumps(content).encode()
        (place / f"{name}.{suffix}").write_bytes(text + b"\n")
    (place / "child.safetensors").write_bytes(b"weights")
    before = {path for path in folder.parent.rglob("*") if models not in path.parents}
    read_run(place)
    read_progress(place)
    with contextlib.suppress(MitosisError):
        read_outcome(place)
    try:
        claim(read_plan(place), place)
        name = publish_child(place, models)
    except MitosisError:
        name = ""
    after = {path for path in folder.parent.rglob("*") if models not in path.parents}
    assert {path.name for path in after - before} <= {"begun.json"}, "a file outside of its place"
    assert len(list(models.iterdir())) == (2 if name else 0)
    return "published" if name else "refused"


@functools.cache
def _weights() -> bytes:
    return Path(str(resources.files("napari_mitosis") / "weights" / "idsia-1.0.0.safetensors")).read_bytes()


def weights(rng: random.Random, folder: Path) -> str:
    """Weights with NaN, other shapes, huge headers or damage anywhere are loaded."""
    from napari_mitosis.models.registry import detector_class
    from napari_mitosis.models.weights import load_weights

    data = bytearray(_weights())
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    kind = rng.randrange(5)
    if kind == 0:
        header = damaged_json(header, rng)
    elif kind == 1:
        at = 8 + length + 2 * rng.randrange((len(data) - 8 - length) // 2)
        data[at : at + 2] = rng.choice((b"\x00\x7e", b"\x00\x7c", b"\x00\xfc"))  # NaN and infinities of float16
    elif kind == 2:
        key = rng.choice(sorted(header.keys() - {"__metadata__"}))
        header[key]["shape"] = rng.choice(([1], [2**31, 2**31], [-1], [], header[key]["shape"][::-1]))
    if kind in (0, 2):
        text = json.dumps(header).encode("utf-8", "surrogatepass")
        data = bytearray(struct.pack("<Q", len(text)) + text) + data[8 + length :]
    elif kind == 3:
        data[:8] = struct.pack("<Q", rng.choice((0, 2, 2**20, 2**40, 2**63, 2**64 - 1, length - 1)))
    elif kind == 4:
        data = bytearray(damaged(bytes(data), rng))
    path = folder / "w.safetensors"
    path.write_bytes(data)
    network = detector_class("idsia").build("compact")
    try:
        load_weights(network, path)
    except MitosisError:
        return "refused"
    assert all(bool(value.isfinite().all()) for value in network.state_dict().values()), "a weight that is no number"
    return "loaded"


def spill(rng: random.Random, folder: Path) -> str:
    """A file of kept actions is damaged: what is whole in it comes back, and nothing else."""
    from napari_mitosis.annotations.actions import Action, new_id

    shutil.rmtree(folder / "spill", ignore_errors=True)
    kept = Spill("journal", folder / "spill")
    place = {"y_px": 1.0, "x_px": 2.0, "label": "mitosis"}
    actions = [Action(new_id(), "add", _DIGEST, new_id(), reader="Žofie", **place) for _ in range(6)]  # type: ignore[arg-type]
    for start in (0, 2, 4):
        assert kept.keep(actions[start : start + 2])
    content = kept.path.read_bytes()
    kept.path.write_bytes(changed := damaged(content, rng))
    (found,) = left_behind("journal", folder / "spill")
    whole = [line for line in content.split(b"\n") if line and line + b"\n" in changed]
    wanted = {action.id for action in actions if any(f'"{action.id}"'.encode() in line for line in whole)}
    assert {action.id for action in found.actions} == wanted, "a whole line is lost, or a broken one is taken"
    assert all(action in actions for action in found.actions)
    return "whole" if found.whole else "told"


CASES: Mapping[str, Callable[[random.Random, Path], str]] = MappingProxyType(
    {"images": image, "tables": table, "cards": card, "runs": tampered_run, "weights": weights, "spill": spill}
)
