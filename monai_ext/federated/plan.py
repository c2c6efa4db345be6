"""What a federated training is: the part that the server knows, and the part that each site keeps for itself."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from monai_ext.errors import FederationError
from monai_ext.federated.agreement import LOCAL_IDS
from monai_ext.files import read_json

__all__ = ["SITES_VARIABLE", "FederatedPlan", "SiteSettings", "is_plain", "site_settings"]

SITES_VARIABLE = "MONAI_EXT_FEDERATED_SITES"
"""Environment variable that names a site's own file: where its bundle and its data lie. It never leaves the site."""


@dataclass(frozen=True)
class FederatedPlan:
    """What the server tells all sites. It has no path and no code in it.

    Attributes:
        bundle: name of the bundle, which each site has a copy of.
        rounds: times that weights are averaged.
        local_epochs: passes of each site over its own images in a round.
        overrides: of the bundle's config, plain values.
        seed: of the network; the sites' order of images and views follow from it and from their number.

    Raises:
        FederationError: numbers are not positive, or an override would have a site run or open something.
    """

    bundle: str
    rounds: int
    local_epochs: int = 1
    overrides: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.local_epochs < 1:
            raise FederationError(
                f"A federated training has at least one round of one local epoch; received {self.rounds} rounds of"
                f" {self.local_epochs} epochs."
            )
        if not self.bundle.isidentifier():
            raise FederationError(f"A plan names a bundle by its folder's name alone; received {self.bundle!r}.")
        refused = sorted(
            name
            for name, value in self.overrides.items()
            if name in LOCAL_IDS or not name.isidentifier() or name.startswith("_") or not is_plain(value)
        )
        if refused:
            raise FederationError(
                f"The server may set numbers, texts and lists of a config, the same for all sites; {', '.join(refused)}"
                " would name a place or a program at the sites. Each site sets its own places in the file that"
                f" {SITES_VARIABLE} names."
            )

    @property
    def all_overrides(self) -> dict[str, Any]:
        """The overrides with the length of the whole training, which the schedules follow from round to round."""
        return {**self.overrides, "epochs": self.rounds * self.local_epochs}

    def as_plain(self) -> dict[str, Any]:
        """For a message."""
        return {**asdict(self), "overrides": dict(self.overrides)}

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> FederatedPlan:
        """What a message holds."""
        return cls(**{known.name: content[known.name] for known in fields(cls)})


@dataclass(frozen=True)
class SiteSettings:
    """What a site keeps for itself.

    Attributes:
        bundle: folder of the site's copy of the bundle.
        output_dir: where the site's own log, checkpoints and models go.
        overrides: of ``LOCAL_IDS``, such as ``dataset_dir``.
        tracking: whether the site follows its training in its own MLflow.
    """

    bundle: str
    output_dir: str
    overrides: Mapping[str, Any]
    tracking: bool = True


def site_settings(site: str) -> SiteSettings:
    """Settings of a site, from the file that the environment names: JSON, an object by the site's name.

    Raises:
        FederationError: there is no such file, the site is not in it, or it sets what must be equal everywhere.
    """
    file = os.environ.get(SITES_VARIABLE, "")
    try:
        entry = dict(read_json(Path(file))[site]) if file else None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FederationError(
            "{file}, which " + SITES_VARIABLE + " names, has no settings of {site}: {reason}. Expected is JSON such as"
            " {example}.",
            file=file,
            site=site,
            reason=error,
            example=_example(site),
        ) from error
    if entry is None:
        raise FederationError(
            f"{SITES_VARIABLE} is not set at this site: it names a JSON file with the site's folders, such as"
            f" {_example(site)}"
        )
    known = {"bundle", "output_dir", "tracking"}
    foreign = sorted(entry.keys() - known - LOCAL_IDS)
    if foreign or not {"bundle", "output_dir", "dataset_dir"} <= entry.keys():
        raise FederationError(
            f"Settings of a site are bundle, output_dir, dataset_dir, tracking and {', '.join(sorted(LOCAL_IDS))};"
            f" {', '.join(foreign) or 'one of the first three is missing'}: what all sites have to do alike is set by"
            " the job."
        )
    own = {name: value for name, value in entry.items() if name not in known}
    return SiteSettings(entry["bundle"], entry["output_dir"], own, tracking=bool(entry.get("tracking", True)))


def _example(site: str) -> str:
    return json.dumps({site: {"bundle": "/opt/bundles/spark_pretrain", "dataset_dir": "/data", "output_dir": "/runs"}})


def is_plain(value: Any) -> bool:
    """True where MONAI neither evaluates nor looks up nor reads anything."""
    if isinstance(value, list):
        return all(map(is_plain, value))
    if isinstance(value, str):
        return not value.startswith(("$", "@", "%"))
    return value is None or isinstance(value, bool | int | float)
