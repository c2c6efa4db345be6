"""Say how the tensors of a file differ from those that a network expects."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from monai_ext.errors import WeightsError
from monai_ext.foreign_text import listed

__all__ = ["check_finite", "differences", "preview"]


def differences(
    found: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    *,
    optional: Collection[str] = (),
    unknown: Collection[str] = (),
) -> str:
    """Describe the differences in one line, "" when there are none.

    Args:
        found: the file's tensors under the network's names.
        expected: the network's ``state_dict``.
        optional: names that may be missing in the file.
        unknown: names of the file for which the network has no counterpart at all.
    """
    missing = [key for key in expected if key not in found and key not in optional]
    unexpected = [*unknown, *(key for key in found if key not in expected)]
    reshaped = [
        f"{key} {tuple(value.shape)} instead of {tuple(expected[key].shape)}"
        for key, value in found.items()
        if key in expected and value.shape != expected[key].shape
    ]
    parts = {"missing in the file": missing, "not in the network": unexpected, "of another shape": reshaped}
    return "; ".join(f"{what}: {preview(keys)}" for what, keys in parts.items() if keys)


def preview(keys: Collection[str], count: int = 3) -> str:
    """List the first keys and say how many more there are."""
    return listed(keys, most=count)


def check_finite(weights: Mapping[str, Tensor], source: str) -> None:
    """Refuse weights of a training that had failed.

    Raises:
        WeightsError: When a value of ``weights`` is not finite.
    """
    broken = [key for key, value in weights.items() if not torch.isfinite(value).all()]
    if broken:
        raise WeightsError(
            f"Nothing was loaded from {source}: it has values that are not finite in {preview(broken)}: the "
            "training that wrote it had failed. Take an earlier checkpoint."
        )
