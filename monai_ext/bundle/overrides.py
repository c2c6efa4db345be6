"""Refuse overrides that name an id which the bundle's config does not have."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pydoc import locate
from typing import Any

from monai.bundle import ComponentLocator, ConfigComponent, ConfigParser
from monai.bundle.utils import DEFAULT_EXP_MGMT_SETTINGS, ID_SEP_KEY

from monai_ext.errors import ConfigOverrideError
from monai_ext.running_config import brief_errors, refusal, running_config_folder, running_parser

__all__ = ["check_overrides", "unknown_ids"]

_KEYS_ARE_DATA = ("class_names",)
"""Ids whose keys are labels of the data and no ids: other classes are given as a whole."""

NEAREST_CUTOFF = 0.6
"""Similarity (difflib ratio) from which a known name counts as a misspelling of the one given."""


def check_overrides(
    bundle_root: str, *, config: str = "train.json", overlay: str | None = None, configs: Sequence[str] | None = None
) -> None:
    """Compare the config that is being run with the bundle's own files; made to be the first step of ``initialize``.

    MONAI adds an unknown id silently, so that ``--epohcs 3`` would train for 1600 epochs. What is compared is the
    merged config in MONAI's parser, so it does not matter whether an override came from the command line, from a
    keyword of ``monai.bundle.run`` or ``ConfigWorkflow``, or from an overlay file. MONAI's own arguments (``run_id``,
    ``tracking``, ...) never reach that config. Accepted are the ids of the bundle's files, everything inside a
    component whose ``_target_`` was replaced, and arguments that only the signature of a component's target has.
    An id in a section that does not exist (``--trian::views::size``) is refused by MONAI itself when it reads it.

    Args:
        bundle_root: folder of the bundle; its ``configs`` are used when no workflow tells where the running config is.
        config: file name in the ``configs`` folder that makes up the bundle's side.
        overlay: another one that is laid over it.
        configs: argument of an older layout, by which its configs are known.

    Raises:
        ConfigOverrideError: an id exists in neither; the message names the nearest one that does. Or the configs are of
            an older layout, whose components have other names and arguments today.
    """
    brief_errors()
    if configs is not None:
        folder = running_config_folder()
        raise refusal(
            ConfigOverrideError(
                f"The configs {' + '.join(configs)} in {folder or bundle_root} were written for an older version of"
                " monai_ext, whose components had other names and arguments. Nothing was started; take the configs of"
                " this version from its folder bundles/, and give what you had changed as overrides."
            )
        )
    parser = running_parser()
    if parser is None:
        raise RuntimeError(
            "check_overrides works as a step of a MONAI config; call unknown_ids to compare two configs."
        )
    files = [config] if overlay is None else [config, overlay]
    unknown = unknown_ids(parser.get(), _load(bundle_root, files))
    if unknown:
        complaints = (
            f"no id '{name}'" + (f" (did you mean '{near}'?)" if near else "") for name, near in unknown.items()
        )
        raise refusal(
            ConfigOverrideError(
                f"Checking the overrides of {' + '.join(files)}: there is {' and '.join(complaints)}. "
                "Nothing was started; correct the name, or write a new id into the config file itself."
            )
        )


def unknown_ids(config: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, str | None]:
    """Ids of ``config`` that neither ``known`` has nor a component accepts as argument, each with the nearest valid id.

    >>> unknown_ids({"epohcs": 3, "train": {"size": 1}}, {"epochs": 1600, "train": {"size": 64}})
    {'epohcs': 'epochs'}
    """
    accepted = {ConfigParser.meta_key}
    if "is_not_rank0" in config:  # written by MONAI when its own experiment tracking is switched on
        tracking: Any = DEFAULT_EXP_MGMT_SETTINGS["mlflow"]
        accepted |= set(tracking["configs"])
    everywhere = {name.rpartition(ID_SEP_KEY)[2]: name for name in reversed(list(_ids(known)))}
    return {
        name: _nearest(name, siblings, everywhere) for name, siblings in _unknown(config, known) if name not in accepted
    }


def _unknown(config: Any, known: Any, prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """Unknown ids below a place of the config, with the names that are valid beside each."""
    if isinstance(config, list) and isinstance(known, list):
        for index, (item, known_item) in enumerate(zip(config, known, strict=False)):
            yield from _unknown(item, known_item, f"{prefix}{index}{ID_SEP_KEY}")
    if not (isinstance(config, dict) and isinstance(known, dict)) or config.get("_target_") != known.get("_target_"):
        return
    for key, value in config.items():
        if not prefix and key in known and key in _KEYS_ARE_DATA:
            continue
        if key in known:
            yield from _unknown(value, known[key], f"{prefix}{key}{ID_SEP_KEY}")
        elif "_target_" not in known:
            yield f"{prefix}{key}", list(known)
        elif not _accepts(known, key):
            yield f"{prefix}{key}", [*known, *_parameters(known)]


def _accepts(component: Mapping[str, Any], key: str) -> bool:
    """True for MONAI's own keys of a component and for arguments of its target."""
    parameters = _parameters(component)
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return key in ConfigComponent.non_arg_keys or key in parameters or takes_any


def _parameters(component: Mapping[str, Any]) -> Mapping[str, inspect.Parameter]:
    """Signature of the class or function that a component names; empty when it cannot be imported."""
    path = ConfigComponent(component, locator=ComponentLocator()).resolve_module_name()
    target = locate(path) if isinstance(path, str) else None
    return inspect.signature(target).parameters if callable(target) else {}


def _load(bundle_root: str, configs: Sequence[str]) -> dict[str, Any]:
    """The bundle's own files merged, from the folder of the running config where it holds them."""
    running = running_config_folder()
    folders = [Path(bundle_root) / "configs"] if running is None else [running, Path(bundle_root) / "configs"]
    for folder in folders:
        if all((folder / name).is_file() for name in configs):
            return ConfigParser.load_config_files([str(folder / name) for name in configs])
    looked = " and ".join(str(folder) for folder in folders)
    raise refusal(
        FileNotFoundError(
            f"Checking the overrides: {', '.join(configs)} must lie together in one folder, looked in {looked}."
        )
    )


def _nearest(name: str, siblings: Sequence[str], everywhere: Mapping[str, str]) -> str | None:
    """The valid id most like a misspelt one: first among its siblings, then by last part anywhere in the config."""
    parent, separator, last = name.rpartition(ID_SEP_KEY)
    beside = {sibling: f"{parent}{separator}{sibling}" for sibling in siblings}
    for names in (beside, everywhere):
        found = difflib.get_close_matches(last, names, n=1, cutoff=NEAREST_CUTOFF)
        if found:
            return names[found[0]]
    return None


def _ids(config: Any, prefix: str = "") -> Iterator[str]:
    """Every id of a config from the top down, without MONAI's own ``_target_`` and the like."""
    if isinstance(config, dict):
        for key, value in config.items():
            if not key.startswith("_"):
                yield f"{prefix}{key}"
                yield from _ids(value, f"{prefix}{key}{ID_SEP_KEY}")
