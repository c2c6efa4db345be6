"""A U-Net whose encoder is the plain ResNet that pre-training leaves behind."""

from __future__ import annotations

from monai.networks import nets
from monai.networks.blocks import UpSample
from monai.networks.layers import SkipConnection
from monai.networks.nets.basic_unet import TwoConv
from monai.networks.nets.resnet import ResNet
from torch import nn

from monai_ext.networks.encoder import ENCODER_NAMES, encoder_widths

__all__ = ["build_segmenter", "residual_unet", "segmenter_widths"]

STRIDE = 32
"""Height and width of an image are multiples of it."""

_ACTIVATION = ("relu", {"inplace": True})
_FINEST = 32


def residual_unet(encoder: ResNet, *, classes: int) -> nn.Sequential:
    """A decoder of stock MONAI blocks on the five scales of a ResNet, whose modules and parameters stay its own.

    From the coarsest scale up, a map is enlarged twofold by a transposed convolution, refined by two 3x3 convolutions,
    as in U-Net (Ronneberger et al. 2015, arXiv:1505.04597), and added to the encoder's map of that scale, as in LinkNet
    (Chaurasia and Culurciello 2017, arXiv:1707.03718, section 3). Adding, not joining, leaves every width the
    encoder's, and the network is short enough to be written down in a config with MONAI alone. MONAI's own
    ``FlexibleUNet`` builds its ResNet-18 and 34 with shortcuts that have no weights (``shortcut_type="A"``), so it
    cannot take a pre-trained one.

    Args:
        encoder: a ResNet of MONAI, 2D or 3D, of total stride 32; it may have a head, which is not used.
        classes: K, background included.

    Returns:
        Images (B, C, H, W) to logits (B, K, H, W); H and W are multiples of 32.

    Raises:
        ValueError: there are not two classes.

    Example:
        >>> import torch
        >>> from monai_ext.networks import build_encoder
        >>> residual_unet(build_encoder("resnet18"), classes=2)(torch.zeros(1, 1, 64, 96)).shape
        torch.Size([1, 2, 64, 96])
    """
    if classes < 2:
        raise ValueError(f"A segmentation tells at least two classes apart, background included; received {classes}.")
    stem, *stages = segmenter_widths(encoder)
    dims = 2 if isinstance(encoder.conv1, nn.Conv2d) else 3
    path = nn.Sequential(encoder.layer4, _step(dims, stages[3], stages[2]))
    for number in (3, 2, 1):
        finer = stages[number - 2] if number > 1 else stem
        down = (
            [encoder.layer3] if number == 3 else [encoder.layer2] if number == 2 else [encoder.maxpool, encoder.layer1]
        )
        path = nn.Sequential(*down, SkipConnection(path, mode="add"), _step(dims, stages[number - 1], finer))
    head = (nn.Conv2d if dims == 2 else nn.Conv3d)(_FINEST, classes, kernel_size=3, padding=1)
    joined = SkipConnection(path, mode="add")
    return nn.Sequential(encoder.conv1, encoder.bn1, encoder.act, joined, _step(dims, stem, _FINEST), head)


def build_segmenter(backbone: str = "resnet18", *, in_channels: int = 1, classes: int = 2) -> nn.Sequential:
    """The 2D network of the segmentation bundles, :func:`residual_unet` on a ResNet in torchvision's layout.

    Args:
        backbone: resnet18, resnet34, resnet50, resnet101 or resnet152.
        in_channels: C.
        classes: K, background included.

    Raises:
        ValueError: there is no such backbone, or fewer than two classes.
    """
    if backbone not in ENCODER_NAMES:
        raise ValueError(f"A backbone named {backbone!r} was asked for; accepted: {', '.join(ENCODER_NAMES)}.")
    encoder = getattr(nets, backbone)(
        spatial_dims=2, n_input_channels=in_channels, conv1_t_stride=2, bias_downsample=False, feed_forward=False
    )
    return residual_unet(encoder, classes=classes)


def segmenter_widths(encoder: ResNet) -> list[int]:
    """Channels of the encoder's maps after the stem and after each of its four stages, finest first."""
    return [encoder.conv1.out_channels, *encoder_widths(encoder)]


def _step(dims: int, width: int, finer: int) -> nn.Sequential:
    """To the next finer scale: enlarge twofold, then refine."""
    enlarge = UpSample(dims, width, finer, scale_factor=2, mode="deconv")
    return nn.Sequential(enlarge, TwoConv(dims, finer, finer, act=_ACTIVATION, norm="batch", bias=False))
