"""Images of one gray each, and a network of which every value can be worked out by hand."""

import torch
from torch import nn

from monai_ext.engines import PretrainingEvaluator
from monai_ext.inferers import MaskedImageInferer

__all__ = ["Doubling", "evaluate_doubling", "gray_images"]


def gray_images() -> torch.Tensor:
    """Five images (1, 4, 8) of one gray each: 0.0, 0.2, ... 0.8."""
    return (torch.arange(5) / 5).view(5, 1, 1, 1).expand(5, 1, 4, 8).clone()


class Doubling(nn.Module):
    """Predicts zeros with the left half visible; its encoder gives the image's mean and twice that."""

    class Encoder(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            mean = image.mean(dim=(2, 3))
            return torch.cat([mean, 2 * mean], dim=1)

    def __init__(self):
        super().__init__()
        self.encoder = self.Encoder()

    def draw_visible(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return torch.tensor([[[[True, False]]]]).expand(len(image), -1, -1, -1)

    def forward(self, image: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(image)


def evaluate_doubling(images: torch.Tensor, *handlers) -> PretrainingEvaluator:
    """The evaluator with handlers after an evaluation in batches of two."""
    evaluator = PretrainingEvaluator(
        "cpu", network=Doubling(), val_data_loader=images.split(2), inferer=MaskedImageInferer(), handlers=handlers
    )
    evaluator.run()
    return evaluator
