"""Write the table of the simulated reader into docs/finetuning.md: ``python docs/finetuning.py``.

It reads ``docs/measured/reader-*.csv``, which ``napari-mitosis train reader`` leaves in its folder.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from napari_mitosis.finetune.simulated_reader import summary

DOCS = Path(__file__).parent
MARKERS = ("<!-- reader -->", "<!-- /reader -->")
HEAD = (
    "| Detector | Annotated fields | Runs | F before | F after | Gain [95 %] | Same, offered ones only [95 %] | "
    "Offered | Worst offered |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)
SLIDES_HEAD = (
    "| Detector | Slide | Annotated fields | Mitoses in them | F before | F after | F of parent under the new rule | "
    "Gains of the runs |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)


def table(measured: pd.DataFrame) -> str:
    """Means over slides for each number of annotated fields."""
    lines = [HEAD]
    for detector, part in measured.groupby("detector"):
        for row in summary(part).to_dict("records"):
            worst = "" if pd.isna(row["worst_offered"]) else f"{row['worst_offered']:+.3f}"
            cells = [
                str(detector),
                str(row["annotated"]),
                f"{row['runs']} on {row['slides']} slides",
                f"{row['before']:.3f}",
                f"{row['after']:.3f}",
                f"**{row['gain']:+.3f}** [{row['gain_low']:+.3f}, {row['gain_high']:+.3f}]",
                f"{row['adopted']:+.3f} [{row['adopted_low']:+.3f}, {row['adopted_high']:+.3f}]",
                f"{row['offered']} of {row['runs']}",
                worst,
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def slides(measured: pd.DataFrame) -> str:
    """Means over the runs of each slide."""
    lines = [SLIDES_HEAD]
    for (detector, slide, k), part in measured.groupby(["detector", "slide", "annotated"]):
        cells = [
            str(detector),
            str(slide),
            str(k),
            ", ".join(str(v) for v in part["mitoses"]),
            f"{part['parent_f'].mean():.3f}",
            f"{part['child_f'].mean():.3f}",
            f"{part['parent_new_rule_f'].mean():.3f}",
            ", ".join(f"{v:+.3f}" for v in part["gain"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Write both tables between the markers."""
    files = sorted((DOCS / "measured").glob("reader-*.csv"))
    measured = pd.concat([pd.read_csv(file) for file in files], ignore_index=True)
    text = f"{table(measured)}\n\n{slides(measured)}"
    path = DOCS / "finetuning.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(MARKERS[0])
    _, marker, after = rest.partition(MARKERS[1])
    path.write_text(f"{before}{MARKERS[0]}\n{text}\n{marker}{after}", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
