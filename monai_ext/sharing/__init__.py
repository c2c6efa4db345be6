"""What leaves the place where a model was trained, and what somebody else does with it.

Names are imported when they are used: to look through a bundle, nothing has to be loaded that could run it.
"""

import importlib
from typing import Any

__all__ = ["FORMATS", "audit_bundle", "export_bundle", "remove_source_places"]

_HOMES = {
    "FORMATS": "export",
    "audit_bundle": "audit",
    "export_bundle": "export",
    "remove_source_places": "torchscript_places",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
