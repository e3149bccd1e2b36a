"""Which library runs a network: OpenVINO on processors where it is installed (extra ``fast``), else torch.

A network says by `traced` what another runtime may run of it: a part by name, or all of its forward pass (an empty
name). That part is converted once for each version of its weights and kept in the user's cache folder; the rest, and
everything on a GPU, is torch's. ``NAPARI_MITOSIS_RUNTIME=torch`` switches OpenVINO off.
"""

from __future__ import annotations

import copy
import logging
import os
import shutil
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch
from torch import Tensor, nn

from ..models.registry import Detector
from . import device as devices

RUNTIME_VARIABLE = "NAPARI_MITOSIS_RUNTIME"
_EXAMPLE_PX = (96, 128)
_log = logging.getLogger(__name__)


def runtime_of(detector: Detector, place: torch.device) -> str:
    """Name of the runtime that a detector has there: ``openvino`` or ``torch``."""
    wanted = os.environ.get(RUNTIME_VARIABLE, "openvino") == "openvino"
    # Only what is published is converted: weights in training change from one look to the next.
    published = bool(detector.card.sha256) and getattr(detector.network, "traced", None) is not None
    able = place.type == "cpu" and published
    return "openvino" if wanted and able and find_spec("openvino") is not None else "torch"


def network_for(detector: Detector, place: torch.device) -> nn.Module:
    """The network of a detector as it runs fastest on a device; what it computes is the same.

    A network that cannot be converted runs in torch, and the log says why.
    """
    if runtime_of(detector, place) == "torch":
        return detector.network
    precision = "bf16" if devices.precision(place) == torch.bfloat16 else "f32"
    name = f"openvino-{precision}"
    if name not in detector.converted:
        try:
            detector.converted[name] = _converted(detector, precision)
        except Exception as error:  # whatever is wrong with the other runtime, torch can do it
            _log.warning("%s runs in torch: OpenVINO: %s", detector.card.name, error)
            detector.converted[name] = detector.network
    return detector.converted[name]


def cache_folder() -> Path:
    """Where converted networks are kept."""
    return Path(platformdirs.user_cache_dir("napari-mitosis", appauthor=False)) / "openvino"


class OpenVinoModule(nn.Module):
    """A compiled model in the place of a torch module with one output.

    Parameters
    ----------
    compiled : openvino.CompiledModel
        Its input is (1, H, W, 3), as `_laid_out` makes it.
    """

    def __init__(self, compiled: Any) -> None:
        super().__init__()
        self._compiled = compiled

    def forward(self, x: Tensor) -> Tensor:
        """(1, 3, H, W) float32 -> what the module gave, float32."""
        # Images arrive channels last, which is then a view and not another copy.
        image = x.float().permute(0, 2, 3, 1).contiguous().numpy()
        request = self._compiled.create_infer_request()
        request.infer({0: image}, share_inputs=True)
        return torch.from_numpy(np.array(request.get_output_tensor(0).data, copy=True))


def _converted(detector: Detector, precision: str) -> nn.Module:
    """A copy of the network that shares its weights; the traced part of it runs in OpenVINO."""
    part = str(getattr(detector.network, "traced", ""))
    module = OpenVinoModule(_compiled(detector, part, precision))
    network = detector.network
    shared: dict[int, Any] = {id(value): value for value in (*network.parameters(), *network.buffers())}
    twin = copy.deepcopy(network, shared)
    if part:
        setattr(twin, part, module)
    else:
        twin.forward = module.forward
    return twin


def _compiled(detector: Detector, part: str, precision: str) -> Any:
    """The compiled part: from the cache folder, else converted and put there."""
    import openvino

    path = cache_folder() / f"{detector.fingerprint[:32]}-{part or 'all'}" / "model.xml"
    core = openvino.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    if path.is_file():
        try:
            return core.compile_model(_laid_out(core.read_model(path)), "CPU", settings)
        except RuntimeError as error:  # a damaged file: convert again
            _log.warning("%s is read no more: %s", path, error)
    model = _convert(detector.network.get_submodule(part))
    _keep(model, path.parent)
    return core.compile_model(_laid_out(model), "CPU", settings)


def _laid_out(model: Any) -> Any:
    """The model, taking images of (1, H, W, 3)."""
    import openvino
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(model)
    steps.input().tensor().set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    return steps.build()


def _convert(module: nn.Module) -> Any:
    """A torch module as a model of OpenVINO that takes images of any size."""
    import openvino

    example = torch.rand(1, 3, *_EXAMPLE_PX) * 255
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer warns of every shape that it follows
        traced = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]
        return openvino.convert_model(traced, example_input=example, input=[openvino.PartialShape([1, 3, -1, -1])])


def _keep(model: Any, folder: Path) -> None:
    """Write a converted model, whole or not at all; without a cache it is converted again the next time."""
    import openvino

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent))
        openvino.save_model(model, partial / "model.xml", compress_to_fp16=False)
        if folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except (OSError, RuntimeError) as error:
        _log.warning("the converted network is not kept: %s", error)
