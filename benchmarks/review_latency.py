"""Reviewing: milliseconds from a key press to the next candidate on the screen.

In a real napari window: the key event goes to the window, the judgement is written to a journal on disk, the camera
moves, the canvas and the dock are drawn. "handled" ends when the key's handler returns: the action is on disk, and
everything has been told to change. "drawn" ends when Qt reports the canvas's next frame as swapped, so it includes the
drawing of canvas and dock; without a graphics card the canvas is drawn by the processor.

    python benchmarks/review_latency.py [FIELD] [--keys 100]

Without a display of its own: ``xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/review_latency.py ...``.
FIELD is an image at 40x; a phantom of 2084 x 2084 px is drawn where none is given.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("field", nargs="?", type=Path)
    parser.add_argument("--keys", type=int, default=100)
    parser.add_argument("--mpp", type=float, default=0.25)
    parser.add_argument("--profile", action="store_true", help="print where the time of the handlers goes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_MITOSIS_JOURNAL"] = str(Path(folder) / "journal.sqlite")
        os.environ["NAPARI_MITOSIS_SETTINGS"] = str(Path(folder) / "settings.json")
        measure(options.field, options.keys, options.mpp, options.profile)


def measure(path: Path | None, keys: int, mpp: float, profile: bool) -> None:
    """Open a field, detect loosely, review `keys` candidates."""
    from qtpy.QtCore import QEventLoop, Qt, QTimer
    from qtpy.QtOpenGLWidgets import QOpenGLWidget
    from qtpy.QtTest import QTest

    from napari_mitosis.gui.app import open_window

    viewer, panel = open_window([path] if path is not None else [], detect=False, mpp=mpp)
    if path is None:
        viewer.layers.clear()
        add_phantom(viewer, mpp)
    began = time.perf_counter()
    viewer.show()
    dock = panel.show_step("Review")
    while not dock.isVisible():
        QTest.qWait(1)
    opened, detect = time.perf_counter() - began, panel.page("Detect")
    viewer.window.resize(1590, 980)
    detect.run()
    while detect.running:
        QTest.qWait(50)
    session = detect.session
    session.set_rule(session.active, threshold=0.02, min_score=0.0, min_area_um2=0.0)
    while detect.desk.current is None or not len(dock.reviewing.queue):
        QTest.qWait(50)
    QTest.qWait(2000)
    window = dock.window()
    (canvas,) = (one for one in window.findChildren(QOpenGLWidget) if one.isVisible())
    queue = dock.reviewing.queue
    print(f"{session.current.field.name}, {session.current.field.shape}, {len(queue)} candidates in the queue")
    print(f"dock opened in {opened:.2f} s; canvas {canvas.width()} x {canvas.height()} px")
    count = min(keys, len(queue))
    cycle = (Qt.Key.Key_G, Qt.Key.Key_W, Qt.Key.Key_U, Qt.Key.Key_W)
    handled, drawn, busy = [], [], []
    profiler = None
    if profile:
        import cProfile

        profiler = cProfile.Profile()
    load = os.getloadavg()[0]
    for press in range(count):
        loop = QEventLoop()
        canvas.frameSwapped.connect(loop.quit)
        QTimer.singleShot(5000, loop.quit)
        decided = queue.decided
        start, worked = time.perf_counter(), time.thread_time()
        if profiler:
            profiler.enable()
        QTest.keyClick(window, cycle[press % 4])
        if profiler:
            profiler.disable()
        handled.append(1000 * (time.perf_counter() - start))
        loop.exec()
        drawn.append(1000 * (time.perf_counter() - start))
        busy.append(1000 * (time.thread_time() - worked))
        canvas.frameSwapped.disconnect(loop.quit)
        assert queue.decided == decided + 1, f"a key press that judged nothing: {dock.panel.said.text()}"
        QTest.qWait(400)  # a reader needs longer
    report("handled (on disk, camera set)", handled)
    report("drawn (frame swapped, canvas drawing included)", drawn)
    report("processor time of the window's thread for it", busy)
    actions = detect.desk.journal.actions()
    print(f"{count} keys, {len(actions)} actions in the journal; load average {load:.1f} on {os.cpu_count()} cores")
    if profiler:
        import pstats

        pstats.Stats(profiler).sort_stats("cumulative").print_stats(45)
    viewer.close()


def add_phantom(viewer: object, mpp: float) -> None:
    """A drawn field of 2084 x 2084 px."""
    import numpy as np

    from napari_mitosis.datasets.samples import hotspot, mimics

    one, other = hotspot()[0][0], mimics()[0][0]
    rows = [np.concatenate([one, other, one], axis=1), np.concatenate([other, one, other], axis=1)]
    field = np.concatenate([*rows, rows[0]], axis=0)[:2084, :2084]
    viewer.add_image(np.ascontiguousarray(field), rgb=True, name="phantom", scale=(mpp, mpp), units=("um", "um"))


def report(what: str, times: list[float]) -> None:
    """Median, p95 and largest."""
    ordered = sorted(times)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    print(f"{what}: median {statistics.median(ordered):.1f} ms, p95 {p95:.1f} ms, largest {ordered[-1]:.1f} ms")


if __name__ == "__main__":
    main()
