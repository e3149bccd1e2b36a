"""Write the tables of the simulated reader into docs/finetuning.md: ``python docs/finetuning.py``.

It reads ``docs/measured/reader-thresholds-*.csv`` and ``docs/measured/reader-h-*.csv``, copies of what
``napari-mitosis train reader`` leaves in its folder as ``thresholds.csv`` and ``reader-<detector>.csv``.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

DOCS = Path(__file__).parent
HOW = {"random": "at random", "mistaken": "most false detections"}


def thresholds(table: pd.DataFrame) -> str:
    """Means over patients of F under other thresholds, and how often they do harm."""
    lines = [
        "| Fields | Drawn | Runs | F before | F, rule of a fine-tuning | Worse by more than .02 (worst) | "
        "F, threshold offered | Worse by more than .02 (worst) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (k, pick), part in table.groupby(["annotated", "pick"]):
        means = part.groupby("slide")[["parent_f", "chosen_f", "offered_f"]].mean().mean()
        cells = [
            str(k),
            HOW[str(pick)],
            f"{len(part)} on {part['slide'].nunique()} patients",
            f"{means['parent_f']:.3f}",
        ]
        for name in ("chosen_f", "offered_f"):
            change = part[name] - part["parent_f"]
            cells += [f"**{means[name]:.3f}**", f"{(change < -0.02).sum()} ({change.min():+.3f})"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def runs(table: pd.DataFrame) -> str:
    """Every run of a fine-tuning."""
    lines = [
        "| Patient | Fields | Drawn | Mitoses, mimics | Steps | Blend | Own fields: F before, threshold only, after | "
        "Other patients: before, after | ICPR 2012: before, after | Gate |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in table.to_dict("records"):
        gate = "offered" if row["offered"] else "not offered"
        cells = [
            str(row["slide"]),
            str(row["annotated"]),
            HOW[str(row["pick"])],
            f"{row['mitoses']}, {row['mimics']}",
            str(row["steps"]),
            f"{row['blend']:g}",
            f"{row['own_parent_f']:.3f}, {row['own_recalibrated_f']:.3f}, **{row['own_child_f']:.3f}**",
            f"{row['others_parent_f']:.3f}, {row['others_child_f']:.3f}",
            f"{row['old_parent_f']:.3f}, {row['old_child_f']:.3f}",
            f"{gate} ({row['gate_difference']:+.3f})",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def written(text: str, name: str, table: str) -> str:
    """The text with a table between the markers of this name."""
    before, _, rest = text.partition(f"<!-- {name} -->")
    _, _, after = rest.partition(f"<!-- /{name} -->")
    return f"{before}<!-- {name} -->\n{table}\n<!-- /{name} -->{after}"


def main() -> int:
    """Write both tables between their markers."""
    path = DOCS / "finetuning.md"
    text = path.read_text(encoding="utf-8")
    for name, pattern, draw in (
        ("thresholds", "reader-thresholds-*.csv", thresholds),
        ("runs", "reader-h-*.csv", runs),
    ):
        files = sorted((DOCS / "measured").glob(pattern))
        if files:
            text = written(text, name, draw(pd.concat([pd.read_csv(f) for f in files], ignore_index=True)))
    path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
