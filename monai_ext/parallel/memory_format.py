"""Channels last or not: the order in which each part of a network keeps its values in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from monai_ext.parallel.processor import processor

__all__ = ["NARROWEST_CHANNELS_LAST", "arrange_memory", "describe_memory", "is_channels_last", "memory_format_of"]

logger = logging.getLogger(__name__)

NARROWEST_CHANNELS_LAST = 8
"""On CPUs, networks that have fewer channels inside keep the default format.

Without AVX-512, oneDNN (3.x of torch 2.13) computes the weight gradient of a 1 x 1 convolution with a stride that reads
2 to 7 channels-last channels in a workspace that is too small: heap corruption with one thread, wrong gradients with
several (github.com/uxlfoundation/oneDNN, issue 6035).
"""

_CONVOLUTIONS = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d


def arrange_memory(
    network: nn.Module, *, device: torch.device | str, channels_last: bool | str = "auto"
) -> dict[str, torch.memory_format]:
    """Put the parameters of each part of a network, in place, into the memory format in which the part is fastest.

    A part with a format of its own is a child that the network names in ``dense_parts``; it converts what it is given.
    All the rest is one part. With ``"auto"`` the rest is channels last; dense parts are so on GPUs and on processors
    with AVX-512, where that is the faster one, and not on others, where it is the slower one
    (``benchmarks/memory_format.py``). Whatever is asked for, a part of a network on a CPU in which a convolution reads
    fewer than :data:`NARROWEST_CHANNELS_LAST` channels keeps the default format; the convolution that reads the image
    does not count.

    Args:
        network: not wrapped for distributed training; parameters whose strides change afterwards no longer fit its
            buckets.
        device: on which it computes.
        channels_last: ``"auto"``, or True or False for all parts.

    Returns:
        The format of each dense part by its name, and of the rest, which reads the images, as ``""``.

    Raises:
        ValueError: when ``channels_last`` is something else.

    Example:
        >>> arrange_memory(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3)), device="cpu")
        {'': torch.contiguous_format}
    """
    if channels_last not in (True, False, "auto"):
        raise ValueError(f'channels_last is True, False or "auto", which chooses by part; received {channels_last!r}.')
    kind = torch.device(device).type
    formats = {}
    for name in ("", *getattr(network, "dense_parts", ())):
        part = network.get_submodule(name)
        is_narrow = kind == "cpu" and _is_narrow(network, name)
        if is_narrow and channels_last is True:
            logger.warning(
                "The %s has fewer than %d channels: on a CPU it is trained in the default memory format, since "
                "channels last can corrupt memory there.",
                name or "network",
                NARROWEST_CHANNELS_LAST,
            )
        chosen = _is_faster_channels_last(kind, name) if channels_last == "auto" else channels_last
        formats[name] = _channels_last_format(part) if chosen and not is_narrow else torch.contiguous_format
        part.to(memory_format=formats[name])  # type: ignore[call-overload]
    return formats


def memory_format_of(module: nn.Module, *, besides: tuple[str, ...] = ()) -> torch.memory_format:
    """The format of the convolutions of a module, besides those of some of its children.

    Example:
        >>> memory_format_of(nn.Conv2d(2, 2, 3).to(memory_format=torch.channels_last))
        torch.channels_last
    """
    for convolution in _convolutions(module, besides):
        if convolution.weight.shape[1] > 1:
            last = _channels_last_format(module)
            return last if is_channels_last(convolution.weight) else torch.contiguous_format
    return torch.contiguous_format


def is_channels_last(tensor: Tensor) -> bool:
    """Whether the channels of images ``(B, C, *spatial)``, or of a kernel, are neighbours in memory.

    Strides tell, also where an image has one pixel and PyTorch's ``is_contiguous`` says yes to both formats; where
    there is one channel there is no difference, and the answer is no.
    """
    return tensor.ndim >= 4 and tensor.shape[1] > 1 and tensor.stride(1) == 1 and tensor.stride(-1) == tensor.shape[1]


def describe_memory(formats: Mapping[str, torch.memory_format]) -> str:
    """The formats of :func:`arrange_memory` in words.

    Example:
        >>> describe_memory({"": torch.channels_last, "decoder": torch.contiguous_format})
        'channels last, decoder in the default format'
    """
    words = {name: "default" if chosen == torch.contiguous_format else "last" for name, chosen in formats.items()}
    text = {"default": "in the default format", "last": "channels last"}
    others = [f"{name} {text[word]}" for name, word in words.items() if word != words[""]]
    return ", ".join([text[words[""]].removeprefix("in the "), *others])


def _is_faster_channels_last(device_type: str, part: str) -> bool:
    return not part or device_type != "cpu" or processor().has_avx512


def _is_narrow(network: nn.Module, part: str) -> bool:
    """Whether some convolution of a part reads too few channels, other than those that read the image."""
    dense_parts: tuple[str, ...] = getattr(network, "dense_parts", ())
    image_channels = next((convolution.in_channels for convolution in _convolutions(network)), 0)
    return any(
        convolution.in_channels < NARROWEST_CHANNELS_LAST and not _reads_image(convolution, image_channels)
        for convolution in _convolutions(network.get_submodule(part), () if part else dense_parts)
    )


def _reads_image(convolution: _CONVOLUTIONS, channels: int) -> bool:
    """True for stems, of which a network with a teacher has several; a 1 x 1 convolution is none."""
    return convolution.in_channels == channels and max(convolution.kernel_size) > 1


def _convolutions(module: nn.Module, besides: tuple[str, ...] = ()) -> Iterator[_CONVOLUTIONS]:
    for name, child in module.named_modules():
        if name.partition(".")[0] not in besides and isinstance(child, _CONVOLUTIONS):
            yield child


def _channels_last_format(part: nn.Module) -> torch.memory_format:
    volumetric = any(parameter.dim() == 5 for parameter in part.parameters())
    return torch.channels_last_3d if volumetric else torch.channels_last
