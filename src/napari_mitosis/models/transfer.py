"""The weight transfer function of PartMitosis: W_strong = G(W_concent; theta) (Sebai et al. 2020, section III-B)."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FORMS = ("1-layer", "2-layer ReLU", "2-layer LeakyReLU", "3-layer ReLU", "3-layer LeakyReLU")
PAPER_FORM = "2-layer LeakyReLU"


class WeightTransfer(nn.Module):
    """Fully connected layers that turn the last convolution of one branch into that of the other.

    Each class's weights and bias are one vector, and one function serves both classes; hidden layers are as
    wide as the convolution has inputs. The paper gives neither; both follow the weight transfer it refers to.
    The gradient stops at the weights that come in (section III-C: otherwise the strong loss would pull at the
    concentric branch only where there are strong labels).

    Parameters
    ----------
    channels : int
        Inputs of the convolution.
    form : str
        One of `FORMS`.

    Raises
    ------
    ValueError
        If there is no such form.
    """

    def __init__(self, channels: int, form: str = PAPER_FORM) -> None:
        super().__init__()
        if form not in FORMS:
            raise ValueError(f"the weight transfer function has the forms {', '.join(FORMS)}, not {form!r}")
        self.form = form
        layers = int(form[0])
        widths = [channels + 1, *[channels] * (layers - 1), channels + 1]
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(widths)])

    def forward(self, score: nn.Conv2d) -> tuple[Tensor, Tensor]:
        """Weights (classes, channels, 1, 1) and bias (classes,) of the strong branch's last convolution."""
        assert score.bias is not None
        y = torch.cat([score.weight.flatten(1), score.bias[:, None]], dim=1).detach().float()
        for i, layer in enumerate(self.layers):
            y = layer(y)
            if i + 1 < len(self.layers):
                y = F.leaky_relu(y, 0.01) if self.form.endswith("LeakyReLU") else F.relu(y)
        return y[:, :-1, None, None], y[:, -1]
