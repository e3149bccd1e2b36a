"""Evidence by pixels, weights and options: what a network saw once it need not look at again."""

from __future__ import annotations

import hashlib
import json
import threading
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..decision.evidence import Evidence
from ..files import replacing


class EvidenceCache:
    """Keeps the evidence used last in memory and, given a folder, all of it on disk.

    Safe to use from several threads.

    Parameters
    ----------
    folder : Path, optional
        Created when first needed.
    memory_bytes : int
        Score maps beyond this are dropped from memory, the longest unused first.
    """

    def __init__(self, folder: Path | None = None, memory_bytes: int = 512 * 2**20) -> None:
        self._folder = folder
        self._limit = memory_bytes
        self._memory: OrderedDict[str, Evidence] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Evidence | None:
        """The evidence under `key`, or None."""
        with self._lock:
            if key in self._memory:
                self._memory.move_to_end(key)
                return self._memory[key]
        evidence = self._read(key)
        if evidence is not None:
            self._keep(key, evidence)
        return evidence

    def put(self, key: str, evidence: Evidence) -> None:
        """Remember `evidence` under `key`."""
        self._keep(key, evidence)
        if self._folder is not None:
            save_evidence(self._path(key), evidence)

    def _keep(self, key: str, evidence: Evidence) -> None:
        with self._lock:
            self._memory[key] = evidence
            self._memory.move_to_end(key)
            while len(self._memory) > 1 and sum(map(_size, self._memory.values())) > self._limit:
                self._memory.popitem(last=False)

    def _path(self, key: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"

    def _read(self, key: str) -> Evidence | None:
        return None if self._folder is None else load_evidence(self._path(key))


def load_evidence(path: Path) -> Evidence | None:
    """Read what `save_evidence` wrote; None where it is absent or damaged: the network looks again."""
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            maps = {name: file[f"map_{i}"] for i, name in enumerate(header.pop("names"))}
            columns = header.pop("columns", None)
            candidates = None if columns is None else pd.DataFrame(file["candidates"], columns=columns)
        header |= {"shape": tuple(header["shape"]), "scores": tuple(header.get("scores", ()))}
        return Evidence(maps=maps, candidates=candidates, **header)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def save_evidence(path: Path, evidence: Evidence) -> None:
    """Write evidence as a compressed ``.npz`` file, whole or not at all."""
    header = {
        "names": list(evidence.maps),
        "stride": evidence.stride,
        "shape": evidence.shape,
        "mpp": evidence.mpp,
        "model": evidence.model,
        "field_digest": evidence.field_digest,
        "scores": evidence.scores,
    }
    maps: dict[str, Any] = {f"map_{i}": value for i, value in enumerate(evidence.maps.values())}
    if evidence.candidates is not None:
        header["columns"] = list(evidence.candidates.columns)
        maps["candidates"] = evidence.candidates.to_numpy(dtype=np.float64)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, header=np.array(json.dumps(header)), **maps)


def _size(evidence: Evidence) -> int:
    size = sum(score_map.nbytes for score_map in evidence.maps.values())
    return size + (0 if evidence.candidates is None else evidence.candidates.to_numpy().nbytes)
