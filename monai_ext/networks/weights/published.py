"""Tells whose encoder a file holds, by the names in it, and why one that is no ResNet is no starting point here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

__all__ = ["PUBLISHED", "PublishedEncoder", "recognise_encoder", "recognise_resnet"]

_PAGE = "docs/others_encoders.md says where it fits"


@dataclass(frozen=True)
class PublishedEncoder:
    """A kind of file that others publish.

    Attributes:
        name: of the encoder, or of those that are stored alike.
        network: what the file holds.
        is_marked: whether a file is one, by its entries that are no tensors and by the names of its tensors.
    """

    name: str
    network: str
    is_marked: Callable[[Sequence[str], Sequence[str]], bool]

    @property
    def refusal(self) -> str:
        """A sentence for files that hold no ResNet."""
        return f"By its names it is {self.name}: {self.network}, while encoders here are ResNets; {_PAGE}."


def _has(*parts: str) -> Callable[[Sequence[str], Sequence[str]], bool]:
    """Each part occurs in some tensor's name."""
    return lambda entries, names: all(any(part in name for name in names) for part in parts)


PUBLISHED = (
    PublishedEncoder(
        "nnssl's (OpenMind)",
        "a residual-encoder U-Net or a Primus transformer in 3D, told by its adaptation plan",
        lambda entries, names: "nnssl_adaptation_plan" in entries,
    ),
    PublishedEncoder(
        "CT-FM's",
        "a SegResEncoder of MONAI in 3D, for axes SPL",
        _has("conv_init.weight", "layers.0.blocks.0.conv1.weight"),
    ),
    PublishedEncoder(
        "SuPreM's U-Net, or another of Models Genesis' layout", "a U-Net in 3D", _has("down_tr64.ops.0.", "down_tr128.")
    ),
    PublishedEncoder(
        "VoCo's, SuPreM's or another Swin UNETR's", "a Swin transformer in 3D", _has("swinViT.patch_embed.proj.weight")
    ),
    PublishedEncoder(
        "SuPreM's SegResNet, or another one",
        "a SegResNet of MONAI in 3D",
        _has("convInit.conv.weight", "down_layers.0."),
    ),
    PublishedEncoder("a vision transformer's", "a transformer", _has("patch_embed.proj.weight", "blocks.0.attn.")),
    PublishedEncoder(
        "a ResNet's with folded batch normalisation",
        "convolutions with biases and no statistics, which cannot be fine-tuned as a ResNet is",
        lambda entries, names: (
            {"conv1.weight", "conv1.bias"} <= set(names) and not any("bn1." in name for name in names)
        ),
    ),
)
"""Files without a ResNet in torchvision's layout, the most telling marks first."""


def recognise_encoder(
    content: Mapping[Any, Any], state_dicts: Iterable[Mapping[str, Tensor]]
) -> PublishedEncoder | None:
    """Whose encoder a file holds in which no ResNet was found; None where its names say nothing.

    Args:
        content: what the file holds.
        state_dicts: tensors by name, of every level of the file.
    """
    entries = [key for key in content if isinstance(key, str)]
    for tensors in state_dicts:
        for kind in PUBLISHED:
            if kind.is_marked(entries, list(tensors)):
                return kind
    return None


def recognise_resnet(stem: str, tensors: Mapping[str, Tensor]) -> str:
    """Who published a ResNet that no method of this package wrote: ``"RadImageNet"``, ``"MedicalNet"`` or
    ``"torchvision"``, whose names timm and most others share.

    Args:
        stem: what the file calls the first convolution's weight.
        tensors: of the ResNet, under torchvision's names.
    """
    if stem == "backbone.0.weight":
        return "RadImageNet"
    is_headless = not any(name.startswith("fc.") for name in tensors)
    is_of_volumes = tensors["conv1.weight"].ndim == 5 and tensors["conv1.weight"].shape[1] == 1
    return "MedicalNet" if stem == "module.conv1.weight" and is_of_volumes and is_headless else "torchvision"
