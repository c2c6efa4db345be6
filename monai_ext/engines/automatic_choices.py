"""What became of options that were left to ``"auto"``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_ext.inferers import PrecisionInferer
from monai_ext.parallel.devices import AUTO, Precision
from monai_ext.parallel.memory_format import describe_memory

__all__ = ["automatic_choices", "precision_of", "settled"]


def precision_of(engine: Any) -> Precision | None:
    """What an engine computes in: its own precision, or that of its inferer; None where neither says."""
    precision = getattr(engine, "precision", None)
    inferer = getattr(engine, "inferer", None)
    if precision is None and isinstance(inferer, PrecisionInferer):
        return inferer.precision_on(engine.state.device)
    return precision


def automatic_choices(engine: Any) -> dict[str, str]:
    """The precision and the memory format of an engine, by these names; those that it has."""
    precision, formats = precision_of(engine), getattr(engine, "memory_formats", None)
    choices = {} if precision is None else {"precision": precision.name}
    return choices if formats is None else {**choices, "memory_format": describe_memory(formats)}


def settled(settings: Mapping[str, Any], engine: Any) -> dict[str, Any]:
    """Settings in which each ``"auto"`` is what the engine made of it.

    >>> from types import SimpleNamespace
    >>> engine = SimpleNamespace(precision=SimpleNamespace(name="bf16"))
    >>> settled({"precision": "auto", "batch_size": 32, "protocol": "auto"}, engine)
    {'precision': 'bf16', 'batch_size': 32, 'protocol': 'auto'}
    """
    choices = automatic_choices(engine) if AUTO in settings.values() else {}
    return {name: choices.get(name, value) if value == AUTO else value for name, value in settings.items()}
