"""What a run was made with: code, packages, bundle, data, configuration."""

from __future__ import annotations

import contextlib
import getpass
import json
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_ext.files import read_json
from monai_ext.locations import repository_root
from monai_ext.tracking.operations import DatasetInput

if TYPE_CHECKING:
    from monai.bundle import ConfigParser

__all__ = [
    "bundle_tags", "dataset_input", "flat_parameters", "installed_packages", "merged_config", "source_tags",
    "version_tags", "without_places",
]  # fmt: skip

_MAIN_PACKAGES = ("monai-ext", "torch", "monai", "pytorch-ignite", "numpy", "mlflow")
_LONGEST_PARAMETER = 6000
_LONGEST_NAME = 250
_LONGEST_DIGEST = 36
_GIT_SECONDS = 10
_PLACES = {
    "bundle_root", "dataset_dir", "labelled_dirs", "splits", "pretrained", "resume", "output_dir", "parent", "path",
    "models", "model_path", "weights", "tracking_uri",
}  # fmt: skip
"""Keys whose values say where something lies."""
_PLACE = "<path>"
_TRACKED_PLACE = re.compile(r"-|[0-9a-f]{32}|runs:/[0-9a-f]{32}/encoder")
"""No run, a run of MLflow, and what is in it."""
_QUOTED_PLACE = re.compile(r"""['"][^'"]*[/\\]""")


def without_places(value: Any, *, name: str = "") -> Any:
    """The value with every text that says where something lies replaced by ``<path>``.

    Folders are named after patients. What counts is not what a name looks like: a text is left out because of its key,
    or because it has a separator of folders in it.

    >>> without_places({"dataset_dir": "Doe^Jane", "table": "/data/Doe, Jane/t.csv", "window": "lung"})
    {'dataset_dir': '<path>', 'table': '<path>', 'window': 'lung'}
    """
    if isinstance(value, Mapping):
        own = "" if "_target_" in value else name
        return {key: without_places(item, name=own if own in _PLACES else str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_places(item, name=name) for item in value]
    if isinstance(value, Path):
        return _PLACE
    return _PLACE if isinstance(value, str) and _is_place(value, name) else value


def _is_place(text: str, name: str) -> bool:
    if text.startswith("$"):
        return bool(_QUOTED_PLACE.search(text))
    if not text or text.startswith(("@", "%")) or _TRACKED_PLACE.fullmatch(text):
        return False
    return name in _PLACES or "/" in text or "\\" in text


def source_tags() -> dict[str, str]:
    """User name and, inside a git repository, its commit and whether files differ from it."""
    tags = {"mlflow.source.type": "LOCAL"}
    with contextlib.suppress(OSError, KeyError):  # containers run under ids without a name
        tags["mlflow.user"] = getpass.getuser()
    root = repository_root()
    commit = _git(root, "rev-parse", "HEAD")
    if commit:
        tags["mlflow.source.git.commit"] = commit
        changes = _git(root, "status", "--porcelain", "--untracked-files=no")
        tags["monai_ext.git_dirty"] = "unknown" if changes is None else str(bool(changes)).lower()
    return tags


def version_tags() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on most."""
    versions = {"monai_ext.version.python": platform.python_version()}
    for name in _MAIN_PACKAGES:
        try:
            versions[f"monai_ext.version.{name}"] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def installed_packages() -> str:
    """All installed packages, one ``name==version`` a line, sorted."""
    packages = {f"{item.metadata['Name']}=={item.version}" for item in metadata.distributions()}
    return "\n".join(sorted(packages, key=str.lower)) + "\n"


def bundle_tags(bundle_root: str | Path | None) -> dict[str, str]:
    """Name and version of a bundle, from its ``configs/metadata.json``; the folder's name where that is missing."""
    if bundle_root is None:
        return {}
    root = Path(bundle_root).resolve()
    tags = {"monai_ext.bundle": root.name, "mlflow.source.name": root.name}
    try:
        content = read_json(root / "configs" / "metadata.json")
    except (OSError, ValueError):
        return tags
    return {**tags, "monai_ext.bundle_version": str(content["version"])} if "version" in content else tags


def dataset_input(context: str, dataset: Any) -> DatasetInput | None:
    """What MLflow keeps of a dataset: its fingerprint, and its description without the folder that it lies in.

    Args:
        context: what it is used for, such as ``"training"``.
        dataset: has ``fingerprint`` and ``describe()``; None is returned for one that has not.
    """
    fingerprint = getattr(dataset, "fingerprint", None)
    if fingerprint is None:
        return None
    description = without_places(dataset.describe()) if hasattr(dataset, "describe") else {}
    description.pop("source", None)
    description["fingerprint"] = str(fingerprint)
    name = (
        f"{description.get('kind', type(dataset).__name__)} {context}"  # MLflow takes equal names and digests for one
    )
    return DatasetInput(context, name, str(fingerprint)[:_LONGEST_DIGEST], json.dumps(description, default=str))


def flat_parameters(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Parameters as MLflow takes them: nested names joined by ``/``, values as text, too long ones cut with a note.

    >>> flat_parameters({"epochs": 3, "crop": {"scale": [0.67, 1.0]}, "compile": False})
    {'epochs': '3', 'crop/scale': '[0.67, 1.0]', 'compile': 'False'}
    """
    flat: dict[str, str] = {}
    for name, value in parameters.items():
        full_name = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            flat.update(flat_parameters(value, f"{full_name}/"))
        else:
            flat[_valid_name(full_name)] = _cut(str(value))
    return flat


def merged_config(config: Mapping[str, Any] | Sequence[str] | str | None) -> dict[str, Any] | None:
    """The configuration of a run as plain values, with references to plain values replaced, and without places.

    Args:
        config: the content, or the files that are merged in order; None takes that of the bundle which is being run,
            with all overrides, and is None outside of a bundle.
    """
    from monai.bundle import ConfigParser

    from monai_ext.running_config import running_parser

    if config is None:
        parser = running_parser()
        config = None if parser is None else parser.get()
    elif not isinstance(config, Mapping):
        config = ConfigParser.load_config_files([config] if isinstance(config, str) else list(config))
    if config is None:
        return None
    clean = without_places(json.loads(json.dumps(config, default=str)))
    return _resolved(clean, ConfigParser(clean))


def _resolved(value: Any, parser: ConfigParser) -> Any:
    """Replace ``"@id"`` by the plain value that it leads to; references to components stay."""
    if isinstance(value, dict):
        return {key: _resolved(item, parser) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, parser) for item in value]
    seen: set[str] = set()
    while isinstance(value, str) and value.startswith("@") and value not in seen:
        seen.add(value)
        target = parser.get(value[1:].replace("#", "::"), {})
        if isinstance(target, dict | list):
            break
        value = target
    return value


def _valid_name(name: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "_-. /:" else "_" for sign in name)[:_LONGEST_NAME]


def _cut(value: str) -> str:
    if len(value) <= _LONGEST_PARAMETER:
        return value
    note = f" ... ({len(value)} characters, see config.json)"
    return value[: _LONGEST_PARAMETER - len(note)] + note


def _git(root: Path, *arguments: str) -> str | None:
    """Output of git; None where there is no git or no repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=_GIT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
