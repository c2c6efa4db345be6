"""Cross-entropy with weights of classes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from monai_ext.losses import WeightedCrossEntropy

IMAGES = SimpleNamespace(labels=[0, 0, 0, 1], class_names=["no", "yes"])


@pytest.mark.parametrize(("weights", "numbers"), [(None, None), ([1, 3], [1.0, 3.0]), ("balanced", [2 / 3, 2.0])])
def test_it_is_torchs_with_these_weights(weights, numbers):
    logits, labels = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 0, 0, 1, 0])
    torchs = nn.CrossEntropyLoss(weight=None if numbers is None else torch.tensor(numbers))
    assert torch.allclose(WeightedCrossEntropy(IMAGES, weights=weights)(logits, labels), torchs(logits, labels))


def test_weights_that_are_too_few_are_refused():
    with pytest.raises(ValueError, match="one positive number for each of 2 classes"):
        WeightedCrossEntropy(IMAGES, weights=[1.0])
