"""The tables of the papers, printed for the data at hand: a module for each detector.

A module offers ``ablation(runs, data)``, what held-out evidence can tell, and may offer
``trained_ablation(runs, data, out, *, steps)``, what needs networks of its own. Both are jobs that return a
table with the columns of `rows.as_row`.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import pandas as pd

from ...errors import WeightsError
from ...jobs import Job


def run_ablation(name: str, data: Path, runs: Path, train: Path | None, steps: int) -> Job[pd.DataFrame]:
    """The tables of detector `name`.

    Parameters
    ----------
    data : Path
        Folder with icpr2012 and the crops.
    runs : Path
        Run folder of the detector's cross-validation.
    train : Path or None
        Folder for the variants that must be trained; None = leave them out.
    steps : int
        Optimiser steps of each.

    Raises
    ------
    WeightsError
        If there is no ablation of that name.
    """
    if not name.isidentifier() or importlib.util.find_spec(f"{__name__}.{name}") is None:
        raise WeightsError(f"there is no ablation of '{name}'")
    module = importlib.import_module(f"{__name__}.{name}")
    if train is None or not hasattr(module, "trained_ablation"):
        table: pd.DataFrame = yield from module.ablation(runs, data)
    else:
        table = yield from module.trained_ablation(runs, data, train, steps=steps)
    return table
