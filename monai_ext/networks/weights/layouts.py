"""Find the ResNet inside a weights file, whatever wrote the file, and give its tensors torchvision's names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from monai_ext.errors import WeightsError
from monai_ext.networks.checkpoint_mark import CheckpointMark
from monai_ext.networks.weights.comparison import preview
from monai_ext.networks.weights.published import recognise_encoder, recognise_resnet

__all__ = ["EncoderInFile", "find_encoder", "name_architecture", "named_tensors"]

# Entries of a checkpoint under which the tensors lie, one inside another.
WRAPPERS = ("encoder", "network", "module", "state_dict", "model", "model_state_dict", "net", "network_weights")

# Order of the modules of a ResNet: their numbers once it is wrapped as nn.Sequential(*resnet.children()).
_CHILDREN = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4", "9": "fc"}

_ARCHITECTURES: dict[tuple[bool, tuple[int, ...]], str] = {
    (False, (1, 1, 1, 1)): "resnet10",
    (False, (2, 2, 2, 2)): "resnet18",
    (False, (3, 4, 6, 3)): "resnet34",
    (True, (3, 4, 6, 3)): "resnet50",
    (True, (3, 4, 23, 3)): "resnet101",
    (True, (3, 8, 36, 3)): "resnet152",
    (True, (3, 24, 36, 3)): "resnet200",
}


@dataclass(frozen=True)
class EncoderInFile:
    """A ResNet as it was found in a file.

    Args:
        layout: what kind of file it is, for people.
        prefix: what stands before the encoder's names in the file.
        tensors: the encoder's tensors under torchvision's names.
        keys: torchvision's name to name in the file (without wrappers).
        others: names of the file's tensors that are no part of the encoder.
        pretext: whether the file is of self-supervised training, where ``fc`` is no classification head.
    """

    layout: str
    prefix: str
    tensors: dict[str, Tensor]
    keys: dict[str, str]
    others: tuple[str, ...]
    pretext: bool


def find_encoder(content: Mapping[str, Any], *, source: str, prefix: str | None = None) -> EncoderInFile:
    """Find the one encoder of a file.

    Args:
        content: what the file holds.
        source: name of the file, for messages.
        prefix: what stands before ``conv1.weight`` in the file, where it holds several ResNets.

    Raises:
        WeightsError: When there is no ResNet, or several and nothing tells which is the encoder.
    """
    for _, tensors in _state_dicts(content):
        prefixes = sorted({*_prefixes(tensors, "conv1", "bn1", "layer1"), *_prefixes(tensors, "0", "1", "4")})
        if prefix is not None:
            prefixes = [candidate for candidate in prefixes if candidate == prefix]
        if prefixes:
            return _encoder(tensors, prefixes, source, exported=_is_export(content))
    names = [f"{'.'.join(path)}: {preview(tensors)}" for path, tensors in _state_dicts(content) if tensors]
    held = "; ".join(names).lstrip(": ") or "no tensors"
    published = recognise_encoder(content, [tensors for _, tensors in _state_dicts(content)])
    refusal = "" if published is None else f"{published.refusal(content)} "
    wanted = "a ResNet" if prefix is None else f"a ResNet under the prefix {prefix!r}"
    raise WeightsError(
        f"Nothing was loaded from {source}: it was searched for {wanted} in the layout of torchvision "
        f"(conv1.weight, bn1.weight, layer1.0.conv1.weight, ...), and there is none. {refusal}It holds {held}."
    )


def named_tensors(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    """Give the tensors that lie directly in ``content``, by name."""
    return {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}


def name_architecture(tensors: Mapping[str, Tensor]) -> str:
    """Name the architecture of a ResNet from its tensors, such as "2D resnet50"; best effort, for messages."""
    counts = [len({key.split(".")[1] for key in tensors if key.startswith(f"layer{i}.")}) for i in range(1, 5)]
    bottleneck = "layer1.0.conv3.weight" in tensors
    kind = "bottleneck" if bottleneck else "basic"
    name = _ARCHITECTURES.get((bottleneck, tuple(counts)), f"ResNet of {counts} {kind} blocks")
    stem, first = tensors.get("conv1.weight"), tensors.get("layer1.0.conv1.weight")
    if first is not None and first.shape[0] != 64:
        name = f"{name} with {first.shape[0]} channels in its first block"
    return f"{stem.ndim - 2}D {name}" if stem is not None else name


def _state_dicts(
    content: Mapping[Any, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    yield path, named_tensors(content)
    for wrapper in WRAPPERS:
        if isinstance(content.get(wrapper), Mapping):
            yield from _state_dicts(content[wrapper], (*path, wrapper))


def _is_export(content: Mapping[str, Any]) -> bool:
    metadata = content.get("metadata")
    return isinstance(metadata, Mapping) and "monai_ext_version" in metadata


def _prefixes(tensors: Mapping[str, Tensor], convolution: str, norm: str, stage: str) -> Iterator[str]:
    stem = f"{convolution}.weight"
    for key in tensors:
        prefix = key.removesuffix(stem)
        rest = (f"{prefix}{norm}.weight", f"{prefix}{stage}.0.conv1.weight")
        if key.endswith(stem) and (not prefix or prefix.endswith(".")) and all(name in tensors for name in rest):
            yield prefix


def _encoder(tensors: dict[str, Tensor], prefixes: list[str], source: str, *, exported: bool) -> EncoderInFile:
    found = _method(tensors, prefixes)
    if found is None and len(prefixes) > 1:
        raise WeightsError(
            f"Nothing was loaded from {source}: it holds {len(prefixes)} ResNets, under "
            f"{', '.join(map(repr, prefixes))}, and no known method stores them like that. Say which is the "
            "encoder with prefix=."
        )
    layout, prefix = found or ("encoder export", prefixes[0])
    keys = dict(_torchvision_names((key for key in tensors if key.startswith(prefix)), prefix))
    inside = set(keys.values())
    encoder = {name: tensors[key] for name, key in keys.items()}
    if found is None and not exported:
        layout = recognise_resnet(keys["conv1.weight"], encoder)
    return EncoderInFile(
        layout=layout,
        prefix=prefix,
        tensors=encoder,
        keys=keys,
        others=tuple(key for key in tensors if key not in inside),
        pretext=found is not None,
    )


def _method(tensors: Iterable[str], prefixes: list[str]) -> tuple[str, str] | None:
    names = list(tensors)
    for mark in _marks():
        for prefix in prefixes:
            root = prefix.removesuffix(mark.prefix)
            beside = [any(name.startswith(root + start) for name in names) for start in mark.beside]
            if prefix.endswith(mark.prefix) and all(beside):
                return mark.layout, prefix
    return None


def _marks() -> list[CheckpointMark]:
    """The marks that the methods of :mod:`monai_ext.networks` declare, those of most entries first."""
    from monai_ext import networks  # not before they are complete: their package imports this one

    exported = (getattr(networks, name) for name in networks.__all__)
    marks = [mark for thing in exported for mark in getattr(thing, "checkpoint_marks", ())]
    return sorted(marks, key=lambda mark: (len(mark.beside), len(mark.prefix)), reverse=True)


def _torchvision_names(keys: Iterable[str], prefix: str) -> Iterator[tuple[str, str]]:
    for key in keys:
        name = key[len(prefix) :]
        number = re.match(r"(\d+)\.", name)
        if number and number[1] in _CHILDREN:
            name = _CHILDREN[number[1]] + name[len(number[1]) :]
        yield name, key
