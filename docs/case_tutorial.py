"""Take the picture of `case-tutorial.md`: one case of three drawn fields, in the Report step.

python docs/case_tutorial.py        (on a server: xvfb-run -a -s "-screen 0 1600x1000x24" python docs/case_tutorial.py)

Journal and settings lie in a folder that is deleted at the end.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pandas as pd

PICTURE = Path(__file__).resolve().parent / "images" / "case-report.png"
SAMPLES = Path(str(files("napari_mitosis"))) / "sample_data"


def wait(done: Callable[[], bool], seconds: float = 60.0) -> None:
    """Let Qt work until something is so."""
    from qtpy.QtTest import QTest

    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("the window did not get there")
        QTest.qWait(50)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, file in (("JOURNAL", "journal.sqlite"), ("SETTINGS", "settings.json")):
            os.environ[f"NAPARI_MITOSIS_{name}"] = str(Path(folder) / file)
        os.environ["NAPARI_MITOSIS_READER"] = "reader"
        import napari

        from napari_mitosis.gui.desk import desk_of
        from napari_mitosis.gui.report.panel import ReportPanel
        from napari_mitosis.gui.style import STYLE

        viewer = napari.Viewer(show=True)
        desk = desk_of(viewer)
        panel = ReportPanel(desk)
        panel.setStyleSheet(STYLE)
        viewer.window.add_dock_widget(panel, name="Report", area="right")
        for name in ("hotspot", "mimics", "quiet"):
            viewer.open(str(SAMPLES / f"{name}.tif"), plugin="napari-mitosis")
            key = list(desk.session)[-1]
            desk.fields.choose(key)
            wait(lambda: desk.current is not None)
            desk.current.add_all(pd.read_csv(SAMPLES / f"{name}.csv"))
            desk.current.set_complete(True)
            panel.case_box.added.emit("Case 7")
            wait(lambda: desk.current.marks.case == "Case 7" and not panel._errands)
        desk.fields.choose(next(iter(desk.session)))
        wait(lambda: desk.current is not None)
        panel.case_box.this_case.setChecked(True)
        panel.hotspot_box.area.setValue(0.01)
        panel.hotspot_box.seek.click()
        wait(lambda: "Hotspot" in panel.message.text())
        for key in list(desk.session)[1:]:
            desk.fields.layer(key).visible = False
        viewer.window.resize(1500, 950)
        wait(lambda: panel.isVisible())
        wait(lambda: not panel._errands)
        PICTURE.parent.mkdir(exist_ok=True)
        viewer.screenshot(str(PICTURE), canvas_only=False, flash=False)
        viewer.close()


if __name__ == "__main__":
    main()
