"""Find, count and review mitotic figures in H&E fields. Research use only.

The public API is the list below. Every name is imported when it is first used, so importing the package
loads neither torch nor Qt and takes milliseconds.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .decide import Rule as Rule
    from .decide import decide as decide
    from .errors import MitosisError as MitosisError
    from .estimate_boxes import estimate_boxes as estimate_boxes
    from .evaluate import evaluate as evaluate
    from .evidence import Evidence as Evidence
    from .field import Field as Field
    from .field import open_field as open_field
    from .inference.predict import predict as predict
    from .inference.verify import verify as verify
    from .jobs import run as run
    from .models.registry import list_cards as list_cards
    from .models.registry import load_detector as load_detector

__version__ = "0.1.0"

_HOMES: Mapping[str, str] = MappingProxyType(
    {
        "Evidence": ".evidence",
        "Field": ".field",
        "MitosisError": ".errors",
        "Rule": ".decide",
        "decide": ".decide",
        "estimate_boxes": ".estimate_boxes",
        "evaluate": ".evaluate",
        "list_cards": ".models.registry",
        "load_detector": ".models.registry",
        "open_field": ".field",
        "predict": ".inference.predict",
        "run": ".jobs",
        "verify": ".inference.verify",
    }
)

__all__ = [
    "Evidence",
    "Field",
    "MitosisError",
    "Rule",
    "__version__",
    "decide",
    "estimate_boxes",
    "evaluate",
    "list_cards",
    "load_detector",
    "open_field",
    "predict",
    "run",
    "verify",
]


class _Package(ModuleType):
    """The type of this package: a submodule never takes the place of a public function of its name.

    The import system binds a submodule to its package when it is first imported: without this,
    ``napari_mitosis.decide`` would be the function or the module, depending on who came first.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
