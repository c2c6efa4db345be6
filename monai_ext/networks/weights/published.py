"""Tells whose encoder a file holds, by the names in it, and why one that is no ResNet is no starting point here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from monai_ext.foreign_text import printable

__all__ = ["PUBLISHED", "PublishedEncoder", "recognise_encoder", "recognise_resnet"]

_LONGEST_NAME = 40
_PAGE = "docs/others_encoders.md says where it fits"


@dataclass(frozen=True)
class PublishedEncoder:
    """A kind of file that others publish.

    Attributes:
        name: of the encoder, or of those that are stored alike.
        network: what the file holds.
        is_marked: whether a file is one, by its entries that are no tensors and by the names of its tensors.
        way_out: what may be done with it here.
        details: what the file says of itself; empty where it says nothing.
    """

    name: str
    network: str
    is_marked: Callable[[Sequence[str], Sequence[str]], bool]
    way_out: str = ""
    details: Callable[[Mapping[Any, Any]], str] = lambda content: ""

    def refusal(self, content: Mapping[Any, Any]) -> str:
        """A sentence for a file that holds no ResNet as it is trained here."""
        own = self.details(content)
        said = f" ({own})" if own else ""
        way_out = f" {self.way_out}" if self.way_out else ""
        return (
            f"By its names it is {self.name}: {self.network}{said}, while encoders here are ResNets;{way_out} {_PAGE}."
        )


def _has(*parts: str) -> Callable[[Sequence[str], Sequence[str]], bool]:
    """Each part occurs in some tensor's name."""
    return lambda entries, names: all(any(part in name for name in names) for part in parts)


def _adaptation_plan(content: Mapping[Any, Any]) -> str:
    """What nnssl's plan says of network, channels and patches, where it says it in the way known here."""
    plan = content.get("nnssl_adaptation_plan")
    plan = plan if isinstance(plan, Mapping) else {}
    network = plan.get("architecture_plans")
    name = network.get("arch_class_name") if isinstance(network, Mapping) else plan.get("architecture_name")
    channels = plan.get("pretrain_num_input_channels", plan.get("num_input_channels"))
    patch = plan.get("recommended_downstream_patchsize", plan.get("input_patch_size"))
    said = [f"its plan names {printable(name)[:_LONGEST_NAME]}"] if isinstance(name, str) else []
    said += [f"{channels} channel{'s' * (channels != 1)}"] if isinstance(channels, int) else []
    if isinstance(patch, list | tuple) and all(isinstance(side, int) for side in patch):
        said.append(f"patches of {' x '.join(map(str, patch[:3]))}")
    return ", ".join(said)


PUBLISHED = (
    PublishedEncoder(
        "nnssl's (OpenMind)",
        "a residual-encoder U-Net or a Primus transformer in 3D",
        lambda entries, names: "nnssl_adaptation_plan" in entries,
        details=_adaptation_plan,
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
        way_out="scripts/convert_folded_resnet18.py puts batch normalisation back;",
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
