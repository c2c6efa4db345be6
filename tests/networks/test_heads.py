"""Heads: a perceptron worked out by hand, its layers, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_ext.networks import PredictionHead, ProjectionHead
from monai_ext.networks.heads import unit_length


def test_two_layers_compute_what_is_worked_out_by_hand():
    head = ProjectionHead(2, hidden_features=2, out_features=1).double()
    with torch.no_grad():
        head.layers[0].weight.copy_(torch.tensor([[1.0, -1.0], [0.0, 1.0]]))
        head.layers[0].bias.copy_(torch.tensor([0.0, -5.0]))
        head.layers[2].weight.copy_(torch.tensor([[2.0, 3.0]]))
        head.layers[2].bias.fill_(0.5)
    # hidden (3 - 1, 1 - 5) = (2, -4), after ReLU (2, 0); 2 * 2 + 0.5
    assert head(torch.tensor([[3.0, 1.0]], dtype=torch.float64)).item() == 4.5


def test_every_hidden_layer_is_normalised_before_its_relu_and_has_no_bias_of_its_own():
    head = ProjectionHead(2, hidden_features=5, out_features=3, layers=3, batch_norm=True)
    kinds = [type(layer) for layer in head.layers]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert [layer.bias is not None for layer in head.layers if isinstance(layer, nn.Linear)] == [False, False, True]


def test_the_projection_itself_is_normalised_without_a_relu():
    head = ProjectionHead(2, hidden_features=5, out_features=3, batch_norm=True, output_batch_norm=True)
    kinds = [type(layer) for layer in head.layers]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.BatchNorm1d]
    assert head.layers[3].bias is None
    projections = head(torch.randn(64, 2))
    torch.testing.assert_close(projections.mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(projections.std(dim=0, correction=0), torch.ones(3), atol=1e-2, rtol=0)
    assert projections.min() < 0


def test_one_layer_is_linear():
    head = ProjectionHead(2, out_features=3, layers=1)
    assert [type(layer) for layer in head.layers] == [nn.Linear]
    assert head(torch.zeros(4, 2)).shape == (4, 3)


def test_a_prediction_has_the_length_of_the_projection():
    assert PredictionHead(7, hidden_features=3)(torch.rand(2, 7)).shape == (2, 7)


@pytest.mark.parametrize("name", ["hidden_features", "out_features", "layers"])
def test_widths_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} of at least 1; received 0"):
        ProjectionHead(2, **{name: 0})


@pytest.mark.parametrize("shape", [(4, 3), (4, 2, 7, 7), (2,)])
def test_feature_maps_and_other_widths_are_refused(shape):
    with pytest.raises(ValueError, match=r"feature vectors \(B, 2\).*in_features.*encoder that pools"):
        ProjectionHead(2)(torch.zeros(shape))


def test_vectors_are_scaled_to_length_one():
    vectors = torch.tensor([[3.0, 4.0], [0.0, -2.0]], dtype=torch.float64)
    expected = torch.tensor([[0.6, 0.8], [0.0, -1.0]], dtype=torch.float64)
    torch.testing.assert_close(unit_length(vectors), expected)
    assert unit_length(vectors.bfloat16()).dtype == torch.float32


def test_a_vector_of_zeros_has_no_direction_and_a_finite_gradient():
    vectors = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    unit_length(vectors).sum().backward()
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()
