"""What differs between a bundle and one that is known: all that a person who knows the latter has to read."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from monai_ext.sharing.audit.config_text import CONFIG_SUFFIXES, flattened, parse_config
from monai_ext.sharing.audit.findings import Reporter
from monai_ext.sharing.bundle_files import BundleFile, BundleFiles

__all__ = ["differences"]

LONGEST = 120


def differences(known: BundleFiles, here: BundleFiles) -> list[tuple[str, str, str, str, str]]:
    """Files and values of configs that were added, removed or changed, as (kind, file, id, known, here)."""
    found = []
    for name in sorted(known.files.keys() | here.files.keys()):
        before, after = known.files.get(name), here.files.get(name)
        if before is None or after is None:
            found.append(("added" if before is None else "removed", name, "", _size(before), _size(after)))
        elif name.endswith(CONFIG_SUFFIXES):
            found += _changed_values(name, before, after)
        elif (old := _digest(before)) != (new := _digest(after)):
            found.append(("changed", name, "", old, new))
    return found


def _size(file: BundleFile | None) -> str:
    return "" if file is None else f"{file.size} bytes"


def _digest(file: BundleFile) -> str:
    return hashlib.sha256(file.read()).hexdigest()


def _changed_values(name: str, before: BundleFile, after: BundleFile) -> list[tuple[str, str, str, str, str]]:
    old, new = (_leaves(parse_config(file.read(), Reporter(name))) for file in (before, after))
    found = []
    for place in sorted(old.keys() | new.keys()):
        if old.get(place) != new.get(place):
            kind = "added" if place not in old else "removed" if place not in new else "changed"
            found.append((kind, name, place, old.get(place, ""), new.get(place, "")))
    return found


def _leaves(config: Any) -> dict[str, str]:
    values = [(place, value) for place, value in flattened(config) if not isinstance(value, (dict, list)) or not value]
    texts = {place: json.dumps(value, default=str) for place, value in values}
    return {place: text if len(text) <= LONGEST else text[: LONGEST - 1] + "…" for place, text in texts.items()}
