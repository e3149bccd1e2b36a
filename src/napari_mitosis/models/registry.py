"""Which detectors exist, which versions of their weights are here, and how to load one.

A detector is a class marked ``@register("name")`` in a file of this folder, where it is found by looking, or in a
module of another package that an entry point of the group ``napari_mitosis.detectors`` names.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata, resources
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, TypeVar, cast, runtime_checkable

import platformdirs

from ..errors import WeightsError
from .adoption import read_adopted
from .card import ModelCard, cards_in
from .presets import preset_cards

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from .configured import Places, Rng

Class = TypeVar("Class", bound=type)

ENTRY_POINTS = "napari_mitosis.detectors"
"""Group of entry points by which other packages name modules with detectors."""

_log = logging.getLogger(__name__)


class DenseNetwork(Protocol):
    """What inference asks of every network; an ``nn.Module`` besides.

    Attributes
    ----------
    stride : int
        Input pixels for each cell of its score maps.
    multiple : int
        Input height and width must be multiples of it.
    map_names : tuple of str
        Names of its score maps; empty for networks that find boxes.

    Notes
    -----
    A network may set ``traced``, the name of the part that another runtime may run (empty: all of its forward pass),
    and ``border_px``, how far it wants to see beyond the edge of the field (mirrored), and
    ``selectable = True`` when `scores` takes ``only``, a selection of `map_names`.
    """

    stride: int
    multiple: int
    map_names: tuple[str, ...]

    def scores(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) RGB in [0, 255] -> (N, len(map_names), H / stride, W / stride) in [0, 1]."""
        ...


@runtime_checkable
class BoxNetwork(Protocol):
    """A network that finds boxes (DeepDet, RPN)."""

    score_names: tuple[str, ...]

    def boxes(self, pixels: Tensor) -> Tensor:
        """(1, 3, H, W) -> (n, 4 + len(score_names)): y0, x0, y1, x1 in input pixels, then scores in [0, 1].

        Pixel i covers [i - 0.5, i + 0.5). Duplicates are suppressed; best first.
        """
        ...


@runtime_checkable
class JoiningNetwork(Protocol):
    """A network whose score maps are joined to candidates at once (MSSN)."""

    join_names: tuple[str, ...]

    def join(self, maps: Mapping[str, NDArray[np.float32]]) -> pd.DataFrame:
        """Columns y, x (cells), `join_names` (scores in [0, 1]), then columns that only inform."""
        ...


@runtime_checkable
class ExaminingNetwork(Protocol):
    """A network that looks at one candidate at a time: a second stage or a verifier."""

    examine_px: int
    examine_names: tuple[str, ...]

    def examine(self, crops: Tensor) -> Tensor:
        """(n, 3, examine_px, examine_px) RGB in [0, 255] -> (n, len(examine_names)) in [0, 1]."""
        ...


@runtime_checkable
class LearnsMimics(Protocol):
    """A class that learns more from figures that a reader called mimics than that they are background."""

    @staticmethod
    def mimic_loss(network: nn.Module, pixels: Tensor, centroids: Places, mimics: Places) -> Tensor:
        """What is added to the loss of a batch; places (y, x) in pixels of each image, some beyond its edge."""
        ...


class DetectorClass(Protocol):
    """What a registered class offers.

    Attributes
    ----------
    kind : str
        ``"detector"``, or ``"verifier"`` for what only examines another detector's candidates. A class that
        does not say is a detector.
    """

    detector_name: str
    kind: str
    title: str
    configs: tuple[str, ...]

    @staticmethod
    def build(config: str) -> nn.Module:
        """The network of a configuration, with fresh weights."""
        ...

    @staticmethod
    def loss(network: nn.Module, pixels: Tensor, centroids: Places, rng: Rng, ignore: Tensor | None = None) -> Tensor:
        """The training loss of a batch, from centroids alone.

        Parameters
        ----------
        pixels : Tensor, shape (N, 3, H, W)
            RGB in [0, 255].
        centroids : sequence of ndarray, shape (n, 2)
            Mitoses (y, x) of each crop, in its pixels.
        rng : numpy.random.Generator
            For what is drawn at random.
        ignore : Tensor of bool, shape (N, H, W), optional
            Pixels that are not known to be background.
        """
        ...


def register(name: str) -> Callable[[Class], Class]:
    """Mark a class as the detector `name`."""

    def mark(cls: Class) -> Class:
        cls.detector_name = name  # type: ignore[attr-defined]
        if not hasattr(cls, "kind"):
            cls.kind = "detector"  # type: ignore[attr-defined]
        return cls

    return mark


def registered() -> dict[str, DetectorClass]:
    """All registered classes, detectors and verifiers, by name. Imports torch.

    Those of this folder, then those of other packages: the modules that their entry points of the group
    `ENTRY_POINTS` name. A module that cannot be imported is left out, and the log says why; a name that is taken
    stays with its first owner.
    """
    package = importlib.import_module(__package__)
    by_name: dict[str, DetectorClass] = {}
    for info in pkgutil.iter_modules(package.__path__):
        by_name |= _classes(importlib.import_module(f"{__package__}.{info.name}"))
    for point in sorted(metadata.entry_points(group=ENTRY_POINTS)):
        try:
            classes = _classes(importlib.import_module(point.module))
        except Exception as error:  # whatever is wrong with one package, the other detectors work
            _log.warning("detectors of %s are left out: %s: %s", point.module, type(error).__name__, error)
            continue
        for name in classes.keys() & by_name.keys():
            _log.warning("there is a detector '%s' already; that of %s is left out", name, point.module)
        by_name = classes | by_name
    return dict(sorted(by_name.items()))


def _classes(module: ModuleType) -> dict[str, DetectorClass]:
    """The registered classes that a module holds."""
    classes = [value for value in vars(module).values() if isinstance(value, type) and "detector_name" in vars(value)]
    return {cls.detector_name: cls for cls in cast(list[DetectorClass], classes)}


def detector_class(name: str) -> DetectorClass:
    """The detector or verifier `name`.

    Raises
    ------
    WeightsError
        If there is none.
    """
    known = registered()
    if name not in known:
        raise WeightsError(f"there is no detector '{name}'; there are: {', '.join(known)}")
    return known[name]


@dataclass(eq=False)
class Detector:
    """A network with weights and its card, ready to look at fields.

    For inference only: batch normalisations are folded into convolutions. To train on, build the network
    and load its weights (`weights.load_weights`).

    Attributes
    ----------
    card : ModelCard
    network : nn.Module
    converted : dict of str to nn.Module
        The same network as other runtimes run it (`inference.runtime`), filled when first needed.
    """

    card: ModelCard
    network: nn.Module
    converted: dict[str, nn.Module] = field(default_factory=dict)

    @property
    def dense(self) -> DenseNetwork:
        """The network, as inference sees it."""
        return cast(DenseNetwork, self.network)

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 of the weights file, or of the weights themselves where they came from no file."""
        if self.card.sha256:
            return self.card.sha256
        sha = hashlib.sha256()
        for key, value in sorted(self.network.state_dict().items()):
            sha.update(key.encode())
            sha.update(value.detach().cpu().contiguous().numpy().tobytes())
        return sha.hexdigest()


def user_folder() -> Path:
    """Where a user's own model versions are kept: ``NAPARI_MITOSIS_MODELS``, else in the user's data folder.

    A process that trains inherits the variable, and so looks in the same place as the window that started it.
    """
    given = os.environ.get("NAPARI_MITOSIS_MODELS")
    if given:
        return Path(given).expanduser().absolute()
    return Path(platformdirs.user_data_dir("napari-mitosis", appauthor=False)) / "models"


def installed(folder: Path | None = None) -> list[tuple[ModelCard, Path]]:
    """Every card with the path of its weights: shipped ones first, then the user's; or `folder`'s only.

    An ensemble counts where all of its members are, and so does a chain of `presets`; both have no weights there.
    """
    shipped = Path(str(resources.files("napari_mitosis") / "weights"))
    places = [shipped, user_folder()] if folder is None else [folder]
    versions = []
    for place in places:
        cards, strays = cards_in(place)
        for stray in strays:
            _log.warning("%s: %s", place, stray)
        for path, card in cards:
            weights = path.with_suffix(".safetensors")
            if weights.is_file() or card.members:
                versions.append((card, weights))
    single = [card for card, _ in versions if not card.members]
    known = {card.name for card in single}
    adopted = read_adopted(folder or user_folder())
    preferred = {
        card.detector: card for card in sorted(single, key=lambda card: _preference(card, adopted.get(card.detector)))
    }
    chains = [(card, shipped / f"{card.detector}.safetensors") for card in preset_cards(preferred)]
    return [*((card, path) for card, path in versions if _needed(card) <= known), *chains]


def _preference(card: ModelCard, adopted: Sequence[str] | None) -> tuple[bool, bool, tuple[tuple[int, str], ...]]:
    """Sort key of the versions of one detector; the last is what its plain name means."""
    is_adopted = bool(adopted) and card.name == (adopted or ("",))[-1]
    return is_adopted, not card.finetuned, version_key(card.version)


def _needed(card: ModelCard) -> set[str]:
    """The model versions that an ensemble is made of; none of a single detector."""
    return {name for member in card.members for name in (member.model, member.verifier) if name}


def list_cards(folder: Path | None = None) -> list[ModelCard]:
    """Cards of the model versions on offer, oldest version of each detector first; an adopted one comes last.

    A fine-tuned version is on offer while it is adopted; `installed` has the others, too.

    Parameters
    ----------
    folder : Path, optional
        Where to look, instead of the shipped and the user's models.

    Raises
    ------
    WeightsError
        If a card is damaged.
    """
    chosen = {names[-1] for names in read_adopted(folder or user_folder()).values()}
    offered = [card for card, _ in installed(folder) if not card.finetuned or card.name in chosen]
    return sorted(offered, key=lambda c: (c.detector, c.name in chosen, version_key(c.version)))


def version_key(version: str) -> tuple[tuple[int, str], ...]:
    """Sort key under which 1.10.0 comes after 1.9.0, and 1.9.0+tuned.2 between them."""
    parts = version.replace("-", ".").replace("+", ".+.").split(".")
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts)


def find_version(name: str, folder: Path | None = None) -> tuple[ModelCard, Path]:
    """The card of a model version and the path of its weights; an ensemble has none there.

    Without a version in `name` it is the adopted one, else the newest that is not fine-tuned.

    Parameters
    ----------
    name, folder
        See `load_detector`.

    Raises
    ------
    WeightsError
        If there is no such version.
    """
    detector, _, version = name.partition("@")
    matches = [
        (card, path) for card, path in installed(folder) if card.detector == detector and version in ("", card.version)
    ]
    if not matches:
        known = ", ".join(card.name for card in list_cards(folder)) or "none"
        raise WeightsError(f"there are no weights for '{name}'; there are: {known}")
    adopted = read_adopted(folder or user_folder()).get(detector)
    return max(matches, key=lambda match: _preference(match[0], adopted))


def load_detector(name: str = "segmitos", folder: Path | None = None) -> Detector:
    """Load a model version.

    Parameters
    ----------
    name : str
        ``detector`` (the adopted version, else the newest that is not fine-tuned) or ``detector@version``.
    folder : Path, optional
        Where to look, instead of the shipped and the user's models.

    Raises
    ------
    WeightsError
        If there is no such version, its file is damaged or does not fit the network, or it is made of several
        versions (an ensemble, a chain): `inference.pipeline.load_pipeline` loads these.
    """
    card, path = find_version(name, folder)
    if card.members:
        raise WeightsError(f"{card.name} is made of several networks; load it with load_pipeline('{name}')")
    from .trunks import fold_batch_norms
    from .weights import file_sha256, load_weights

    if card.sha256 and file_sha256(path) != card.sha256:
        raise WeightsError(f"{path.name} is not the file that its card describes (sha256 differs)")
    network = detector_class(card.detector).build(card.config)
    load_weights(network, path)
    return Detector(card, fold_batch_norms(network.eval()))
