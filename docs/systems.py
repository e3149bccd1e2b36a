"""Write the table of all systems into docs/systems.md, from cards and measured files.

    python docs/systems.py

Reads the cards that ship, docs/measured/speed.csv (benchmarks/all_systems.py) and docs/measured/recall.csv
(napari-mitosis recall); writes between the markers ``<!-- systems -->`` and ``<!-- /systems -->``.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from napari_mitosis.models.card import Measure, ModelCard
from napari_mitosis.models.registry import list_cards

DOCS = Path(__file__).parent
MARKERS = ("<!-- systems -->", "<!-- /systems -->")
# Published F on ICPR 2012 (radius 5 um, networks at full size) and the target of protocol S set for this project.
ORDER = {
    "segmitos": ("SegMitos", ".792", ".80"),
    "partmitosis": ("PartMitosis", ".788", ".80"),
    "rpn": ("RPN alone", ".796", ""),
    "deepdet": ("DeepDet", ".832", ".78"),
    "deepdet + deepver": ("DeepMitosis (DeepDet + DeepVer)", "", ".83"),
    "segmitos + deepver": ("SegMitos + DeepVer", "", ""),
    "idsia": ("IDSIA DNN", ".782", ".75"),
    "mssn": ("MSSN", ".781", ".78"),
    "ensemble": ("Ensemble", "", ".85"),
}
HEAD = (
    "| System | Parameters | S: P | S: R | S: F [95 %] | Target | N: F [95 %] | N: mean F of 4 slides | "
    "icpr2014 F | Other tissue: recall | s | GiB | Paper's F |\n|" + " --- |" * 13
)


def find(card: ModelCard, text: str, verified: bool) -> list[Measure]:
    """Measures whose name begins with `text`; behind a verifier or not."""
    ending = ", verified by "
    return [m for m in card.measures if m.name.startswith(text) and (ending in m.name) == verified]


def pooled(card: ModelCard, protocol: str, verified: bool) -> Measure | None:
    """The pooled measure of a protocol at the usual radius."""
    for m in find(card, f"icpr2012, protocol {protocol}", verified):
        if "4 folds" in m.name and "radius" not in m.name and "JPEG" not in m.name:
            return m
    return None


def row(key: str, card: ModelCard, speed: pd.DataFrame, recall: pd.DataFrame) -> str:
    """One line of the table."""
    verified = key.endswith("+ deepver")
    title, paper, target = ORDER[key]
    s, n = pooled(card, "S", verified), pooled(card, "N", verified)
    slides = [m.f for m in find(card, "icpr2012, new slide", verified)]
    other = find(card, "icpr2014", verified)
    timed = speed[speed["system"] == key]
    name = card.name if not verified else f"{card.name}+{card.verified['verifier']}"
    found = recall[(recall["group"] == "all") & recall["model"].str.startswith(name)]
    found = found if verified else found[~found["model"].str.contains(r"\+", regex=True)]
    cells = [
        title,
        f"{timed['parameters'].iloc[0] / 1e6:.2f} M" if len(timed) else f"{card.parameters / 1e6:.2f} M",
        f"{s.precision:.3f}" if s else "",
        f"{s.recall:.3f}" if s else "",
        f"**{s.f:.3f}** [{s.f_low:.3f}, {s.f_high:.3f}]" if s else "",
        target,
        f"{n.f:.3f} [{n.f_low:.3f}, {n.f_high:.3f}]" if n else "",
        f"{sum(slides) / len(slides):.3f}" if slides else "",
        f"{other[0].f:.3f}" if other else "",
        f"{found['recall'].iloc[0]:.3f}" if len(found) else "",
        f"{timed['seconds'].iloc[0]:.2f}" if len(timed) else "",
        f"{timed['gib'].iloc[0]:.2f}" if len(timed) else "",
        paper,
    ]
    return "| " + " | ".join(cells) + " |"


def table() -> str:
    """The whole table."""
    newest = {card.detector: card for card in list_cards()}
    measured = DOCS / "measured"
    speed = _read(measured / "speed.csv", ["system", "parameters", "seconds", "gib"])
    recall = _read(measured / "recall.csv", ["model", "group", "recall"])
    lines = [HEAD]
    for key in ORDER:
        name, _, verifier = key.partition(" + ")
        card = newest.get(name)
        if card is None or (verifier and not card.verified):
            continue
        lines.append(row(key, card, speed, recall))
    return "\n".join(lines)


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    return pd.read_csv(path) if path.exists() else pd.DataFrame({name: [] for name in columns}, dtype=object)


def main() -> int:
    """Write the table between its markers in docs/systems.md."""
    text = table()
    path = DOCS / "systems.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(MARKERS[0])
    _, marker, after = rest.partition(MARKERS[1])
    if not marker:
        raise SystemExit(f"{path.name} has no place for the table between {' and '.join(MARKERS)}")
    path.write_text(f"{before}{MARKERS[0]}\n{text}\n{marker}{after}", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
