"""The allow-list: what the configs of this project's own bundles name, and with that everything they need."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from monai_ext.sharing.audit.config_text import flattened
from monai_ext.sharing.audit.expressions import import_of, names_in
from monai_ext.sharing.audit.vocabulary import DEFAULT_GLOBALS

__all__ = ["ALLOWED_FILE", "Allowed", "harvest", "known_to_be_allowed"]

ALLOWED_FILE = Path(__file__).with_name("allowed.json")
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
_OPEN = "builtins.open"
_SHELVED = ("monai.", "torch.nn", "torch.optim", "torch.utils.data", "ignite.metrics", "monai_ext.")


@dataclass(frozen=True)
class Allowed:
    """Names that pass.

    Args:
        targets: classes and functions in full, as ``_target_``.
        shelves: modules of which any class passes as ``_target_``.
        names: names in full, in expressions.
        attributes: of values, in expressions.
        modules: that are imported.
        openings: whole expressions of this project that open a file of results or give it its name, letter by letter.
    """

    targets: frozenset[str]
    shelves: frozenset[str]
    names: frozenset[str]
    attributes: frozenset[str]
    modules: frozenset[str]
    openings: frozenset[str]

    def to_json(self) -> dict[str, list[str]]:
        """As sorted lists."""
        return {name: sorted(values) for name, values in vars(self).items()}


@lru_cache
def known_to_be_allowed() -> Allowed:
    """The allow-list that ships with the package, harvested by ``scripts/harvest_allowed.py``."""
    content = json.loads(ALLOWED_FILE.read_text(encoding="utf-8"))
    return Allowed(**{name: frozenset(values) for name, values in content.items()})


def harvest(configs: Iterable[Any]) -> Allowed:
    """What configs name: targets, modules, names and attributes in expressions, and the shelves of MONAI and torch."""
    values = [(place, value) for config in configs for place, value in flattened(config) if isinstance(value, str)]
    targets = {value for place, value in values if place.endswith("_target_") and _TARGET.fullmatch(value)}
    expressions = [value[1:] for _, value in values if value.startswith("$")]
    imports = [found for text in expressions if (found := import_of(text)) is not None]
    aliases = {alias: {name} for alias, name in DEFAULT_GLOBALS.items()}
    for alias, name in imports:
        aliases.setdefault(alias, set()).add(name)
    computed = [text for text in expressions if import_of(text) is None]
    used = [names_in(text, aliases) for text in computed]
    names = {name for dotted, _ in used for name in dotted}
    classes = {name for name in targets if name.startswith(_SHELVED) and name.rpartition(".")[2][:1].isupper()}
    classes -= {name for name in classes if name.startswith("monai.bundle.")}  # these evaluate what they are given
    return Allowed(
        targets=frozenset(targets),
        shelves=frozenset(parent for name in classes if not (parent := name.rpartition(".")[0])[-1:].isupper()),
        names=frozenset(name for name in names if not name.startswith("builtins.")),
        attributes=frozenset(attribute for _, attributes in used for attribute in attributes),
        modules=frozenset(name for _, name in imports),
        openings=frozenset(text for text, found in zip(computed, used, strict=True) if _is_of_results(*found)),
    )


def _is_of_results(names: set[str], attributes: set[str]) -> bool:
    """Whether an expression opens a file, or gives a complete one its name."""
    return _OPEN in names or ("pathlib.Path" in names and "replace" in attributes)
