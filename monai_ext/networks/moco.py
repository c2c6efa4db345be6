"""MoCo v2: find one's own key among those of many other images.

He, Fan, Wu, Xie, Girshick, "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020 (arXiv
1911.05722); Chen, Fan, Girshick, He, "Improved Baselines with Momentum Contrastive Learning", 2020 (arXiv 2003.04297).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from monai_ext.networks.checkpoint_mark import CheckpointMark
from monai_ext.networks.heads import ProjectionHead, unit_length
from monai_ext.networks.momentum import MomentumEncoder
from monai_ext.networks.momentum_queue import MomentumQueue
from monai_ext.networks.view_checks import check_views
from monai_ext.parallel.processes import broadcast, gather, own_part

__all__ = ["MoCo"]


class MoCo(nn.Module):
    """A query encoder, a momentum encoder for keys, and a queue of the keys of earlier batches as negatives.

    Keys are computed on the batch in another order than queries, over all processes (shuffling batch normalisation, He
    et al. 2020, section 3.3): give an encoder with :func:`~monai_ext.networks.split_batch_norm`, so that statistics are
    those of a group and tell nothing about which key belongs to a query. :meth:`update_teacher` runs after each
    optimiser step, by the handler :class:`~monai_ext.handlers.MomentumUpdater`; since the next iteration's keys are the
    first to see it, that is the paper's order. Written for any encoder that gives a feature vector, 2D or 3D.

    The queue may hold keys of earlier views of the query's own image, which are no negatives. Passes over the data come
    in orders of their own, so even a queue of half a pass holds some. With the ids of the samples they are told apart:
    :class:`~monai_ext.engines.PretrainingTrainer` gives them, from the loader.

    Args:
        encoder: ``(B, C, *spatial)`` to a feature vector ``(B, F)``.
        projection: head on the feature vector, ``(B, F)`` to ``(B, D)``; 2048-128 without batch norm in version 2.
        queue: of length D; 65,536 keys in the paper.

    Raises:
        ValueError: when the queue's keys and the projection differ in length.

    Example:
        >>> from monai_ext.networks import MomentumQueue, ProjectionHead, build_encoder
        >>> projection = ProjectionHead(512, hidden_features=64, out_features=16)
        >>> model = MoCo(build_encoder("resnet18"), projection=projection, queue=MomentumQueue(8, features=16))
        >>> queries, keys, negatives = model([torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32)])
        >>> queries.shape, keys.shape, negatives.shape
        (torch.Size([2, 16]), torch.Size([2, 16]), torch.Size([8, 16]))
    """

    takes_sample_ids = True
    checkpoint_marks: ClassVar = (
        CheckpointMark("MoCo", "encoder_q.", ("encoder_k.",)),
        CheckpointMark("MoCo training checkpoint", "encoder.", ("queue.embeddings",)),
    )

    def __init__(self, encoder: nn.Module, *, projection: ProjectionHead, queue: MomentumQueue) -> None:
        super().__init__()
        if queue.embeddings.shape[1] != projection.out_features:
            raise ValueError(
                f"The queue holds keys of length {queue.embeddings.shape[1]}, the projection gives "
                f"{projection.out_features}; they must agree."
            )
        self.encoder = encoder
        self.projection = projection
        self.queue = queue
        self.teacher = MomentumEncoder({"encoder": encoder, "projection": projection})

    def forward(self, views: Sequence[Tensor], sample_ids: Tensor | None = None) -> tuple[Tensor, ...]:
        """Compare the first view of each image with the second.

        Args:
            views: two tensors ``(B, C, *spatial)``, sample by sample of the same images; in training B is at least 2.
            sample_ids: which sample of the data each image is, ``(B,)`` whole numbers, the same in every pass and
                process. Without them every key of the queue is a negative.

        Returns:
            ``(queries, keys, negatives)`` of unit length: ``(B, D)`` with gradient, ``(B, D)`` and ``(K, D)`` without.
            With ``sample_ids`` a fourth, ``(B, K)`` boolean, True where a key of the queue is of the query's own image.
            For :class:`~monai_ext.losses.InfoNCELoss`. In training mode the keys of all processes are enqueued after
            the negatives were taken; evaluation leaves the queue as it is.

        Raises:
            ValueError: when there are not two views of one batch, or of one image only in training, or not one id an
                image.
        """
        check_views(views, method="MoCo", training=self.training, exactly=2, encoder=self.encoder)
        queries = self.embed(views[0])
        keys = self._keys(views[1])
        compared = [queries, keys, self.queue.embeddings.clone()]
        if sample_ids is not None:
            compared.append(self.queue.is_own(sample_ids))
        if self.training:
            self.queue.enqueue(gather(keys), None if sample_ids is None else gather(sample_ids))
        return tuple(compared)

    def embed(self, images: Tensor) -> Tensor:
        """Queries of images, ``(B, D)``, of unit length."""
        return unit_length(self.projection(self.encoder(images)))

    def update_teacher(self, decay: float) -> None:
        """Move the key encoder towards the query encoder; it keeps the share ``decay`` of its weights."""
        self.teacher.update({"encoder": self.encoder, "projection": self.projection}, decay=decay)

    @torch.no_grad()
    def _keys(self, images: Tensor) -> Tensor:
        """Shuffle the joint batch, encode this process's part, and bring the keys back into their order."""
        if not self.training:
            return unit_length(self.teacher(images))
        joint = gather(images)
        order = broadcast(torch.randperm(len(joint)).to(joint.device))
        shuffled = own_part(joint[order]).contiguous(memory_format=_memory_format(images))
        keys = gather(unit_length(self.teacher(shuffled)))
        return own_part(keys[order.argsort()])


def _memory_format(images: Tensor) -> torch.memory_format:
    """The channels-last format of the images, if that is theirs."""
    for ndim, memory_format in ((4, torch.channels_last), (5, torch.channels_last_3d)):
        if images.ndim == ndim and images.is_contiguous(memory_format=memory_format):
            return memory_format
    return torch.contiguous_format
