"""Draw the sample fields anew.

python benchmarks/make_samples.py src/napari_mitosis/sample_data
"""

from __future__ import annotations

import argparse
from pathlib import Path

import tifffile

from napari_mitosis.datasets.phantom import PHANTOM_MPP, phantom
from napari_mitosis.datasets.sample import Sample
from napari_mitosis.datasets.samples import RECIPES


def save(sample: Sample, folder: Path) -> None:
    """Write a field as a tiled TIFF that states its um/px, and its figures as a table."""
    per_cm = 1e4 / PHANTOM_MPP
    tifffile.imwrite(
        folder / f"{sample.field.name}.tif",
        sample.field.numpy(),
        photometric="rgb",
        tile=(256, 256),
        compression="jpeg",
        compressionargs={"level": 90},
        resolution=(per_cm, per_cm),
        resolutionunit="CENTIMETER",
        metadata=None,
        software=False,
    )
    table = sample.annotations[["y_px", "x_px", "label"]].round(1)
    table.to_csv(folder / f"{sample.field.name}.csv", index=False, lineterminator="\n")


def main() -> None:
    """Draw all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name, (seed, n_mitoses, n_mimics) in RECIPES.items():
        save(phantom((1024, 1024), seed, n_mitoses=n_mitoses, n_mimics=n_mimics, name=name), folder)


if __name__ == "__main__":
    main()
