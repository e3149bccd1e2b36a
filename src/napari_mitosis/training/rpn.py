"""The RPN as a system: it is not trained, but taken out of a trained DeepDet (DeepMitosis, section 4.2.4).

The paper's proposal network is better for having shared its features with the classifier of regions than when it
is trained alone (F .796 against .768), so its weights are those of the DeepDet of the same fold. Start it from the
run folder of DeepDet's cross-validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from ..datasets.crops import Crop
from ..datasets.sample import Sample
from ..errors import WeightsError
from ..jobs import Job, Progress
from ..models.card import ModelCard
from ..models.rpn import CompactRPN
from ..models.weights import check_state, read_state
from .checkpoint import save_tensors
from .systems import System


@dataclass(frozen=True)
class RPNSystem(System):
    """See `systems.System`."""

    name: str = "rpn"

    def base(
        self, crops: Sequence[Crop], folder: Path, *, init: Path | None, seed: int, steps: int = 0
    ) -> Job[nn.Module]:
        """The proposal network of the DeepDet in `init`; nothing is trained."""
        return (yield from _taken(init, folder / "base.safetensors"))

    def fold(
        self,
        samples: Sequence[Sample],
        crops: Sequence[Crop],
        start: Path | None,
        folder: Path,
        *,
        seed: int,
        steps: int = 0,
    ) -> Job[nn.Module]:
        """The proposal network of the DeepDet in `start`; nothing is trained."""
        return (yield from _taken(start, folder / "model.safetensors"))

    def card(self, *, version: str, seed: int) -> ModelCard:
        """The card before anything is measured."""
        card = super().card(version=version, seed=seed)
        rule = {**card.rule, "threshold": 0.3, "min_score": 0.5}
        return card.model_copy(update={"title": "RPN of DeepDet, compact (EfficientNet-Lite0)", "rule": rule})


def _taken(start: Path | None, path: Path) -> Job[nn.Module]:
    """Weights of the proposal network within those of a DeepDet.

    Raises
    ------
    WeightsError
        If there are none, or they are those of another network.
    """
    if start is None:
        raise WeightsError("the RPN is taken out of a trained DeepDet: give its weights or its run folder as the start")
    network = CompactRPN()
    state = {k: v for k, v in read_state(start).items() if not k.startswith("regions.")}
    check_state(network, state, start.name)
    network.load_state_dict(state)
    save_tensors(path, network.state_dict(), {"stage": "taken from DeepDet"})
    yield Progress(1, 1, "taken from DeepDet")
    return network.eval()


SYSTEM = RPNSystem()
