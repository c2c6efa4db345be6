"""What a person chose for a run, in one dictionary: for checkpoints, tracking and the model's metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_ext.running_config import refusal, running_parser

__all__ = ["chosen_settings"]

_NO_SETTINGS = (
    *("bundle_root", "dataset_dir", "labelled_dirs", "pretrained", "resume", "output_dir", "run_name"),
    *("device", "num_workers", "register"),
)
"""Where things lie on this machine, and how fast it reads: the result does not depend on them."""


def chosen_settings(described: Sequence[Any] = ()) -> dict[str, Any]:
    """The plain values at the top of the config that is being run, with overrides, and what follows from them.

    Numbers, texts and lists are settings; components, and sections of them, are not. Of values that something was made
    of, what was made is told: a component with an attribute ``settings`` puts its entries in their place, such as the
    images of a training for its epochs.

    Args:
        described: components with ``settings``, a dictionary of plain values, or such dictionaries.

    Raises:
        RuntimeError: not called by a MONAI config.
    """
    parser = running_parser()
    if parser is None:
        raise refusal(RuntimeError("chosen_settings works as a component of a MONAI config, whose values it takes."))
    settings = {
        name: value
        for name, value in parser.get().items()
        if not name.startswith("_") and name not in _NO_SETTINGS and _is_plain(value)
    }
    for component in described:
        settings |= component if isinstance(component, Mapping) else component.settings
    return settings


def _is_plain(value: Any) -> bool:
    """True for JSON values without a component, an expression or a reference in them."""
    if isinstance(value, dict):
        return "_target_" not in value and all(map(_is_plain, value.values()))
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, str):
        return not value.startswith(("$", "@", "%"))
    return value is None or isinstance(value, bool | int | float)
