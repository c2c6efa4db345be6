"""SimSiam: predict one's own view of the same image, and stop the gradient there.

Chen, He, "Exploring Simple Siamese Representation Learning", CVPR 2021 (arXiv 2011.10566).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from monai_ext.networks.checkpoint_mark import CheckpointMark
from monai_ext.networks.heads import PredictionHead, ProjectionHead, unit_length
from monai_ext.networks.view_checks import check_views

__all__ = ["SimSiam"]


class SimSiam(nn.Module):
    """One network sees both views, and predicts from each what it says of the other; there are no negatives.

    There is no teacher either: the target of a prediction is the projection of the other view by the same weights,
    through which no gradient goes. Without this stop everything collapses to one vector (section 4.1), and so it does
    without the prediction head (section 4.2). Written for any encoder that gives a feature vector, 2D or 3D.

    Args:
        encoder: ``(B, C, *spatial)`` to a feature vector ``(B, F)``, such as :func:`monai_ext.networks.build_encoder`.
        projection: head on the feature vector, ``(B, F)`` to ``(B, D)``; three layers of 2048 in the paper, batch norm
            after each, the last one included.
        prediction: head on the projection, ``(B, D)`` to ``(B, D)``, with a hidden layer of a quarter of D: a
            bottleneck, 512 of 2048. Its learning rate stays constant in the paper (section 4.2).

    Example:
        >>> from monai_ext.networks import PredictionHead, ProjectionHead, build_encoder
        >>> widths = {"hidden_features": 64, "out_features": 64, "layers": 3}
        >>> projection = ProjectionHead(512, **widths, batch_norm=True, output_batch_norm=True)
        >>> prediction = PredictionHead(64, hidden_features=16)
        >>> model = SimSiam(build_encoder("resnet18"), projection=projection, prediction=prediction)
        >>> predictions, targets = model([torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32)])
        >>> predictions.shape, targets.requires_grad
        (torch.Size([2, 2, 64]), False)
    """

    checkpoint_marks: ClassVar = (
        CheckpointMark("SimSiam", "encoder.", ("encoder.fc.0.", "predictor.")),
        CheckpointMark("SimSiam training checkpoint", "encoder.", ("prediction.layers.",)),
    )

    def __init__(self, encoder: nn.Module, *, projection: ProjectionHead, prediction: PredictionHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.projection = projection
        self.prediction = prediction

    def forward(self, views: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Predict each of two views from the other (algorithm 1).

        Args:
            views: two tensors ``(B, C, *spatial)``, sample by sample of the same images; in training B is at least 2.

        Returns:
            ``(predictions, targets)``, both ``(2, B, D)``: what is predicted from each view, and the projection of the
            other one, without gradient. For :class:`~monai_ext.losses.NegativeCosineSimilarity` of ``form="cosine"``.

        Raises:
            ValueError: when there are not two views of one batch, or of one image only in training.
        """
        check_views(views, method="SimSiam", training=self.training, exactly=2, encoder=self.encoder)
        projections = [self.projection(self.encoder(view)) for view in views]
        predictions = [self.prediction(projection) for projection in projections]
        return torch.stack(predictions), torch.stack(projections[::-1]).detach()

    def embed(self, images: Tensor) -> Tensor:
        """The projection of images, ``(B, D)``, of unit length."""
        return unit_length(self.projection(self.encoder(images)))
