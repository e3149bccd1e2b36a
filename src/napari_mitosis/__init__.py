"""Find, count and review mitotic figures in H&E fields. Research use only.

The public API is the list below. Every name is imported when it is first used, so importing the package
loads neither torch nor Qt and takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .decision.decide import Rule as Rule
    from .decision.decide import decide as decide
    from .decision.estimate_boxes import estimate_boxes as estimate_boxes
    from .decision.evidence import Evidence as Evidence
    from .errors import MitosisError as MitosisError
    from .fields.field import Field as Field
    from .fields.field import open_field as open_field
    from .inference.pipeline import Pipeline as Pipeline
    from .inference.pipeline import load_pipeline as load_pipeline
    from .inference.predict import predict as predict
    from .inference.verify import verify as verify
    from .jobs import run as run
    from .measures.evaluate import evaluate as evaluate
    from .models.registry import list_cards as list_cards
    from .models.registry import load_detector as load_detector

__version__ = "0.2.0"

_HOMES: Mapping[str, str] = MappingProxyType(
    {
        "Evidence": ".decision.evidence",
        "Field": ".fields.field",
        "MitosisError": ".errors",
        "Pipeline": ".inference.pipeline",
        "Rule": ".decision.decide",
        "decide": ".decision.decide",
        "estimate_boxes": ".decision.estimate_boxes",
        "evaluate": ".measures.evaluate",
        "list_cards": ".models.registry",
        "load_detector": ".models.registry",
        "load_pipeline": ".inference.pipeline",
        "open_field": ".fields.field",
        "predict": ".inference.predict",
        "run": ".jobs",
        "verify": ".inference.verify",
    }
)

__all__ = [
    "Evidence",
    "Field",
    "MitosisError",
    "Pipeline",
    "Rule",
    "__version__",
    "decide",
    "estimate_boxes",
    "evaluate",
    "list_cards",
    "load_detector",
    "load_pipeline",
    "open_field",
    "predict",
    "run",
    "verify",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
