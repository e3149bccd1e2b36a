"""What the detectors of this folder share: how a configuration is built, and what a loss is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

Places = Sequence[NDArray[np.float64]]
"""Places (y, x) of each image of a batch, in its pixels: arrays of shape (n, 2)."""

Rng = np.random.Generator


class Configured:
    """A detector whose networks stand in a table; `registry.DetectorClass` says what else it offers.

    Attributes
    ----------
    title : str
        Its name, a colon and what it is.
    networks : mapping of str to callable
        What makes the network of each configuration.
    configs : tuple of str
        Their names.
    """

    title: ClassVar[str]
    networks: ClassVar[Mapping[str, Callable[[], nn.Module]]]
    configs: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls) -> None:
        cls.configs = tuple(cls.networks)

    @classmethod
    def build(cls, config: str) -> nn.Module:
        """The network of a configuration, with fresh weights.

        Raises
        ------
        ValueError
            If there is no such configuration.
        """
        if config not in cls.networks:
            name = cls.title.partition(":")[0]
            raise ValueError(f"{name} has no configuration {config!r}; it has {', '.join(cls.networks)}")
        return cls.networks[config]()
