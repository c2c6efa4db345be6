"""BYOL: predict what a slowly moving copy of oneself says about another view.

Grill, Strub, Altche, Tallec, Richemond, Buchatskaya et al., "Bootstrap Your Own Latent: A New Approach to
Self-Supervised Learning", NeurIPS 2020 (arXiv 2006.07733).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from monai_ext.networks.checkpoint_mark import CheckpointMark
from monai_ext.networks.heads import PredictionHead, ProjectionHead, unit_length
from monai_ext.networks.momentum import MomentumEncoder
from monai_ext.networks.view_checks import check_views

__all__ = ["BYOL"]


class BYOL(nn.Module):
    """A student predicts its teacher's projection of the other view; there are no negatives.

    The teacher has the student's architecture, without the predictor. It runs in training mode and without gradient,
    and :meth:`update_teacher` moves it towards the student after each optimiser step, which is what the handler
    :class:`~monai_ext.handlers.MomentumUpdater` does. Written for any encoder that gives a feature vector, 2D or 3D.

    Args:
        encoder: ``(B, C, *spatial)`` to a feature vector ``(B, F)``, such as :func:`monai_ext.networks.build_encoder`.
        projection: head on the feature vector, ``(B, F)`` to ``(B, D)``; 4096-256 with batch norm in the paper.
        prediction: the student's head on the projection, ``(B, D)`` to ``(B, D)``.

    Example:
        >>> from monai_ext.networks import PredictionHead, ProjectionHead, build_encoder
        >>> projection = ProjectionHead(512, hidden_features=64, out_features=16, batch_norm=True)
        >>> model = BYOL(build_encoder("resnet18"), projection=projection, prediction=PredictionHead(16))
        >>> predictions, targets = model([torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32)])
        >>> predictions.shape, targets.requires_grad
        (torch.Size([2, 2, 16]), False)
    """

    checkpoint_marks: ClassVar = (
        CheckpointMark("BYOL", "online_network.encoder.", ("target_network.",)),
        CheckpointMark("BYOL training checkpoint", "encoder.", ("prediction.layers.", "teacher.encoder.")),
    )

    def __init__(self, encoder: nn.Module, *, projection: ProjectionHead, prediction: PredictionHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.projection = projection
        self.prediction = prediction
        self.teacher = MomentumEncoder({"encoder": encoder, "projection": projection})

    def forward(self, views: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Predict each of two views from the other.

        Args:
            views: two tensors ``(B, C, *spatial)``, sample by sample of the same images; in training B is at least 2.

        Returns:
            ``(predictions, targets)``, both ``(2, B, D)``: what the student predicts from each view, and the teacher's
            projection of the other one, without gradient. For :class:`~monai_ext.losses.NegativeCosineSimilarity`.

        Raises:
            ValueError: when there are not two views of one batch, or of one image only in training.
        """
        check_views(views, method="BYOL", training=self.training, exactly=2, encoder=self.encoder)
        predictions = [self.prediction(self.projection(self.encoder(view))) for view in views]
        targets = [self.teacher(view) for view in views]
        return torch.stack(predictions), torch.stack(targets[::-1])

    def embed(self, images: Tensor) -> Tensor:
        """The student's projection of images, ``(B, D)``, of unit length."""
        return unit_length(self.projection(self.encoder(images)))

    def update_teacher(self, decay: float) -> None:
        """Move the teacher towards the student; it keeps the share ``decay`` of its weights."""
        self.teacher.update({"encoder": self.encoder, "projection": self.projection}, decay=decay)
