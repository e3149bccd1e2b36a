"""What of a field is counted: all of it, an outline that a reader drew, or its tissue."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import MitosisError
from ..measures.tissue import tissue_mm2

Kind = Literal["whole", "outline", "tissue"]
_MOST_CORNERS = 5000
_MOST_CELLS = 1 << 24

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Area:
    """What of a field is counted. A figure counts if its centroid lies within.

    Attributes
    ----------
    kind : {"whole", "outline", "tissue"}
    corners_px : ndarray of float64, shape (n, 2)
        Of an outline: y and x of its corners.
    cells : ndarray of bool, shape (rows, columns)
        Of tissue: cells that hold some.
    side_px : int
        Side of a cell.

    Raises
    ------
    MitosisError
        When an outline has fewer than three corners or crosses itself.
    """

    kind: Kind = "whole"
    corners_px: NDArray[np.float64] | None = None
    cells: Bools | None = None
    side_px: int = 0

    def __post_init__(self) -> None:
        if self.kind == "outline":
            corners = np.asarray(self.corners_px, dtype=np.float64).reshape(-1, 2)
            if not 3 <= len(corners) <= _MOST_CORNERS or not np.isfinite(corners).all():
                raise MitosisError(f"An area needs an outline of 3 to {_MOST_CORNERS} corners. Draw it again.")
            if _crosses_itself(corners):
                raise MitosisError("The outline of the area crosses itself. Draw it again without a loop.")
            object.__setattr__(self, "corners_px", corners)
        elif self.kind == "tissue" and (self.cells is None or self.side_px < 1):
            raise MitosisError("An area of tissue needs its mask.")

    @classmethod
    def outline(cls, corners_px: ArrayLike) -> Area:
        """The area within corners (y, x)."""
        return cls("outline", corners_px=np.asarray(corners_px, dtype=np.float64).reshape(-1, 2))

    @classmethod
    def tissue(cls, cells: Bools, side_px: int) -> Area:
        """The cells that hold tissue."""
        return cls("tissue", cells=np.asarray(cells, dtype=bool), side_px=side_px)

    def holds(self, yx_px: ArrayLike, shape: tuple[int, int]) -> Bools:
        """Which places of a field of this shape lie within, shape (n,)."""
        places = np.asarray(yx_px, dtype=np.float64).reshape(-1, 2)
        inside = ((places >= -0.5) & (places < np.array(shape) - 0.5)).all(axis=1)
        if self.kind == "outline":
            from skimage.measure import points_in_poly

            assert self.corners_px is not None
            inside &= points_in_poly(places, self.corners_px)  # type: ignore[no-untyped-call]
        elif self.kind == "tissue":
            assert self.cells is not None
            at = np.floor((places + 0.5) / self.side_px).astype(np.intp)
            at = np.clip(at, 0, np.array(self.cells.shape) - 1)
            inside &= self.cells[at[:, 0], at[:, 1]]
        return np.asarray(inside)

    def mm2(self, shape: tuple[int, int], mpp: float) -> float:
        """Its size within a field of this shape."""
        if self.kind == "tissue":
            assert self.cells is not None
            return tissue_mm2(self.cells, self.side_px, shape, mpp)
        corners = _frame(shape) if self.kind == "whole" else _clipped(self.corners_px, shape)
        return abs(_signed_area(corners)) * mpp**2 / 1e6

    def text(self) -> str:
        """It as text, for the journal; the same area gives the same text."""
        content: dict[str, Any] = {"kind": self.kind}
        if self.kind == "outline":
            assert self.corners_px is not None
            content["yx_px"] = [[round(float(y), 2), round(float(x), 2)] for y, x in self.corners_px]
        elif self.kind == "tissue":
            assert self.cells is not None
            packed = base64.b64encode(zlib.compress(np.packbits(self.cells).tobytes(), 9)).decode()
            content |= {"side_px": self.side_px, "shape": list(self.cells.shape), "cells": packed}
        return json.dumps(content, sort_keys=True, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Area:
        """The area of a text; the whole field for an empty one.

        Raises
        ------
        MitosisError
            When it is none.
        """
        if not text:
            return cls()
        try:
            content = json.loads(text)
            kind = content["kind"]
            if kind == "whole":
                return cls()
            if kind == "outline":
                return cls.outline(content["yx_px"])
            if kind == "tissue":
                return cls.tissue(_unpacked(content["cells"], content["shape"]), int(content["side_px"]))
        except (ValueError, KeyError, TypeError, zlib.error) as error:
            raise MitosisError(f"The journal holds an area that cannot be read ({error}). State it again.") from error
        raise MitosisError(f"The journal holds an area of the unknown kind '{str(kind)[:40]}'.")


def _unpacked(text: str, shape: list[int]) -> Bools:
    rows, columns = (int(side) for side in shape)
    if not 0 < rows * columns <= _MOST_CELLS:
        raise ValueError(f"a mask of {rows} x {columns} cells")
    # Never more than the mask can hold, whatever the text claims.
    size = -(-rows * columns // 8)
    packed = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), size)
    if len(packed) != size:
        raise ValueError("a mask that is too short")
    bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=rows * columns)
    return np.asarray(bits.reshape(rows, columns).astype(bool))


def _frame(shape: tuple[int, int]) -> NDArray[np.float64]:
    height, width = shape
    low, bottom, right = -0.5, height - 0.5, width - 0.5
    return np.array([[low, low], [low, right], [bottom, right], [bottom, low]])


def _signed_area(corners: NDArray[np.float64]) -> float:
    if len(corners) < 3:
        return 0.0
    y, x = (corners - corners.mean(axis=0)).T
    return float((y * np.roll(x, -1) - x * np.roll(y, -1)).sum() / 2)


def _clipped(corners: NDArray[np.float64] | None, shape: tuple[int, int]) -> NDArray[np.float64]:
    """The part of an outline within a field (Sutherland and Hodgman)."""
    assert corners is not None
    kept = corners
    for axis, length in enumerate(shape):
        for sign, bound in ((1.0, -0.5), (-1.0, length - 0.5)):
            if not len(kept):
                return kept
            depth = sign * (kept[:, axis] - bound)
            parts: list[NDArray[np.float64]] = []
            for at in range(len(kept)):
                before, now = at - 1, at
                if (depth[before] < 0) != (depth[now] < 0):
                    share = depth[before] / (depth[before] - depth[now])
                    parts.append(kept[before] + share * (kept[now] - kept[before]))
                if depth[now] >= 0:
                    parts.append(kept[now])
            kept = np.array(parts).reshape(-1, 2)
    return kept


def _crosses_itself(corners: NDArray[np.float64]) -> bool:
    """Whether two sides that are no neighbours cross."""
    count = len(corners)
    ends = np.roll(corners, -1, axis=0)
    for at in range(count - 2):
        others = np.arange(at + 2, count if at else count - 1)
        a, b = corners[at], ends[at]
        c, d = corners[others], ends[others]
        across = _side(a, b, c) * _side(a, b, d) < 0
        if (across & (_side(c, d, a) * _side(c, d, b) < 0)).any():
            return True
    return False


def _side(a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]) -> NDArray[np.float64]:
    """On which side of the line from `a` to `b` a point lies."""
    along, away = b - a, c - a
    return np.asarray(along[..., 0] * away[..., 1] - along[..., 1] * away[..., 0])
