"""Several classifiers as one."""

import torch
from torch import nn

from monai_ext.networks import ProbabilityEnsemble


class _Logits(nn.Module):
    def __init__(self, *values: float) -> None:
        super().__init__()
        self.logits = torch.tensor(values).log()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), -1)


def test_probabilities_are_averaged_not_logits():
    ensemble = ProbabilityEnsemble([_Logits(0.9, 0.1), _Logits(0.5, 0.5)])
    assert torch.allclose(ensemble(torch.zeros(2, 1)).softmax(dim=1), torch.tensor([[0.7, 0.3]] * 2))


def test_one_network_keeps_its_own_probabilities():
    assert torch.allclose(ProbabilityEnsemble([_Logits(0.2, 0.8)])(torch.zeros(1, 1)).exp(), torch.tensor([[0.2, 0.8]]))


def test_what_comes_out_are_logarithms_of_probabilities():
    ensemble = ProbabilityEnsemble([nn.Linear(3, 4) for _ in range(3)])
    assert torch.allclose(ensemble(torch.randn(5, 3)).exp().sum(dim=1), torch.ones(5))
