"""SwAV: predict the cluster of a view from another view of the same image.

Caron, Misra, Mairal, Goyal, Bojanowski, Joulin, "Unsupervised Learning of Visual Features by Contrasting Cluster
Assignments", NeurIPS 2020 (arXiv 2006.09882). Written from the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import ClassVar

import torch
from torch import Tensor, nn

from monai_ext.networks.checkpoint_mark import CheckpointMark
from monai_ext.networks.heads import ProjectionHead, unit_length
from monai_ext.networks.momentum_queue import MomentumQueue
from monai_ext.networks.prototypes import Prototypes
from monai_ext.networks.sinkhorn import sinkhorn_assignments
from monai_ext.networks.view_checks import check_views
from monai_ext.parallel.processes import gather, own_part, process_count

__all__ = ["SwAV"]


class SwAV(nn.Module):
    """Embeddings, their similarities with prototypes, and the assignments of the global views to swap.

    Assignments come from the global views only (section 3.2, multi-crop), each view by itself, under the constraint
    that all prototypes get the same share (:func:`~monai_ext.networks.sinkhorn_assignments`). Small batches are filled
    up with the embeddings of earlier batches, one queue a global view, as soon as it is full (section 3.1).

    The encoder runs once a size of views, the projection once on the features of all of them, so that its batch norm
    sees what it will be used on: every view, whatever its size.

    Args:
        encoder: ``(B, C, *spatial)`` of any size to a feature vector ``(B, F)``.
        projection: head on the feature vector, ``(B, F)`` to ``(B, D)``; 2048-128 with batch norm in the paper.
        prototypes: of length D.
        global_views: number of leading views that give assignments.
        queue_size: earlier embeddings that take part in assigning; 0 for none. 3840 in the paper.
        epsilon: smoothness of the assignments.
        iterations: of the assignment.

    Attributes:
        queue_started: while it is False, queues are neither used nor filled; features of the first epochs change so
            fast that earlier embeddings do not help. :class:`~monai_ext.handlers.QueueStarter` sets it.

    Raises:
        ValueError: when prototypes and projection differ in length, or a number is out of range.

    Example:
        >>> from monai_ext.networks import Prototypes, ProjectionHead, build_encoder
        >>> projection = ProjectionHead(512, hidden_features=64, out_features=16, batch_norm=True)
        >>> model = SwAV(build_encoder("resnet18"), projection=projection, prototypes=Prototypes(4, features=16))
        >>> views = [torch.rand(4, 1, 64, 64), torch.rand(4, 1, 64, 64), torch.rand(4, 1, 32, 32)]
        >>> scores, assignments = model(views)
        >>> len(scores), len(assignments), assignments[0].sum(dim=1).round(decimals=3).tolist()
        (3, 2, [1.0, 1.0, 1.0, 1.0])
    """

    checkpoint_marks: ClassVar = (
        CheckpointMark("SwAV", "model.", ("model.projection_head.",)),
        CheckpointMark("SwAV", "", ("projection_head.",)),
        CheckpointMark("SwAV training checkpoint", "encoder.", ("prototypes.weight",)),
    )

    def __init__(
        self,
        encoder: nn.Module,
        *,
        projection: ProjectionHead,
        prototypes: Prototypes,
        global_views: int = 2,
        queue_size: int = 0,
        epsilon: float = 0.05,
        iterations: int = 3,
    ) -> None:
        super().__init__()
        features = prototypes.weight.shape[1]
        if features != projection.out_features:
            raise ValueError(
                f"The prototypes have length {features}, the projection {projection.out_features}; they must agree."
            )
        if global_views < 1 or queue_size < 0:
            raise ValueError(
                f"SwAV needs at least 1 global view and a queue_size of 0 or more; received {global_views} and "
                f"{queue_size}."
            )
        if queue_size % process_count():
            raise ValueError(f"The {process_count()} processes take equal parts of the queue, not of {queue_size}.")
        self.encoder = encoder
        self.projection = projection
        self.prototypes = prototypes
        self.global_views = global_views
        self.queues = nn.ModuleList(
            MomentumQueue(queue_size, features=features, sample_ids=False)
            for _ in range(global_views if queue_size else 0)
        )
        self.queue_started = True
        self.epsilon = epsilon
        self.iterations = iterations

    def forward(self, views: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Score all views, assign the global ones.

        Args:
            views: tensors ``(B, C, *spatial)`` of the same images, the global views first; in training B is at least 2.

        Returns:
            ``(scores, assignments)``: ``(B, K)`` for each view with gradient, and ``(B, K)`` for each global view
            without. For :class:`~monai_ext.losses.SwappedAssignmentLoss`.

        Raises:
            ValueError: when there are too few views or images, or more prototypes than samples to share.
        """
        check_views(
            views,
            method="SwAV",
            training=self.training,
            at_least=max(2, self.global_views),
            encoder=self.encoder,
        )
        self._check_partition(len(views[0]))
        if self.training:
            self.prototypes.normalize()
        embeddings = self._embed_together(views)
        with torch.autocast(embeddings[0].device.type, enabled=False):
            scores = [self.prototypes(embedding) for embedding in embeddings]
            assignments = [
                self._assign(embeddings[view].detach(), scores[view].detach(), view)
                for view in range(self.global_views)
            ]
        return scores, assignments

    def embed(self, images: Tensor) -> Tensor:
        """Projection of images, ``(B, D)``, of unit length."""
        return unit_length(self.projection(self.encoder(images)))

    def _embed_together(self, views: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Embeddings of each view, ``(B, D)``: one pass of the encoder a size, one of the projection for all."""
        features = [self.encoder(torch.cat(list(run))) for _, run in groupby(views, key=lambda view: view.shape[1:])]
        return unit_length(self.projection(torch.cat(features))).chunk(len(views))

    @torch.no_grad()
    def _assign(self, embeddings: Tensor, scores: Tensor, view: int) -> Tensor:
        """Assignments of one global view, ``(B, K)``; its embeddings are enqueued after use."""
        if not self.training or not self.queues or not self.queue_started:
            return sinkhorn_assignments(scores, epsilon=self.epsilon, iterations=self.iterations)
        queue: MomentumQueue = self.queues[view]  # type: ignore[assignment]
        if queue.is_full:
            earlier = self.prototypes(own_part(queue.embeddings))
            scores = torch.cat([earlier, scores])
        assignments = sinkhorn_assignments(scores, epsilon=self.epsilon, iterations=self.iterations)
        queue.enqueue(gather(embeddings))
        return assignments[-len(embeddings) :]

    def _check_partition(self, batch: int) -> None:
        samples = batch * process_count()
        queued = self.queues[0].size if self.queues else 0
        if self.training and self.prototypes.count > samples + queued:  # type: ignore[operator]
            raise ValueError(
                f"SwAV cannot share {self.prototypes.count} prototypes equally among {samples} images and a queue of "
                f"{queued}: most would never be assigned. Use fewer prototypes, a larger batch, or a queue_size of at "
                f"least {self.prototypes.count - samples}."
            )
