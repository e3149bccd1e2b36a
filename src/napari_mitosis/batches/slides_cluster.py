"""Many slides on dask.distributed: one task a region, the weights once a worker.

Workers read slides and look; only the process that asked writes. So a worker that is killed loses no result and no
result comes twice, and workers need to see the slides but not the results.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dask
import pandas as pd
from dask.system import CPU_COUNT
from distributed import Client, Future, LocalCluster, Worker, WorkerPlugin, get_worker, wait

from ..errors import MitosisError, WeightsError
from ..fields.field import Field, open_field
from ..inference.pipeline import Pipeline, load_pipeline
from ..jobs import Job, Progress
from .batch import FieldFile
from .slides_area import Region, ScanArea, tissue_area, whole_area
from .slides_report import SlideReport, SlidesReport, report_of, write_summary
from .slides_scan import SIDE_PX, ScanPlan, look_at_region, plan_scan, read_window
from .slides_store import SlideStore, open_store

logger = logging.getLogger(__name__)

PLUGIN = "napari-mitosis"

_RETRIES = 2
_WAITING_PER_THREAD = 2
"""Tasks handed out beyond those that run: a worker never waits, and no queue grows with the archive."""
_OPEN_SLIDES = 4


class Looker(WorkerPlugin):  # type: ignore[misc]
    """What each worker keeps: the networks, and the slides read last. A plugin of dask's workers.

    Parameters
    ----------
    model : str
        Name of the pipeline.
    folder : Path or None
        Of models, as the worker sees it.
    fingerprint : str
        Of the pipeline that was asked for; other weights on a worker are refused.
    device : str
    """

    name = PLUGIN

    def __init__(self, model: str, folder: Path | None, fingerprint: str, device: str) -> None:
        self.model, self.folder, self.fingerprint, self.device = model, folder, fingerprint, device

    def setup(self, worker: Worker) -> None:
        """Load the networks, once in the life of a worker."""
        self._pipeline = load_pipeline(self.model, self.folder)
        if self._pipeline.fingerprint != self.fingerprint:
            raise WeightsError(f"{worker.address} has other weights of {self.model}; install the same version there")
        self._slides: OrderedDict[tuple[str, float | None], Field] = OrderedDict()
        # Of two threads one reads while the other computes.
        self._network, self._opening = threading.Lock(), threading.Lock()

    def look(self, path: str, mpp: float | None, window: Region, region: Region) -> pd.DataFrame:
        """Candidates of one region of a slide."""
        slide = self._slide(path, mpp)
        pixels = read_window(slide, window)
        with self._network:
            return look_at_region(slide, pixels, window, region, self._pipeline, self.device)

    def _slide(self, path: str, mpp: float | None) -> Field:
        with self._opening:
            key = (path, mpp)
            if key not in self._slides:
                self._slides[key] = open_field(path, mpp)
            self._slides.move_to_end(key)
            while len(self._slides) > _OPEN_SLIDES:
                self._slides.popitem(last=False)
            return self._slides[key]


def look_there(path: str, mpp: float | None, window: Region, region: Region) -> pd.DataFrame:
    """The task of a worker: candidates of one region."""
    looker: Looker = get_worker().plugins[PLUGIN]
    return looker.look(path, mpp, window, region)


@contextmanager
def local_client(workers: int, threads: int | None = None) -> Iterator[Client]:
    """A cluster on this machine, with a process for each worker that dask starts again when it dies.

    Parameters
    ----------
    workers : int
    threads : int, optional
        Of the processor for each worker; a fair share by default.
    """
    share = threads or max(1, CPU_COUNT // workers)
    environment = {
        f"distributed.nanny.pre-spawn-environ.{name}": share for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    }
    with (
        dask.config.set({**environment, "distributed.worker.daemon": False}),
        LocalCluster(
            n_workers=workers, threads_per_worker=2, memory_limit=0, dashboard_address="127.0.0.1:0",
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        yield client


@dataclass(eq=False)
class _Slide:
    """A slide at work."""

    file: FieldFile
    store: SlideStore
    plan: ScanPlan
    field: Field
    missing: deque[Region]
    mpp: float | None
    running: int = 0
    error: str = ""


@dataclass(frozen=True)
class SlideOptions:
    """How slides are scanned.

    Attributes
    ----------
    model : str
        Name of the pipeline.
    models : Path or None
        Folder of weights and cards instead of the installed ones.
    mpp : float or None
        um/px of all slides, whatever they say.
    device : str
    whole : bool
        Look at glass, too.
    side_px : int
        Side of a region.
    """

    model: str = "segmitos"
    models: Path | None = None
    mpp: float | None = None
    device: str = "auto"
    whole: bool = False
    side_px: int = SIDE_PX


def scan_slides(files: Sequence[FieldFile], out: Path, options: SlideOptions, client: Client) -> Job[SlidesReport]:
    """Scan many slides; what lies in `out` already is not computed again.

    Parameters
    ----------
    files : sequence of FieldFile
        What `batch.find_fields` gave.
    out : Path
        A folder for each slide (see `slides_store`), ``summary.json`` and ``summary.csv``.
    options : SlideOptions
    client : distributed.Client
        Of `local_client`, or of any other cluster whose workers see the slides under the same paths.

    Yields
    ------
    Progress
        In regions; the total grows as slides are opened.

    Returns
    -------
    SlidesReport

    Raises
    ------
    WeightsError
        When there is no such model, here or on a worker.
    OSError
        When the results cannot be written.
    """
    pipeline = load_pipeline(options.model, options.models)
    client.register_plugin(Looker(options.model, options.models, pipeline.fingerprint, options.device))
    out.mkdir(parents=True, exist_ok=True)
    run = _Run(out, options, client, pipeline, deque(files))
    try:
        while run.refill():
            yield run.progress()
            run.collect()
    finally:
        client.cancel(list(run.tasks), force=True)
    write_summary(out, run.report())
    return run.report()


class _Run:
    """The state of `scan_slides`: a bounded number of tasks out, slides opened when the ones before run short."""

    def __init__(
        self, out: Path, options: SlideOptions, client: Client, pipeline: Pipeline, files: deque[FieldFile]
    ) -> None:
        self.out, self.options, self.client, self.pipeline, self.files = out, options, client, pipeline, files
        self.tasks: dict[Future, tuple[_Slide, Region]] = {}
        self.open: list[_Slide] = []
        self.reports: list[SlideReport] = []
        self.done = self.total = 0

    def refill(self) -> bool:
        """Hand out tasks up to the limit; False when nothing is left."""
        limit = _WAITING_PER_THREAD * max(1, sum(self.client.nthreads().values()))
        while len(self.tasks) < limit:
            slide = next((open_slide for open_slide in self.open if open_slide.missing), None)
            if slide is not None:
                self._submit(slide, slide.missing.popleft())
            elif self.files:
                self._start(self.files.popleft())
            else:
                break
        return bool(self.tasks)

    def collect(self) -> None:
        """Wait for a task or two and keep what they found."""
        ready = wait(list(self.tasks), return_when="FIRST_COMPLETED").done
        for future in ready:
            slide, region = self.tasks.pop(future)
            slide.running -= 1
            error = future.exception() if future.status == "error" else None
            if future.status == "finished":
                self._keep(slide, region, future.result())
            elif not slide.error:
                slide.error = _words(error)
                slide.missing.clear()
            if not slide.running and not slide.missing:
                self._end(slide)

    def progress(self) -> Progress:
        return Progress(self.done, max(self.total, 1), f"{len(self.reports)} slides done, {len(self.files)} waiting")

    def report(self) -> SlidesReport:
        return SlidesReport(self.pipeline.name, tuple(self.reports))

    def _start(self, file: FieldFile) -> None:
        try:
            slide = self._opened(file)
        except Exception as error:  # whatever is wrong with one slide, the others are still to be looked at
            self._failed(file, error)
            return
        self.total += len(slide.plan.regions)
        self.done += len(slide.plan.regions) - len(slide.missing)
        self.open.append(slide)
        if not slide.missing:
            self._end(slide)

    def _opened(self, file: FieldFile) -> _Slide:
        options = self.options
        slide = open_field(file.path, options.mpp)
        area: ScanArea = whole_area(slide) if options.whole else tissue_area(slide)
        plan = plan_scan(slide, self.pipeline, area, side_px=options.side_px)
        store = open_store(self.out / file.stem, slide, self.pipeline, plan.margin_px, options.side_px)
        missing = deque(region for region in plan.regions if not store.has(region))
        return _Slide(file, store, plan, slide, missing, options.mpp)

    def _submit(self, slide: _Slide, region: Region) -> None:
        window = region.window(slide.plan.margin_px, slide.field.shape)
        future = self.client.submit(
            look_there, str(slide.file.path), slide.mpp, window, region, pure=False, retries=_RETRIES
        )
        self.tasks[future] = (slide, region)
        slide.running += 1

    def _keep(self, slide: _Slide, region: Region, rows: pd.DataFrame) -> None:
        slide.store.write(region, rows)
        self.done += 1

    def _end(self, slide: _Slide) -> None:
        self.open.remove(slide)
        if slide.error:
            self._failed(slide.file, MitosisError(slide.error))
            return
        try:
            candidates = slide.store.finish(slide.plan.regions, slide.plan.area)
            self.reports.append(report_of(slide.file.label, candidates, slide.plan, slide.store.detections()))
        except Exception as error:
            self._failed(slide.file, error)
        write_summary(self.out, self.report())

    def _failed(self, file: FieldFile, error: BaseException) -> None:
        if not isinstance(error, MitosisError):
            logger.error("%s failed", file.path, exc_info=error)
        self.reports.append(SlideReport(file.label, error=_words(error)))
        write_summary(self.out, self.report())


def _words(error: BaseException | None) -> str:
    """An error of a task in words for a person."""
    if isinstance(error, MitosisError):
        return str(error)
    name = type(error).__name__
    if name == "KilledWorker":
        return "a region of it killed its worker again and again; it may need more memory, or be damaged"
    return f"{name}: {error}"
