"""The "Whole slide" dock: tissue and regions, a scan whose results stream in, sliders, hotspots."""

from pathlib import Path
from typing import Any

import napari
import numpy as np
import pandas as pd
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QApplication, QWidget

from ...batches.slides_area import ScanArea, whole_area
from ...batches.slides_candidates import SlideDecider, rule_threshold
from ...batches.slides_scan import RegionDone
from ...fields.field import Field
from ...fields.npe2_reader import field_layer, field_of
from ...jobs import Progress
from ...measures.hotspot import Hotspot
from ...models.registry import list_cards
from ..style import style_for
from ..worker import JobThread, Workers
from .layers import SlideLayers
from .panel import REGIONS, WHOLE, SlidePanel
from .work import Scanned, cutout_job, density_per_mm2, hotspots_job, overview_job, scan_job, scans_folder, tissue_job


class SlidesDock(QWidget):
    """Scans the slide of the selected layer.

    Parameters
    ----------
    viewer : napari.Viewer
    folder : Path, optional
        Where scans are kept; in the user's data folder by default.
    """

    def __init__(self, viewer: napari.Viewer, folder: Path | None = None) -> None:
        super().__init__()
        self.viewer, self.workers = viewer, Workers()
        self.folder = scans_folder() if folder is None else folder
        self.panel = SlidePanel(self, [card.name for card in list_cards() if card.kind == "detector"])
        self.layers = SlideLayers(viewer)
        self.setStyleSheet(style_for(str(viewer.theme)))
        self.field: Field | None = None
        self.area: ScanArea | None = None
        self.decider: SlideDecider | None = None
        self.detections: pd.DataFrame | None = None
        self.hotspots: list[Hotspot] = []
        self._at = -1
        self._run: JobThread | None = None
        self._stream: list[Any] = []
        panel = self.panel
        panel.tissue_wanted.connect(self.find_tissue)
        panel.region_wanted.connect(self.draw_region)
        panel.scan_wanted.connect(self.scan)
        panel.cancel_wanted.connect(self.cancel)
        panel.rule_edited.connect(self.decide)
        panel.hotspot_wanted.connect(self.go)
        panel.review_wanted.connect(self.review_hotspot)
        panel.magnification_wanted.connect(self.magnify)
        panel.overview.clicked.connect(self._centre)
        viewer.layers.selection.events.active.connect(self._pick)
        self.layers.when_moved(self._moved)
        down = self.workers.shutdown
        self.destroyed.connect(lambda: down())
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(down)
        self._pick()

    def _pick(self, event: Any = None) -> None:
        """Follow the selected layer, where it is a field."""
        if self._run is not None:
            return
        chosen = self.viewer.layers.selection.active
        for layer in [chosen, *reversed(self.viewer.layers)]:
            field = None if layer is None else field_of(layer.metadata)
            if field is not None and not self._is_cutout(field):
                break
        else:
            return
        if field is self.field:
            return
        self.field, self.area, self.decider, self.detections, self.hotspots = field, None, None, None, []
        self.layers.forget()
        self.panel.show_slide(field)
        self.workers.start(overview_job(field), succeeded=self._overview_read, failed=self._failed)
        self._moved()

    def _overview_read(self, read: tuple[Field, Any]) -> None:
        field, thumbnail = read
        if field is self.field:
            self.panel.overview.show_slide(thumbnail, field.shape)

    def _start(self, job: Any, succeeded: Any) -> None:
        self.panel.show_running(True)
        self._run = self.workers.start(
            job, succeeded=succeeded, failed=self._failed, progressed=self._progressed, cancelled=self._ended
        )

    def find_tissue(self) -> None:
        """Find the tissue and show it as a layer to paint on."""
        if self.field is not None and self._run is None:
            self._start(tissue_job(self.field), self._tissue_found)

    def _tissue_found(self, area: ScanArea) -> None:
        self._ended()
        assert self.field is not None
        self.area = area
        self.layers.show_area(self.field, area)
        self.panel.say(f"{area.mm2(self.field.require_mpp('The area')):.1f} mm² of tissue; paint to change it")

    def draw_region(self, include: bool) -> None:
        """Let the reader draw a region to look at, or to leave out."""
        if self.field is not None:
            self.layers.draw(self.field, include)

    def scan(self) -> None:
        """Look at what is chosen: tissue, drawn regions, or all."""
        if self.field is None or self._run is not None:
            return
        if self.field.mpp is None:
            show_error("The slide does not state its um/px: open it with one (40x scanners: about 0.25).")
            return
        self._stream = []
        self.layers.show_detections(self.field, pd.DataFrame({"y_px": [], "x_px": []}))
        self._start(scan_job(self.field, self.panel.model(), self._wanted_area(), self.folder), self._scanned)

    def _wanted_area(self) -> ScanArea | None:
        """The painted tissue, within the drawn regions; None for all of the slide."""
        assert self.field is not None
        if self.panel.what() == WHOLE:
            return None
        painted = self.layers.painted(self.area)
        if self.panel.what() == REGIONS:
            include, exclude = self.layers.drawn(self.field)
            return (painted or whole_area(self.field)).within(include, exclude)
        return painted or ScanArea(np.zeros((1, 1), dtype=bool), 1.0)

    def cancel(self) -> None:
        """Stop after the region in work; what was found stays, and the next scan goes on from there."""
        if self._run is not None:
            self._run.cancel()

    def _progressed(self, step: Progress) -> None:
        self.panel.show_progress(step)
        if isinstance(step, RegionDone) and step.rows is not None and self.field is not None:
            rule = self.panel.rule()
            rows = step.rows
            rows = rows[(rows["level"] == 0) | np.isclose(rows["level"], rule_threshold(rule))]
            score = rows.iloc[:, 5].to_numpy()
            area_um2 = np.pi / 4 * rows["height_px"] * rows["width_px"] * (self.field.mpp or 1.0) ** 2
            kept = rows[(score > rule.min_score) & (area_um2 > rule.min_area_um2) & (rows["depth_px"] >= 0)]
            if len(kept):
                self._stream.append(kept[["y_px", "x_px"]])
                detections = pd.concat(self._stream, ignore_index=True)
                self.layers.show_detections(self.field, detections)
                self.panel.say(f"{len(detections)} so far")

    def _scanned(self, scanned: Scanned) -> None:
        self._ended()
        self.area, self.decider = scanned.area, scanned.decider
        candidates = scanned.decider.candidates
        self.panel.take_rule(candidates.rule, candidates.levels)
        self.decide()

    def decide(self) -> None:
        """Decide anew under the sliders' rule, and search the hotspots of the result."""
        if self.decider is None or self.field is None or self.area is None or self._run is not None:
            return
        self.detections = self.decider.decide(self.panel.rule())
        self.layers.show_detections(self.field, self.detections)
        mpp = self.field.require_mpp("The density")
        self.panel.show_count(len(self.detections), self.area.mm2(mpp))
        self.workers.start(hotspots_job(self.detections, self.area, mpp), succeeded=self._hotspots_found)

    def _hotspots_found(self, hotspots: list[Hotspot]) -> None:
        if self.field is None or self.area is None or self.detections is None:
            return
        self.hotspots, self._at = hotspots, -1
        mpp = self.field.require_mpp("The density")
        self.layers.show_density(self.field, self.area, density_per_mm2(self.detections, self.area, mpp))
        self.layers.show_hotspots(self.field, hotspots)
        self.panel.show_hotspots(hotspots, self._at)

    def go(self, step: int) -> None:
        """To the next hotspot, or the one before."""
        if not self.hotspots or self.field is None:
            return
        self._at = (self._at + step) % len(self.hotspots) if self._at >= 0 else 0
        spot = self.hotspots[self._at]
        mpp = self.field.require_mpp("A hotspot")
        self.layers.look_at(self.field, spot.y_um / mpp, spot.x_um / mpp, 2.4 * spot.outline.half_width_um / mpp)
        self.panel.show_hotspots(self.hotspots, self._at)

    def review_hotspot(self) -> None:
        """Open the hotspot that is looked at as a field of its own."""
        if self.field is not None and self._run is None and 0 <= self._at < len(self.hotspots):
            self._start(cutout_job(self.field, self.hotspots[self._at], self.folder), self._cut_out)

    def _cut_out(self, field: Field) -> None:
        self._ended()
        pixels, options, _ = field_layer(field)
        self.viewer.add_image(pixels, **options)
        self.panel.say("Opened as a field: detect and review it in the Mitosis panel")

    def _is_cutout(self, field: Field) -> bool:
        """Whether a field was cut out of a slide here; the slide it came from is still the one that is worked on."""
        return field.path is not None and self.folder in field.path.parents

    def magnify(self, power: float) -> None:
        """Show the slide as an objective does: at 40x a pixel of the screen is 0.25 um."""
        if self.field is not None and self.field.mpp is not None:
            self.layers.magnify(power)

    def _centre(self, y_px: float, x_px: float) -> None:
        if self.field is not None:
            self.layers.look_at(self.field, y_px, x_px)

    def _moved(self, event: Any = None) -> None:
        if self.field is not None:
            self.panel.overview.show_visible(*self.layers.visible_px(self.field))
            self.panel.show_magnification(self.layers.magnification() if self.field.mpp else None)

    def _failed(self, error: Exception) -> None:
        self._ended()
        show_error(str(error))

    def _ended(self) -> None:
        self._run = None
        self.panel.show_running(False)
