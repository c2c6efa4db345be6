"""SparK: masked image modelling for convolutional networks.

Tian, Jiang, Diao, Lin, Wang, Yuan, "Designing BERT for Convolutional Networks: Sparse and Hierarchical Masked
Modeling", ICLR 2023 (arXiv 2301.03580). The page reads in the paper's order: mask, encode sparsely, densify, decode.
"""

from __future__ import annotations

from math import prod
from typing import ClassVar, Literal, overload

import torch
from monai.networks.layers.factories import Conv, Norm
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn

from monai_ext.networks.checkpoint_mark import CheckpointMark
from monai_ext.networks.encoder import encoder_stride, encoder_widths, resnet_stages
from monai_ext.networks.spark.active_blocks import ActiveBlocks
from monai_ext.networks.spark.decoder import SparKDecoder
from monai_ext.networks.spark.features import SparseFeatures, sparse_resnet_features
from monai_ext.networks.spark.masked_dense import MaskedDense
from monai_ext.networks.spark.minkowski import MinkowskiFeatures
from monai_ext.networks.spark.minkowski_engine import minkowski_engine
from monai_ext.parallel.memory_format import memory_format_of

__all__ = ["BACKENDS", "SparK"]

BACKENDS: dict[str, type[SparseFeatures]] = {
    "active_blocks": ActiveBlocks,
    "masked_dense": MaskedDense,
    "minkowski": MinkowskiFeatures,
}


class SparK(nn.Module):
    """Predict the masked patches of an image from its visible patches.

    The encoder is run sparsely and stays an ordinary ResNet: after pre-training ``model.encoder.state_dict()`` loads
    into ``monai.networks.nets.ResNet``. ``visible`` is boolean ``(B, 1, *grid)`` with ``grid`` = image size / stride;
    True means that the encoder sees the patch.

    Args:
        encoder: a MONAI ResNet, 2D or 3D, best without head (:func:`monai_ext.networks.build_encoder`).
        decoder: upsamples by the encoder's total stride.
        masked_fraction: part of the patches that is hidden; each sample keeps ``round(n * (1 - masked_fraction))``.
        drop_path_rate: stochastic depth of the last residual block; it rises linearly from 0 at the first.
        backend: how sparse layers run: "active_blocks" (fast), "masked_dense" (the reference), or "minkowski" (by
            MinkowskiEngine, which ``scripts/install_minkowski.sh`` installs).

    Raises:
        ValueError: When an option is out of range, or the decoder's levels do not match the encoder's stride.
        TypeError: When the encoder has a part without a sparse counterpart (named).
        ImportError: When the backend is "minkowski" and MinkowskiEngine is missing or cannot be loaded.

    Example:
        >>> from monai_ext.networks import SparK, SparKDecoder, build_encoder
        >>> model = SparK(build_encoder("resnet18"), SparKDecoder(32))
        >>> model(torch.rand(2, 1, 64, 64)).shape
        torch.Size([2, 1, 64, 64])
    """

    dense_parts = ("densify_projections", "decoder")
    """Parts with a memory format of their own, see :func:`monai_ext.parallel.memory_format.arrange_memory`."""
    checkpoint_marks: ClassVar = (
        CheckpointMark("SparK pre-training by its authors", "sparse_encoder.sp_cnn.", ("dense_decoder.",)),
        CheckpointMark("SparK training checkpoint", "encoder.", ("densify_norms.",)),
    )

    def __init__(
        self,
        encoder: ResNet,
        decoder: SparKDecoder,
        *,
        masked_fraction: float = 0.6,
        drop_path_rate: float = 0.0,
        backend: str = "active_blocks",
    ) -> None:
        super().__init__()
        _check_options(masked_fraction, drop_path_rate, backend)
        blocks = sum(len(stage) for stage in resnet_stages(encoder))
        self.encoder = encoder
        self.decoder = decoder
        self.masked_fraction = masked_fraction
        self.backend = backend
        self.spatial_dims = decoder.spatial_dims
        self.patch_size = encoder_stride(encoder)
        self.in_channels = int(encoder.conv1.in_channels)
        if 2 ** len(decoder.levels) != self.patch_size or encoder.conv1.weight.ndim != self.spatial_dims + 2:
            raise ValueError(
                f"The encoder is {encoder.conv1.weight.ndim - 2}D with a total stride of {self.patch_size}, the "
                f"decoder is {self.spatial_dims}D and upsamples by {2 ** len(decoder.levels)}; they must agree."
            )
        self.drop_path_rates = [drop_path_rate * i / max(blocks - 1, 1) for i in range(blocks)]

        widths = encoder_widths(encoder)[::-1]  # deepest level first, as in the decoder
        norm = Norm[Norm.BATCH, self.spatial_dims]
        self.densify_norms = nn.ModuleList(norm(width) for width in widths)
        self.densify_projections = nn.ModuleList(
            _densify_projection(width, decoder.widths[level], level, self.spatial_dims)
            for level, width in enumerate(widths)
        )
        ones = (1,) * self.spatial_dims
        self.mask_tokens = nn.ParameterList(
            nn.init.trunc_normal_(torch.empty(1, width, *ones), std=0.02, a=-0.02, b=0.02) for width in widths
        )

    @overload
    def forward(
        self, image: Tensor, visible: Tensor | None = None, *, return_visible: Literal[False] = False
    ) -> Tensor: ...

    @overload
    def forward(
        self, image: Tensor, visible: Tensor | None = None, *, return_visible: Literal[True]
    ) -> tuple[Tensor, Tensor]: ...

    def forward(
        self, image: Tensor, visible: Tensor | None = None, *, return_visible: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Reconstruct.

        Args:
            image: ``(B, C, *spatial)``, every axis divisible by the patch size.
            visible: the mask; drawn when omitted.
            return_visible: also give the mask.

        Returns:
            The prediction ``(B, C, *spatial)`` in units of each patch's own mean and standard deviation
            (:class:`monai_ext.losses.MaskedReconstructionLoss`), or ``(prediction, visible)``.

        Raises:
            ValueError: When the image or the mask has another shape, or no patch of the whole batch is visible.
        """
        self._check_image(image)
        if visible is None:
            visible = self.draw_visible(image)
        self._check_visible(image, visible)
        prediction = self.decoder(self.densify(self.encode(image, visible)))
        return (prediction, visible) if return_visible else prediction

    def draw_visible(self, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw a mask for ``image``: in each sample exactly ``round(n * (1 - masked_fraction))`` patches are visible.

        It is drawn on the CPU, from torch's global generator unless one is given: the same masks on every device.

        Raises:
            ValueError: When the image has another shape, or is so small that no patch would be visible.
        """
        self._check_image(image)
        grid = [size // self.patch_size for size in image.shape[2:]]
        count = prod(grid)
        if self.visible_count(count) == 0:
            raise ValueError(
                f"SparK masks {self.masked_fraction:g} of an image of {_pixels(image)} pixels, which has {count} "
                f"patches of {self.patch_size} pixels: no visible patch is left. Choose a masked_fraction below "
                f"{1 - 0.5 / count:g}, or larger images."
            )
        kept = torch.rand(image.shape[0], count, generator=generator).argsort(dim=1)[:, : self.visible_count(count)]
        visible = torch.zeros(image.shape[0], count, dtype=torch.bool).scatter_(1, kept, True)
        return visible.view(-1, 1, *grid).to(image.device)

    def visible_count(self, patches: int) -> int:
        """Number of visible patches of a sample with ``patches`` patches."""
        return round(patches * (1.0 - self.masked_fraction))

    def encode(self, image: Tensor, visible: Tensor) -> list[SparseFeatures]:
        """Run the encoder on the visible patches; sparse maps, highest resolution (stride 4) first."""
        features = BACKENDS[self.backend].from_image(image, visible)
        return sparse_resnet_features(self.encoder, features, drop_path_rates=self.drop_path_rates)

    def densify(self, maps: list[SparseFeatures]) -> list[Tensor]:
        """Normalise, put a learnt token where patches are masked, project to the decoder's widths; deepest first."""
        layers = zip(maps[::-1], self.densify_norms, self.mask_tokens, self.densify_projections, strict=True)
        memory_format = memory_format_of(self.densify_projections)
        return [
            project(features.normalize(norm).to_dense(token).contiguous(memory_format=memory_format))
            for features, norm, token, project in layers
        ]

    def _check_image(self, image: Tensor) -> None:
        expected = "(B, C, H, W)" if self.spatial_dims == 2 else "(B, C, D, H, W)"
        if image.ndim != self.spatial_dims + 2 or image.shape[1] != self.in_channels:
            raise ValueError(
                f"SparK received an image of shape {tuple(image.shape)}; its encoder takes {expected} with C = "
                f"{self.in_channels}. Choose in_channels to match the data."
            )
        if any(size % self.patch_size or size == 0 for size in image.shape[2:]):
            nearest = tuple(max(round(size / self.patch_size), 1) * self.patch_size for size in image.shape[2:])
            raise ValueError(
                f"SparK received an image of {tuple(image.shape[2:])} pixels; every axis must be divisible by the "
                f"patch size {self.patch_size}, which is the encoder's total stride. The nearest size is {nearest}."
            )

    def _check_visible(self, image: Tensor, visible: Tensor) -> None:
        grid = tuple(size // self.patch_size for size in image.shape[2:])
        if visible.dtype != torch.bool or visible.shape != (image.shape[0], 1, *grid):
            raise ValueError(
                f"SparK received a mask of shape {tuple(visible.shape)} and type {visible.dtype} for an image of "
                f"shape {tuple(image.shape)}; accepted is a boolean mask {(image.shape[0], 1, *grid)}, True = visible."
            )
        if not visible.any():
            raise ValueError(
                f"SparK received a mask without any visible patch for {len(image)} images of {_pixels(image)} pixels; "
                f"it needs at least one in the batch. Its own masks (draw_visible) hide {self.masked_fraction:g} of "
                f"the {prod(grid)} patches of an image and leave {self.visible_count(prod(grid))}."
            )


def _pixels(image: Tensor) -> str:
    return " x ".join(map(str, image.shape[2:]))


def _densify_projection(in_channels: int, out_channels: int, level: int, spatial_dims: int) -> nn.Module:
    if level == 0 and in_channels == out_channels:
        return nn.Identity()
    kernel_size = 1 if level == 0 else 3
    return Conv[Conv.CONV, spatial_dims](in_channels, out_channels, kernel_size, padding=kernel_size // 2)


def _check_options(masked_fraction: float, drop_path_rate: float, backend: str) -> None:
    if not 0.0 <= masked_fraction < 1.0:
        raise ValueError(f"SparK was given masked_fraction={masked_fraction}; accepted: at least 0 and below 1.")
    if not 0.0 <= drop_path_rate < 1.0:
        raise ValueError(f"SparK was given drop_path_rate={drop_path_rate}; accepted: at least 0 and below 1.")
    if backend not in BACKENDS:
        raise ValueError(f"SparK was given backend={backend!r}; accepted: {', '.join(map(repr, BACKENDS))}.")
    if backend == "minkowski":
        minkowski_engine()  # where it is missing, say so now and not at the first image
