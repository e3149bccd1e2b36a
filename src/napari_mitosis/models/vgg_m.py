"""VGG_CNN_M_1024, the trunk of DeepDet in the paper's configuration (DeepMitosis, section 4.2.1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Of the ImageNet weights: blue, green, red.
_MEAN_BGR = (102.9801, 115.9465, 122.7717)


class VGGM(nn.Module):
    """Its five convolutions; what comes after pool5 is the detector's.

    Shapes: (N, 3, H, W) RGB in [0, 255] -> (N, 512, about H / 16, about W / 16): 1024 px give 63 cells. Layers
    are named as in the published network.
    """

    channels = 512

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 7, stride=2)
        self.conv2 = nn.Conv2d(96, 256, 5, stride=2, padding=1)
        self.conv3 = nn.Conv2d(256, 512, 3, padding=1)
        self.conv4 = nn.Conv2d(512, 512, 3, padding=1)
        self.conv5 = nn.Conv2d(512, 512, 3, padding=1)
        self.norm = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.register_buffer("mean", torch.tensor(_MEAN_BGR).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        mean: Tensor = self.mean  # type: ignore[assignment]
        x = x.flip(1) - mean
        x = self.pool(self.norm(F.relu(self.conv1(x))))
        x = self.pool(self.norm(F.relu(self.conv2(x))))
        x = F.relu(self.conv3(x))
        x = F.relu(self.conv4(x))
        return F.relu(self.conv5(x))
