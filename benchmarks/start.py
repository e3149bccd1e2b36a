"""How long the detect dock takes to open, as a share of what napari's own window takes in the same process.

python benchmarks/start.py [RUNS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys

CODE = """
import time
start = time.process_time()
import napari
viewer = napari.Viewer(show=True)
window = time.process_time()
from napari_mitosis.gui.detect.dock import DetectDock
dock = DetectDock(viewer)
viewer.window.add_dock_widget(dock)
dock.panel.repaint()
print(window - start, time.process_time() - window)
viewer.close()
"""


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    pairs = []
    for _ in range(runs):
        done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
        window, dock = map(float, done.stdout.split()[-2:])
        pairs.append((window, dock))
    windows, docks = zip(*pairs, strict=True)
    ratios = [dock / window for window, dock in pairs]
    print(f"napari's window: {statistics.median(windows):.2f} s of processor time, median of {runs}")
    print(f"the dock: {statistics.median(docks):.2f} s, {statistics.median(ratios):.2f} of it")
    print(f"ratios from {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
