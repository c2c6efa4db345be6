"""Configs with the values of one trained model written out, so that nothing that is called has to be computed."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Mapping
from typing import Any

from monai_ext.sharing.audit.config_text import flattened, value_at
from monai_ext.sharing.audit.expressions import REFERENCE

__all__ = ["literal_config"]

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "bool": bool,
    "float": float,
    "int": int,
    "len": len,
    "list": list,
    "max": max,
    "min": min,
    "sorted": sorted,
    "str": str,
}
_UNKNOWN = object()
_SETTINGS = "settings"
_PLACEHOLDER = "__value_{}"


def literal_config(config: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write out what follows from the settings of a trained model, and leave what a user may choose.

    Ids that have the name of a setting, and expressions of ``@settings.name`` and of such ids, become plain
    values; the bundle's root becomes ``"."``.

    >>> config = {"backbone": "$@settings.backbone", "net": {"_target_": "$'monai.networks.nets.' + @backbone"}}
    >>> literal_config(config, {"backbone": "resnet18"})
    {'backbone': 'resnet18', 'net': {'_target_': 'monai.networks.nets.resnet18'}}
    """
    literal = copy.deepcopy(dict(config))
    for name in literal:
        if name in settings and _is_computed(literal[name]):
            literal[name] = copy.deepcopy(settings[name])
    fixed = {name for name in literal if name in settings}
    if "bundle_root" in literal:
        literal["bundle_root"] = "."
    while _one_round(literal, settings, fixed):
        continue
    return _without_unused(literal, config)


def _without_unused(literal: dict[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Without what was referred to only where values stand now, such as the file that settings were read from."""
    used_before, used_now = _references(config), _references(literal)
    unused = {name for name in literal if name in used_before and name not in used_now and _is_computed(literal[name])}
    if not unused:
        return literal
    return _without_unused({name: value for name, value in literal.items() if name not in unused}, config)


def _references(config: Any) -> set[str]:
    """Top-level ids that something refers to."""
    texts = [value for _, value in flattened(config) if isinstance(value, str)]
    found = {match[1:].replace("#", "::").split("::")[0] for text in texts for match in REFERENCE.findall(text)}
    return found | {text[1:].split("::")[0] for text in texts if text.startswith("%")}


def _is_computed(value: Any) -> bool:
    if isinstance(value, dict):
        return "_target_" in value
    return isinstance(value, str) and value.startswith(("$", "@"))


def _one_round(literal: dict[str, Any], settings: Mapping[str, Any], fixed: set[str]) -> bool:
    """Write out what follows from what is fixed by now; whether there was anything."""
    changed = False
    for place, value in list(flattened(literal)):
        if not (isinstance(value, str) and value.startswith("$")):
            continue
        found = _evaluate(value[1:], literal, settings, fixed)
        if found is not _UNKNOWN:
            _put(literal, place, found)
            fixed.add(place)
            changed = True
    return changed


def _put(config: Any, place: str, value: Any) -> None:
    *parents, last = place.split("::")
    for key in parents:
        config = config[int(key)] if isinstance(config, list) else config[key]
    config[int(last) if isinstance(config, list) else last] = value


def _evaluate(text: str, config: Mapping[str, Any], settings: Mapping[str, Any], fixed: set[str]) -> Any:
    """The value of an expression of settings and fixed ids; ``_UNKNOWN`` for any other. Nothing is executed."""
    places: list[str] = []

    def stand_in(match: Any) -> str:
        places.append(match.group()[1:].replace("#", "::"))
        return _PLACEHOLDER.format(len(places) - 1)

    try:
        tree = ast.parse(REFERENCE.sub(stand_in, text), mode="eval").body
    except (SyntaxError, ValueError):
        return _UNKNOWN
    if not places:
        return _UNKNOWN
    values = {_PLACEHOLDER.format(n): _referred(place, config, settings, fixed) for n, place in enumerate(places)}
    return _value(tree, values)


def _referred(place: str, config: Mapping[str, Any], settings: Mapping[str, Any], fixed: set[str]) -> Any:
    if place == _SETTINGS:
        return settings
    if place not in fixed:
        return _UNKNOWN
    try:
        value = value_at(config, place)
    except KeyError:
        return _UNKNOWN
    is_plain = not any(isinstance(inner, str) and inner.startswith(("$", "@", "%")) for _, inner in flattened(value))
    return value if is_plain else _UNKNOWN


def _value(node: ast.AST, values: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return values.get(node.id, _UNKNOWN)
    if isinstance(node, ast.Attribute) and isinstance(owner := _value(node.value, values), Mapping):
        return owner.get(node.attr, _UNKNOWN)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _value(node.left, values), _value(node.right, values)
        return left + right if isinstance(left, str) and isinstance(right, str) else _UNKNOWN
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
        arguments = [_value(argument, values) for argument in node.args]
        known = not node.keywords and not any(argument is _UNKNOWN for argument in arguments)
        return _FUNCTIONS[node.func.id](*arguments) if known else _UNKNOWN
    return _UNKNOWN
