"""Judge names: targets of components, names in expressions, attributes of values, imports."""

from __future__ import annotations

import importlib
import inspect
import re
import sys

from monai_ext.sharing.audit.allowed import Allowed
from monai_ext.sharing.audit.findings import Level
from monai_ext.sharing.audit.vocabulary import (
    DANGEROUS_BUILTINS,
    DANGEROUS_LEAVES,
    DANGEROUS_METHODS,
    DANGEROUS_MODULES,
    HARMLESS_BUILTINS,
    HARMLESS_METHODS,
    HARMLESS_MODULES,
    HARMLESS_NAMES,
    MONAI_SHELVES,
    PARSER,
    QUESTIONED_CLASSES,
    TORCH_SHELVES,
)

__all__ = ["Verdict", "judge_attribute", "judge_import", "judge_name", "judge_target"]

Verdict = tuple[Level, str, str] | None
"""Level, rule and reason; None when there is nothing to say."""

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_CLASS = re.compile(r"[A-Z]\w*", re.ASCII)
_NETWORKS = "monai.networks.nets"
_NETWORK_FUNCTION = re.compile(r"[a-z]+\d+[a-z0-9_]*", re.ASCII)
"""Functions there that build a network, such as ``resnet18``."""
_OS = {"os", "sys"}


def judge_target(target: object, allowed: Allowed) -> Verdict:
    """What is to be said of a ``_target_``."""
    if not isinstance(target, str):
        return Level.REFUSED, "computed-target", "what is called is not written down, but made while the config is read"
    if target.startswith(("$", "@", "%")):
        return (
            Level.UNKNOWN,
            "computed-target",
            "what is called is only known when it runs; a packed bundle has it in full",
        )
    if not _NAME.fullmatch(target):
        return Level.REFUSED, "odd-target", "the name has characters that no Python name of a library has"
    if "." not in target:
        return _judge_bare(target)
    if target in allowed.targets or target in HARMLESS_NAMES:
        return None
    grave = _grave(target)
    if grave is not None:
        return grave
    parent, _, leaf = target.rpartition(".")
    if parent in MONAI_SHELVES and leaf in QUESTIONED_CLASSES:
        return Level.UNKNOWN, "questioned-class", QUESTIONED_CLASSES[leaf]
    if _CLASS.fullmatch(leaf) and _is_shelf(parent, allowed):
        return None
    if parent == _NETWORKS and _NETWORK_FUNCTION.fullmatch(leaf):
        return None
    return Level.UNKNOWN, "unknown-target", "it is called, and is not on the list of what is known to be harmless"


def _is_shelf(module: str, allowed: Allowed) -> bool:
    """Whether any class of a module passes."""
    return module in allowed.shelves or module in MONAI_SHELVES or module in TORCH_SHELVES


def _judge_bare(name: str) -> Verdict:
    """A name without dots: MONAI looks it up in its own modules, and takes Python's when it finds none."""
    if name in DANGEROUS_BUILTINS or name in DANGEROUS_LEAVES or name in sys.stdlib_module_names:
        return Level.REFUSED, "dangerous-target", "it runs code, changes files, or reaches outside"
    if name in QUESTIONED_CLASSES:
        return Level.UNKNOWN, "questioned-class", QUESTIONED_CLASSES[name]
    for shelf in MONAI_SHELVES:
        if inspect.isclass(getattr(importlib.import_module(shelf), name, None)) and _CLASS.fullmatch(name):
            return None
    return Level.UNKNOWN, "unknown-target", "MONAI has no class of this name, so that something else would be called"


def _grave(name: str) -> Verdict:
    parts = name.split(".")
    if any(part.startswith("_") and part != "__version__" for part in parts):
        return Level.REFUSED, "private-name", "names with an underscore lead to Python's inner workings"
    if set(parts) & DANGEROUS_MODULES or set(parts[1:]) & _OS or (parts[0] in _OS and parts[1:2] != ["path"]):
        return Level.REFUSED, "dangerous-name", "the module runs code, changes files, or reaches the network"
    if set(parts[1:]) & DANGEROUS_LEAVES:
        return Level.REFUSED, "dangerous-name", "it runs code, changes files, or reaches the network"
    return None


def judge_name(name: str, allowed: Allowed) -> Verdict:
    """What is to be said of a dotted name in an expression."""
    bare = name.removeprefix("builtins.")
    if name.startswith("builtins."):
        return _judge_builtin(bare)
    if name == "monai.bundle.ConfigParser":
        return Level.REFUSED, "config-in-config", PARSER
    if name in HARMLESS_NAMES:
        return None
    grave = _grave(name)
    if grave is not None:
        return grave
    if name in allowed.names or name in allowed.targets:
        return None
    parent, _, leaf = name.rpartition(".")
    if parent in MONAI_SHELVES and leaf in QUESTIONED_CLASSES:
        return Level.UNKNOWN, "questioned-class", QUESTIONED_CLASSES[leaf]
    if _CLASS.fullmatch(leaf) and _is_shelf(parent, allowed):
        return None
    if name in HARMLESS_MODULES:
        return Level.UNKNOWN, "module-as-value", "a whole module is handed over, with all that it contains"
    return Level.UNKNOWN, "unknown-name", "it is used, and is not on the list of what is known to be harmless"


def _judge_builtin(name: str) -> Verdict:
    if name in HARMLESS_BUILTINS:
        return None
    if name in DANGEROUS_BUILTINS or name.startswith("_"):
        return (
            Level.REFUSED,
            "dangerous-name",
            "this built-in function runs code, opens files, or hides what is reached",
        )
    return Level.UNKNOWN, "unknown-name", "this built-in name is seldom needed in a config"


def judge_attribute(name: str, allowed: Allowed) -> Verdict:
    """What is to be said of an attribute of a computed value."""
    if name.startswith("_"):
        return Level.REFUSED, "private-name", "names with an underscore lead to Python's inner workings"
    if name in HARMLESS_METHODS:
        return None
    if name in DANGEROUS_METHODS:
        return Level.REFUSED, "dangerous-method", "methods of this name run code, change files, or reach the network"
    if name in allowed.attributes:
        return None
    return Level.UNKNOWN, "unknown-method", "an attribute that is not on the list of what is known to be harmless"


def judge_import(name: str, allowed: Allowed, own_modules: set[str]) -> Verdict:
    """What is to be said of an import, given in full (``module`` or ``module.name``)."""
    root = name.split(".")[0]
    if root in own_modules:
        return Level.REFUSED, "own-code", "it imports Python code that travels in the bundle, and that runs at once"
    if name in HARMLESS_MODULES or name in HARMLESS_NAMES:
        return None
    if root == "" or not _NAME.fullmatch(name):
        return Level.REFUSED, "odd-import", "relative and star imports do not say what they bring"
    grave = _grave(name) if name not in _OS else None
    if grave is not None:
        return grave[0], "dangerous-import", grave[2]
    if name in allowed.modules or name.rpartition(".")[0] in HARMLESS_MODULES:
        return None
    return Level.UNKNOWN, "unknown-import", "an import runs the module's code, and this one is not on the list"
