"""The four window classifiers of MSSN's first stage, evaluated at every cell of a field (Ma et al. 2018, III-A).

Each looks at a window centred on a cell: 72 x 72, 96 x 96, the cross bar of 60 x 120 and 120 x 60, and
120 x 120 with dilated convolutions. No convolution is padded, so that the value at a cell is that of the
classifier on the window cut there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .trunks import EfficientNetLite0, MBConv, conv_bn

SUB_MODELS = ("s72", "s96", "cross", "s120")
WINDOWS_PX: dict[str, tuple[tuple[int, int], ...]] = {
    "s72": ((72, 72),),
    "s96": ((96, 96),),
    "cross": ((60, 120), (120, 60)),
    "s120": ((120, 120),),
}
"""Height and width of what each sub-model looks at; the cross bar looks at two windows."""
STRIDE = 8
REACH_PX = 56
"""How far the largest window reaches beyond the cell in its middle."""
# One cell in a hundred is mitosis at the start, so that background does not swamp the first steps.
_PRIOR = math.log(0.01 / 0.99)


def margin_px(side: int) -> int:
    """Pixels between the edge of a window and the cell of `STRIDE` pixels in its middle."""
    return (side - STRIDE) // 2


def pad_px(pixels: Tensor, height: int, width: int) -> Tensor:
    """Repeat the border so that windows of this size about the outermost cells lie inside."""
    y, x = margin_px(height), margin_px(width)
    return F.pad(pixels, (x, x, y, y), mode="replicate")


class PaperSubModel(nn.Module):
    """One plain classifier: three groups of 3 x 3 convolutions with pooling, then one over all that is left.

    The paper names windows and dilation, but no layers. Chosen here: two convolutions of 32 maps, two of 64,
    one of 128, each with batch normalisation and ReLU and each group followed by a 2 x 2 max pool; a fully
    connected layer of 256 and one output. ``dilated``: the second and third group are dilated by 2, and in
    place of the fully connected layer stands a 4 x 4 convolution that is dilated by 3, as wide as the 10 x 10
    cells that are left of 120 pixels, with 16 weights for each pair of maps instead of 100.

    Shapes: (N, 3, H, W) -> features (N, 256, h, w), one cell for each 8 pixels that a window can move by.
    """

    def __init__(self, height: int, width: int, dilated: bool = False) -> None:
        super().__init__()
        rate = 2 if dilated else 1
        plan = ((3, 32, 1), (32, 32, 1), (), (32, 64, rate), (64, 64, rate), (), (64, 128, rate), ())
        layers: list[nn.Module] = []
        for step in plan:
            if step:
                inputs, outputs, dilation = step
                layers.append(_plain(inputs, outputs, 3, dilation))
                height, width = height - 2 * dilation, width - 2 * dilation
            else:
                layers.append(nn.MaxPool2d(2, 2))
                height, width = height // 2, width // 2
        self.groups = nn.Sequential(*layers)
        self.rest = (height, width)
        self.full = _plain(128, 256, 4, 3) if dilated else _plain(128, 256, self.rest)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.full(self.groups(x))
        return features


def _plain(inputs: int, outputs: int, kernel: int | tuple[int, int], dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class PaperStage1(nn.Module):
    """The four sub-models side by side; each sees the pixels for itself."""

    def __init__(self) -> None:
        super().__init__()
        self.bars = nn.ModuleDict(
            {
                name: nn.ModuleList([PaperSubModel(h, w, dilated=name == "s120") for h, w in windows])
                for name, windows in WINDOWS_PX.items()
            }
        )
        self.out = nn.ModuleDict({name: _output(256 * len(bars)) for name, bars in self._bars()})

    def _bars(self) -> list[tuple[str, nn.ModuleList]]:
        return [(name, bars) for name, bars in self.bars.items() if isinstance(bars, nn.ModuleList)]

    def sub_model(self, name: str, windows: tuple[Tensor, ...]) -> Tensor:
        """Logit (N, 1, 1, 1) of windows cut for this sub-model, in the order of `WINDOWS_PX`."""
        features = [bar((w - 127.0) / 128.0) for bar, w in zip(self._modules_of(name), windows, strict=True)]
        logit: Tensor = self.out[name](torch.cat(features, dim=1))
        return logit

    def _modules_of(self, name: str) -> nn.ModuleList:
        bars = self.bars[name]
        assert isinstance(bars, nn.ModuleList)
        return bars

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 255] -> logits (N, 4, H / 8, W / 8)."""
        logits = [
            self.sub_model(name, tuple(pad_px(pixels, h, w) for h, w in windows))
            for name, windows in WINDOWS_PX.items()
        ]
        return torch.cat(logits, dim=1)


def _output(inputs: int) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, 1, 1)
    nn.init.normal_(layer.weight, std=0.01)
    assert layer.bias is not None
    nn.init.constant_(layer.bias, _PRIOR)
    return layer


class ValidBlock(nn.Module):
    """Inverted residual block without padding; its parts are named as those of `trunks.MBConv`."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int],
        stride: int = 1,
        dilation: int = 1,
        expansion: int = 6,
    ) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = conv_bn(inputs, hidden, 1)
        self.depthwise = nn.Sequential(
            nn.Conv2d(hidden, hidden, kernel, stride, dilation=dilation, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden, eps=1e-3, momentum=0.01),
            nn.ReLU6(inplace=True),
        )
        self.project = conv_bn(hidden, outputs, 1, act=False)
        self.crop = tuple(dilation * (k - 1) // 2 for k in kernel) if stride == 1 and inputs == outputs else None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        if self.crop is None:
            return y
        top, left = self.crop
        return y + x[:, :, top : top + y.shape[2], left : left + y.shape[3]]


class Branch(nn.Module):
    """From the shared stem to the features of one window.

    Parameters
    ----------
    start, cells : tuple of int
        Where the window begins, in stem cells from the corner of the largest window, and how many it has.
    blocks : sequence of nn.Module
        Take `cells` to one, moving by two stem cells.
    width : int
        Channels of the last block.
    """

    def __init__(self, start: tuple[int, int], cells: tuple[int, int], blocks: Sequence[nn.Module], width: int) -> None:
        super().__init__()
        self.start, self.cells = start, cells
        self.blocks = nn.Sequential(*blocks)
        self.mix = conv_bn(width, 128, 1)

    def forward(self, stem: Tensor) -> Tensor:
        # As many places as the largest window, 26 stem cells, has in each direction.
        span = [cells + n - LARGEST_CELLS for cells, n in zip(self.cells, stem.shape[2:], strict=True)]
        (top, left), (h, w) = self.start, span
        features: Tensor = self.mix(self.blocks(stem[:, :, top : top + h, left : left + w]))
        return features


# A stem cell sees 19 pixels and the next one begins 4 further on: (120 - 19) // 4 + 1 of them in 120 pixels.
LARGEST_CELLS = 26


def _branches() -> nn.ModuleDict:
    """Windows of 72, 96, 60 and 120 pixels are 14, 20, 10 and 26 stem cells."""

    def first() -> ValidBlock:
        return ValidBlock(24, 40, (5, 5), stride=2)

    def second() -> ValidBlock:
        return ValidBlock(40, 40, (5, 5))

    def bar(start: tuple[int, int], cells: tuple[int, int], last: tuple[int, int]) -> Branch:
        # 10 x 26 stem cells -> 3 x 11 -> 1 x 9 -> 1.
        return Branch(start, cells, [first(), ValidBlock(40, 40, (3, 3)), ValidBlock(40, 80, last, expansion=3)], 80)

    small = Branch((6, 6), (14, 14), [first(), second()], 40)  # 14 -> 5 -> 1
    middle = [first(), second(), ValidBlock(40, 80, (3, 3)), nn.AvgPool2d(2, 1)]  # 20 -> 8 -> 4 -> 2 -> 1
    # 26 -> 11 -> 7 -> 3 (dilated) -> 1
    large = [first(), second(), ValidBlock(40, 80, (3, 3), dilation=2), ValidBlock(80, 80, (3, 3), expansion=3)]
    return nn.ModuleDict(
        {
            "s72": nn.ModuleList([small]),
            "s96": nn.ModuleList([Branch((3, 3), (20, 20), middle, 80)]),
            "cross": nn.ModuleList([bar((8, 0), (10, 26), (1, 9)), bar((0, 8), (26, 10), (9, 1))]),
            "s120": nn.ModuleList([Branch((0, 0), (26, 26), large, 80)]),
        }
    )


class CompactStage1(nn.Module):
    """The four windows on a shared stem: the first layers of EfficientNet-Lite0, to stride 4, without padding.

    A stem cell sees 19 x 19 pixels. Of the 60 pixels of a bar the outermost two are not used, as stem cells
    begin at multiples of four pixels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bars = _branches()
        self.out = nn.ModuleDict({name: _output(128 * len(w)) for name, w in WINDOWS_PX.items()})
        self.dropout = nn.Dropout2d(0.1)

    def forward(self, stem: Tensor) -> Tensor:
        """Stem cells (N, 24, h, w) -> logits (N, 4, (h - 26) / 2 + 1, (w - 26) / 2 + 1)."""
        return torch.cat([self.sub_model(name, stem) for name in SUB_MODELS], dim=1)

    def sub_model(self, name: str, stem: Tensor) -> Tensor:
        """Logits (N, 1, ...) of one sub-model."""
        bars = self.bars[name]
        assert isinstance(bars, nn.ModuleList)
        logits: Tensor = self.out[name](self.dropout(torch.cat([bar(stem) for bar in bars], dim=1)))
        return logits

    def start_from(self, trunk: EfficientNetLite0) -> None:
        """Begin the first blocks of each branch with the weights of the trunk's next stage."""
        stage_state = trunk.stages[2].state_dict()
        for bars in self.bars.values():
            assert isinstance(bars, nn.ModuleList)
            for bar in bars:
                blocks = bar.blocks
                assert isinstance(blocks, nn.Sequential)
                for i, block in enumerate(blocks):
                    taken = {k.removeprefix(f"{i}."): v for k, v in stage_state.items() if k.startswith(f"{i}.")}
                    known = block.state_dict()
                    if taken and all(k in known and known[k].shape == v.shape for k, v in taken.items()):
                        block.load_state_dict(taken)


def stem_cells(trunk: EfficientNetLite0, pixels: Tensor) -> Tensor:
    """The trunk's layers to stride 4, without padding: (N, 3, H, W) -> (N, 24, (H - 19) / 4 + 1, (W - 19) / 4 + 1)."""
    x = _unpadded(trunk.stem, (pixels - 127.0) / 128.0)
    for stage in trunk.stages[:2]:
        assert isinstance(stage, nn.Sequential)
        for block in stage:
            assert isinstance(block, MBConv)
            y = _unpadded(block.project, _unpadded(block.depthwise, block.expand(x)))
            if block.residual:
                top, left = ((a - b) // 2 for a, b in zip(x.shape[2:], y.shape[2:], strict=True))
                y = y + x[:, :, top : top + y.shape[2], left : left + y.shape[3]]
            x = y
    return x


def _unpadded(layers: nn.Module, x: Tensor) -> Tensor:
    """A `trunks.conv_bn` as it is, but for its padding."""
    assert isinstance(layers, nn.Sequential)
    conv = layers[0]
    assert isinstance(conv, nn.Conv2d)
    y = F.conv2d(x, conv.weight, conv.bias, conv.stride, 0, conv.dilation, conv.groups)
    for layer in list(layers)[1:]:
        y = layer(y)
    return y
