"""A bundle's training config as a federated training runs it, and the network that it begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.utils import set_determinism
from torch import Tensor

from monai_ext.errors import FederationError
from monai_ext.federated.agreement import LOCAL_IDS, SiteDescription, config_digests, state_digest
from monai_ext.federated.plan import FederatedPlan, is_plain
from monai_ext.federated.shared_state import shared_state

__all__ = ["described", "first_network", "merged_config", "plain_settings", "plan_of"]

_SAMPLES = 4096
"""Training images that a network is made for before any are known; only the size of MoCo's queue, which stays at its
site, depends on them."""


def merged_config(bundle: str | Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """``train.json`` of a bundle with overrides of ids at its top.

    Raises:
        FederationError: there is no such bundle, or it has no such id.
    """
    file = Path(bundle) / "configs" / "train.json"
    if not file.is_file():
        raise FederationError("{bundle} is no bundle to train: it has no configs/train.json.", bundle=bundle)
    config: dict[str, Any] = ConfigParser.load_config_files([str(file)])
    unknown = sorted(overrides.keys() - config.keys())
    if unknown:
        raise FederationError(
            f"The config of {Path(bundle).name} has no id {', '.join(unknown)} at its top. Nothing was started; correct"
            " the name."
        )
    return {**config, **overrides}


def described(config: Mapping[str, Any]) -> SiteDescription:
    """What a config says about a site that trains by it; classes that have a value in the data are told with it."""
    names = config.get("class_names") or ()
    classes = [f"{value} = {name}" for value, name in names.items()] if isinstance(names, Mapping) else map(str, names)
    return SiteDescription(classes=tuple(classes), config=config_digests(config))


def plan_of(
    bundle: str | Path,
    *,
    rounds: int,
    local_epochs: int = 1,
    overrides: Mapping[str, Any] | None = None,
    seed: int = 0,
    pretrained: str | None = None,
) -> FederatedPlan:
    """The plan of a training of a bundle.

    Sites get the first network's weights from the server and know nothing of ``pretrained``: where the protocol of a
    fine-tuning depends on it, it is chosen here.
    """
    chosen = dict(overrides or {})
    config = merged_config(bundle, chosen)
    if config.get("protocol") == "auto":
        chosen["protocol"] = "full" if pretrained is None else "gradual"
    name = Path(bundle).resolve().name
    return FederatedPlan(name, rounds=rounds, local_epochs=local_epochs, overrides=chosen, seed=seed)


def first_network(
    bundle: str | Path, plan: FederatedPlan, *, pretrained: str | None = None
) -> tuple[dict[str, Tensor], SiteDescription]:
    """The weights that round 1 starts from, and what every site has to agree with.

    No image is read: the server has none.

    Args:
        bundle: folder of the bundle where the job is made.
        plan: of the training.
        pretrained: an encoder that a fine-tuning starts from, as of ``--pretrained``; sites need not have it.

    Raises:
        FederationError: the bundle takes no pre-trained encoder.
        WeightsError: the encoder does not fit.
    """
    config = merged_config(bundle, plan.all_overrides)
    if pretrained is not None and "start" not in config:
        raise FederationError(f"{plan.bundle} takes no pre-trained encoder: leave --pretrained away.")
    set_determinism(seed=plan.seed)
    description = described(config)  # before the parser, which changes what it is given
    parser = ConfigParser({**config, **({"pretrained": pretrained} if "pretrained" in config else {})})
    parser.update({"length::samples": _SAMPLES})
    start = parser.get_parsed_content("start") if "start" in config else None
    state = shared_state(parser.get_parsed_content("network_def") if start is None else start.network)
    return state, replace(description, network=state_digest(state))


def plain_settings(bundle: str | Path, plan: FederatedPlan) -> dict[str, Any]:
    """What ``model.json`` says of a model, but for what a site's images tell: the plain values of the config."""
    config = merged_config(bundle, plan.all_overrides)
    settings = {name: value for name, value in config.items() if name not in LOCAL_IDS and is_plain(value)}
    entries = list(config["settings"]["described"])
    parser = ConfigParser(config)
    for number, entry in enumerate(entries):
        if isinstance(entry, dict):
            settings |= parser.get_parsed_content(f"settings::described::{number}")
    return {**settings, "seed": plan.seed}
