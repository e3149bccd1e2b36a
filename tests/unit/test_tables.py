"""The columns that pass between the parts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_mitosis.tables import (
    ANNOTATION_COLUMNS,
    DETECTION_COLUMNS,
    annotations_frame,
    check_annotations,
    check_detections,
    empty_annotations,
    empty_detections,
)


def detections() -> pd.DataFrame:
    return pd.DataFrame(
        [[10.0, 20.0, 2.5, 5.0, 0.9, 30.0], [1.0, 2.0, 0.25, 0.5, 0.4, 12.0]], columns=list(DETECTION_COLUMNS)
    )


def test_empty_frames_pass_their_own_check() -> None:
    assert tuple(check_detections(empty_detections()).columns) == DETECTION_COLUMNS
    assert tuple(check_annotations(empty_annotations()).columns) == ANNOTATION_COLUMNS
    assert len(empty_detections()) == len(empty_annotations()) == 0


def test_good_detections_come_back() -> None:
    frame = detections()
    assert check_detections(frame) is frame


@pytest.mark.parametrize("column", DETECTION_COLUMNS)
def test_detections_name_the_column_that_is_wrong(column: str) -> None:
    with pytest.raises(ValueError, match=f"column '{column}' is missing"):
        check_detections(detections().drop(columns=column))
    wrong = detections()
    wrong.loc[0, column] = np.nan
    with pytest.raises(ValueError, match=f"column '{column}' holds a value that is not finite"):
        check_detections(wrong)
    with pytest.raises(ValueError, match=f"column '{column}' is float32"):
        check_detections(detections().astype({column: np.float32}))


def test_detections_are_sorted_under_a_range_index() -> None:
    with pytest.raises(ValueError, match="'score' must be sorted"):
        check_detections(detections().iloc[::-1].reset_index(drop=True))
    with pytest.raises(ValueError, match="RangeIndex"):
        check_detections(detections().iloc[[0]].set_axis([7]))


@pytest.mark.parametrize(("column", "value"), [("score", 1.1), ("score", -0.1), ("area_um2", -1.0)])
def test_detections_out_of_range(column: str, value: float) -> None:
    wrong = detections()
    wrong[column] = value
    with pytest.raises(ValueError, match=f"column '{column}' holds a value outside"):
        check_detections(wrong)


def test_annotations_are_built_from_columns() -> None:
    frame = annotations_frame([1, 2], [3, 4], ["mitosis", "mimic"], [0.5, 1])
    assert frame.to_dict("list") == {
        "y_px": [1.0, 2.0],
        "x_px": [3.0, 4.0],
        "label": ["mitosis", "mimic"],
        "confidence": [0.5, 1.0],
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1], [2], "cell"), "column 'label' holds"),
        (([np.inf], [2]), "column 'y_px' holds a value that is not finite"),
        (([1], [2], "mimic", 1.5), "column 'confidence' holds a value outside"),
    ],
)
def test_annotations_name_the_column_that_is_wrong(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        annotations_frame(*arguments)
    with pytest.raises(ValueError, match="column 'x_px' is missing"):
        check_annotations(empty_annotations().drop(columns="x_px"))
