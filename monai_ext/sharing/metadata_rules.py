"""What MONAI's schema of ``metadata.json`` (20240725) asks for, and what the model zoo asks for beyond it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["changelog_problems", "metadata_problems", "version_problems"]

TEXTS = (
    "schema",
    "version",
    "monai_version",
    "pytorch_version",
    "numpy_version",
    "task",
    "description",
    "authors",
    "copyright",
)
OPTIONAL_TEXTS = ("data_source", "data_type", "image_classes", "label_classes", "pred_classes", "intended_use")
OPTIONAL_DICTS = ("changelog", "eval_metrics", "supported_apps")
TENSOR = {
    "type": str,
    "format": str,
    "num_channels": int,
    "spatial_shape": list,
    "dtype": str,
    "value_range": list,
}
OPTIONAL_OF_TENSORS = {"is_patch_data": bool, "channel_def": dict}
_VERSION = re.compile(r"\d+\.\d+\.\d+")


def metadata_problems(metadata: Any) -> list[str]:
    """What the schema finds wrong; an empty list when it is satisfied.

    >>> metadata_problems({})[0]
    'schema is missing'
    """
    if not isinstance(metadata, Mapping):
        return ["it is no JSON object"]
    kinds: dict[str, type] = dict.fromkeys((*TEXTS, *OPTIONAL_TEXTS), str)
    kinds |= dict.fromkeys(OPTIONAL_DICTS, dict)
    kinds |= {"required_packages_version": dict, "references": list, "network_data_format": dict}
    required = (*TEXTS, "required_packages_version", "network_data_format")
    problems = list(_wrong(metadata, kinds, required, ""))
    if not all(isinstance(entry, str) for entry in metadata.get("references", []) or []):
        problems.append("references has an entry that is no text")
    for name, network in metadata.items():
        if re.fullmatch(r"[_a-zA-Z0-9]+_data_format", name) and isinstance(network, Mapping):
            problems += _network_problems(network, name)
    return problems


def _wrong(
    values: Mapping[str, Any], kinds: Mapping[str, type], required: tuple[str, ...], prefix: str
) -> Iterator[str]:
    for name in required:
        if name not in values:
            yield f"{prefix}{name} is missing"
    for name, kind in kinds.items():
        value = values.get(name)
        odd = isinstance(value, bool) and kind is int
        if name in values and (odd or not isinstance(value, kind)):
            yield f"{prefix}{name} is no {kind.__name__}"


def _network_problems(network: Mapping[str, Any], place: str) -> list[str]:
    problems = [f"{place}::{name} is missing" for name in ("inputs", "outputs") if name not in network]
    for group in ("inputs", "outputs", "post_processed_outputs"):
        tensors = network.get(group, {})
        if not isinstance(tensors, Mapping):
            problems.append(f"{place}::{group} is no dict")
            continue
        for name, tensor in tensors.items():
            if isinstance(tensor, Mapping):
                problems += _tensor_problems(tensor, f"{place}::{group}::{name}::")
            elif not isinstance(tensor, (str, int, float, bool)):
                problems.append(f"{place}::{group}::{name} is neither a tensor nor a plain value")
    return problems


def _tensor_problems(tensor: Mapping[str, Any], prefix: str) -> list[str]:
    problems = list(_wrong(tensor, TENSOR | OPTIONAL_OF_TENSORS, tuple(TENSOR), prefix))
    entries = {"spatial_shape": (str, int), "value_range": (int, float)}
    for name, kinds in entries.items():
        values = tensor.get(name)
        if isinstance(values, list) and any(isinstance(v, bool) or not isinstance(v, kinds) for v in values):
            problems.append(f"{prefix}{name} has an entry of a wrong kind")
    return problems


def version_problems(metadata: Mapping[str, Any]) -> list[str]:
    """What is wrong with the bundle's version; the zoo compares versions as texts, so that 0.10.0 counts as old."""
    version = str(metadata.get("version", ""))
    if not _VERSION.fullmatch(version):
        return [f"the version {version!r} is none of the form 1.2.3"]
    long = [part for part in version.split(".") if len(part) > 1]
    return [f"the zoo compares versions as texts: {version} counts as older than {version[0]}.9"] if long else []


def changelog_problems(metadata: Mapping[str, Any]) -> list[str]:
    """What is wrong with the list of changes: the present version has to be in it, and be the newest."""
    changelog, version = metadata.get("changelog"), metadata.get("version")
    if not isinstance(changelog, Mapping) or not changelog:
        return ["there is no changelog"]
    if version not in changelog:
        return [f"the changelog does not tell of version {version}"]
    newest = max((text for text in changelog if _VERSION.fullmatch(text)), key=_as_numbers, default=version)
    return [] if newest == version else [f"the changelog tells of {newest}, which is newer than {version}"]


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
