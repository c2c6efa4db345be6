"""Before the first round: do all sites train the same network, on the same classes, in the same way?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

import monai_ext
from monai_ext.errors import FederationError
from monai_ext.foreign_text import listed, printable

__all__ = ["LOCAL_IDS", "SiteDescription", "check_agreement", "config_digests", "state_digest"]

LOCAL_IDS = frozenset(
    (
        *("bundle_root", "dataset_dir", "labelled_dirs", "output_dir", "splits", "fold", "columns", "pretrained"),
        *("device", "num_workers", "precision", "resume", "run_name", "register", "seed"),
    )
)
"""Ids of a config that each site chooses: where its data lie, and what its machine does best."""


@dataclass(frozen=True)
class SiteDescription:
    """What a site tells about itself before the first round.

    Attributes:
        classes: names of the classes in the order of the network's outputs; empty in a pre-training.
        config: of each id at the top of the config a digest: window, normalisation, augmentation, network, optimiser.
            A digest says that two values are equal and not what they are.
        network: digest of the names, shapes and types of what is averaged.
        images: of the training.
        version: of monai_ext.
    """

    classes: tuple[str, ...] = ()
    config: Mapping[str, str] = field(default_factory=dict)
    network: str = ""
    images: int = 0
    version: str = monai_ext.__version__

    def as_plain(self) -> dict[str, Any]:
        """For a message."""
        return {**asdict(self), "classes": list(self.classes)}

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> SiteDescription:
        """What a message holds.

        Raises:
            FederationError: it is not what :meth:`as_plain` gives.
        """
        try:
            classes = tuple(str(name) for name in content["classes"])
            config = {str(name): str(digest) for name, digest in content["config"].items()}
            texts = {name: str(content[name]) for name in ("network", "version")}
            return cls(classes=classes, config=config, images=int(content["images"]), **texts)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FederationError(
                "A site described itself in a way that this version does not know: install the same version of"
                " monai_ext at all sites and on the server."
            ) from error


def config_digests(config: Mapping[str, Any]) -> dict[str, str]:
    """A digest of each id at the top of a config, before references are resolved, but for what each site chooses."""
    return {name: _digest(value) for name, value in sorted(config.items()) if name not in LOCAL_IDS}


def state_digest(state: Mapping[str, Tensor]) -> str:
    """Digest of the names, shapes and types in a state dict, not of its values."""
    return _digest([[name, list(value.shape), str(value.dtype)] for name, value in state.items()])


def check_agreement(sites: Mapping[str, SiteDescription], job: SiteDescription) -> None:
    """Refuse a training whose sites do not do the same.

    Args:
        sites: descriptions by the sites' names.
        job: what the job was made with.

    Raises:
        FederationError: class lists or their order, versions, configs or networks differ; the sentence names both.
    """
    names = sorted(sites)
    pairs = [(other, site) for index, site in enumerate(names) for other in names[:index]]
    for other, site in pairs:
        _check_classes({other: sites[other], site: sites[site]})
    for site in names:
        _check_classes({"the job": job, site: sites[site]})
    for site in sorted(sites):
        _check_site(site, sites[site], job)


def _check_classes(both: Mapping[str, SiteDescription]) -> None:
    (other, first), (site, second) = both.items()
    if first.classes != second.classes:
        raise FederationError(
            f"Federated training needs the same classes in the same order everywhere: {other} has {_classes(first)} and"
            f" {site} has {_classes(second)}. Nothing was trained; an output of the network would stand for different"
            " findings. Agree on class_names, and take the same bundle."
        )


def _check_site(name: str, site: SiteDescription, job: SiteDescription) -> None:
    if site.version != job.version:
        raise FederationError(
            f"{name} has monai_ext {printable(site.version)} and the job was made with {job.version}: install the same"
            " version at all sites. Nothing was trained."
        )
    known = {*site.config, *job.config}
    differing = sorted(id_ for id_ in known if site.config.get(id_) != job.config.get(id_))
    if differing:
        raise FederationError(
            f"{name} would train in another way than the job says: its config differs in"
            f" {listed(map(printable, differing))}. Windows, normalisation and network have to be the bundle's, and"
            " equal everywhere. Nothing was trained; take the same bundle at all sites."
        )
    if site.network != job.network:
        raise FederationError(
            f"The network of {name} has other entries or shapes than that of the job: nothing was trained. Take the"
            " same bundle, and the same version of MONAI, at all sites."
        )


def _classes(description: SiteDescription) -> str:
    return f"[{listed(map(printable, description.classes))}]" if description.classes else "none"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
