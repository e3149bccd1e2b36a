"""The same network on the same field by several runtimes, in one process, round by round.

    python benchmarks/against_peers.py [--model segmitos] [--side 2112] [--rounds 3] [--threads 2] [--compile]

One pose of the whole image: torch in float32 and, where the processor has it, bfloat16; torch.compile (with
``--compile``: it wants a C++ compiler); onnxruntime and OpenVINO where they are installed; and `predict` as it ships,
reading and stitching included. Every round runs each once, so that a busy machine is busy for all of them. Told are
medians, and the ratio to `predict` with its spread over the rounds: above 1 the peer is slower.
"""

from __future__ import annotations

import argparse
import io
import time
import warnings
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch

from napari_mitosis import jobs, load_detector
from napari_mitosis.fields.field import Field
from napari_mitosis.inference.device import precision
from napari_mitosis.inference.predict import predict
from napari_mitosis.inference.runtime import runtime_of
from napari_mitosis.models.registry import BoxNetwork, Detector

Run = Callable[[], Any]
OURS = "predict, as it ships"


def traced_part(detector: Detector) -> torch.nn.Module:
    """What all runtimes run: the trunk of a network of boxes, else all of it."""
    return detector.network.get_submodule("features" if isinstance(detector.network, BoxNetwork) else "")


def torch_runs(part: torch.nn.Module, image: torch.Tensor, compiled: bool) -> dict[str, Run]:
    """Plain torch, in each precision that the processor has."""
    fast = image.contiguous(memory_format=torch.channels_last)

    def in_bfloat16(module: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return module(fast)

    runs: dict[str, Run] = {"torch float32": lambda: part(image), "torch float32, channels last": lambda: part(fast)}
    has_bfloat16 = precision(torch.device("cpu")) == torch.bfloat16
    if has_bfloat16:
        runs["torch bfloat16"] = lambda: in_bfloat16(part)
    if compiled:
        once = torch.compile(part)
        runs["torch.compile"] = (lambda: in_bfloat16(once)) if has_bfloat16 else (lambda: once(fast))
    return runs


def openvino_runs(part: torch.nn.Module, image: torch.Tensor, threads: int) -> dict[str, Run]:
    """OpenVINO as its manual has it: a model of one shape, in float32 and in the precision that it prefers."""
    try:
        import openvino
    except ImportError:
        return {}
    traced = torch.jit.trace(part, image[:, :, :128, :128], check_trace=False)
    model = openvino.convert_model(traced, example_input=image[:, :, :128, :128], input=[list(image.shape)])
    runs: dict[str, Run] = {}
    for name, hint in (("OpenVINO float32", {"INFERENCE_PRECISION_HINT": "f32"}), ("OpenVINO, its own choice", {})):
        compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads, **hint})
        runs[name] = partial(compiled.create_infer_request().infer, {0: image.numpy()})
    return runs


def onnx_runs(part: torch.nn.Module, image: torch.Tensor, threads: int) -> dict[str, Run]:
    """onnxruntime on the exported network."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError:
        return {}
    file = io.BytesIO()
    torch.onnx.export(part, (image,), file, dynamo=False, input_names=["pixels"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    return {"onnxruntime float32": lambda: session.run(None, {"pixels": image.numpy()})}


def main() -> None:
    """Run all peers and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="segmitos")
    parser.add_argument("--side", type=int, default=2112)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(options.threads)
    detector = load_detector(options.model)
    part = traced_part(detector).eval()
    pixels = np.random.default_rng(0).integers(60, 230, (options.side, options.side, 3), dtype=np.uint8)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float().contiguous()
    field = Field.from_array(pixels, detector.card.mpp, "noise")
    with torch.inference_mode():
        runs = {
            OURS: lambda: jobs.run(predict(field, detector, device="cpu", poses=1)),
            **torch_runs(part, image, options.compile),
        }
    with torch.no_grad():
        runs |= openvino_runs(part, image, options.threads) | onnx_runs(part, image, options.threads)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(options.rounds + 1):
        for name, once in runs.items():
            with torch.inference_mode():
                start = time.perf_counter()
                once()
            if number:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    print(f"{detector.card.name}, {options.side} x {options.side}, {options.threads} threads, ours in "
          f"{runtime_of(detector, torch.device('cpu'))}")  # fmt: skip
    for name, seconds in times.items():
        ratios = sorted(t / own for t, own in zip(seconds, times[OURS], strict=True))
        print(f"{name:32s} {median(seconds):7.2f} s   {median(ratios):5.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]")


if __name__ == "__main__":
    main()
