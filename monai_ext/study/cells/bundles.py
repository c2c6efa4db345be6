"""The configs of a bundle as a study uses them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from monai_ext.bundle.overrides import unknown_ids
from monai_ext.errors import StudyError
from monai_ext.locations import repository_root
from monai_ext.study.cells.cell import canonical
from monai_ext.study.plan.problems import nearest

__all__ = ["BundleConfig", "find_bundle", "run_config"]

_TRACKER = "monai_ext.tracking.MLflowTracker"


@dataclass(frozen=True)
class BundleConfig:
    """A bundle's train config with the study's overrides.

    Attributes:
        root: folder of the bundle.
        overrides: by id.
    """

    root: Path
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the bundle's folder."""
        return self.root.name

    @cached_property
    def _own(self) -> dict[str, Any]:
        return dict(ConfigParser.load_config_files([str(self.root / "configs" / "train.json")]))

    @cached_property
    def content(self) -> dict[str, Any]:
        """The config with its overrides, references unresolved as in the file."""
        parser = ConfigParser(ConfigParser.load_config_files([str(self.root / "configs" / "train.json")]))
        for key, value in self.overrides.items():
            parser[key] = value
        return dict(parser.get())

    @cached_property
    def sha256(self) -> str:
        """Of the content, and of the evaluation's overlay where there is one."""
        overlay = self.root / "configs" / "evaluate.json"
        other = ConfigParser.load_config_file(str(overlay)) if overlay.is_file() else {}
        return hashlib.sha256(canonical([self.content, other])).hexdigest()

    def value(self, name: str) -> Any:
        """A literal at the top of the config.

        Raises:
            StudyError: there is no such id.
        """
        if name not in self.content:
            raise StudyError(f"The bundle {self.root} has no id {name!r}, which a study needs.")
        return self.content[name]

    def problems(self) -> list[str]:
        """Sentences on overrides that the config does not know."""
        try:
            unknown = unknown_ids(self.content, self._own)
        except (KeyError, ValueError, TypeError) as error:
            return [f"the overrides do not fit the bundle {self.name}: {error}"]
        return [
            f"the bundle {self.name} has no id {key!r}" + (f" (did you mean {near!r}?)" if near else "")
            for key, near in unknown.items()
        ]


def find_bundle(name: str) -> Path:
    """The folder of a bundle: a path, or a name in ``bundles`` of the working directory or the repository.

    Raises:
        StudyError: there is no such bundle.
    """
    homes = [Path.cwd() / "bundles", repository_root() / "bundles", Path(__file__).resolve().parents[3] / "bundles"]
    for folder in (Path(name).expanduser(), *(home / name for home in homes)):
        if (folder / "configs" / "train.json").is_file():
            return folder.resolve()
    known = sorted({path.name for home in homes for path in home.glob("*") if (path / "configs").is_dir()})
    raise StudyError(f"there is no bundle {name!r}{nearest(name, known) if known else ''}.")


def run_config(root: Path, configs: Sequence[str], overrides: Mapping[str, Any]) -> Any:
    """Run configs of a bundle in this process, as ``python -m monai.bundle run`` does, and give the workflow.

    The bundle's own trackers are switched off: the study's runner logs every cell.
    """
    from monai.bundle import ConfigWorkflow

    files = [str(root / "configs" / name) for name in configs]
    trackers = _places_of(ConfigParser.load_config_files(files), _TRACKER)
    settings: dict[str, Any] = {f"{place}::enabled": False for place in trackers} | dict(overrides)
    workflow = ConfigWorkflow(
        config_file=files, meta_file=str(root / "configs" / "metadata.json"), logging_file=False, **settings
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return workflow


def _places_of(content: Any, target: str, place: str = "") -> Iterator[str]:
    """Ids of the components with a target."""
    if isinstance(content, dict) and content.get("_target_") == target:
        yield place
    parts = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in parts:
        yield from _places_of(value, target, f"{place}::{key}" if place else str(key))
