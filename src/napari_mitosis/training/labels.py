"""Moved to `napari_mitosis.labels`."""

from ..labels import *  # noqa: F403
