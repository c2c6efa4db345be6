"""What holds for all methods that compare views: any encoder that gives a vector, 2D and 3D, and clear refusals."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import DenseNet, ResNet
from torch import Tensor, nn

from helpers.contrastive_models import FEATURES, LENGTH, LOSSES, plain_encoder, small_encoder, small_method, small_views

every_method = pytest.mark.parametrize("name", LOSSES)


def resnet(dims: int) -> nn.Module:
    return ResNet("basic", [1, 1, 1, 1], [2, 2, 4, 8], dims, 1, feed_forward=False)


def loss_of(name: str, model: nn.Module, views: list[Tensor]) -> Tensor:
    return LOSSES[name](*model(views))


@every_method
@pytest.mark.parametrize(
    ("build", "features", "side", "dims"),
    [
        (lambda: small_encoder(dims=2), FEATURES, 8, 2),
        (lambda: small_encoder(dims=3), FEATURES, 4, 3),
        (lambda: resnet(2), 8, 32, 2),
        (lambda: resnet(3), 8, 16, 3),
        (lambda: DenseNet(2, 1, 7, init_features=4, growth_rate=2, block_config=(1, 1), bn_size=1), 7, 16, 2),
    ],
    ids=["convolution-2d", "convolution-3d", "resnet-2d", "resnet-3d", "densenet-2d"],
)
def test_any_encoder_that_gives_a_vector_is_trained(name, build, features, side, dims):
    model = small_method(name, build(), features=features)
    loss = loss_of(name, model, small_views((side, side), dims=dims))
    loss.backward()
    assert loss.isfinite()
    assert loss.dtype == torch.float64
    gradients = [param.grad for param in model.encoder.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.abs().max() > 1e-9 for gradient in gradients)


@every_method
def test_embeddings_are_unit_vectors_one_an_image(name):
    embeddings = small_method(name).embed(small_views()[0])
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(4, dtype=torch.float64))
    assert embeddings.shape == (4, LENGTH)


@every_method
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_images_of_one_colour_give_finite_losses_and_gradients(name, value):
    model = small_method(name)
    loss = loss_of(name, model, [torch.full_like(view, value) for view in small_views()])
    loss.backward()
    assert loss.isfinite()
    assert all(param.grad.isfinite().all() for param in model.parameters() if param.grad is not None)


@every_method
def test_an_encoder_that_gives_zeros_gives_finite_losses_and_gradients(name):
    model = small_method(name, plain_encoder())
    for head in (model.projection, *([model.prediction] if hasattr(model, "prediction") else [])):
        nn.init.zeros_(head.layers[-1].weight)
        nn.init.zeros_(head.layers[-1].bias)
    loss = loss_of(name, model, small_views())
    loss.backward()
    assert loss.isfinite()
    assert all(param.grad.isfinite().all() for param in model.parameters() if param.grad is not None)


@every_method
def test_one_image_is_evaluated_and_not_trained_on(name):
    model = small_method(name)
    assert loss_of(name, model.eval(), small_views(batch=1)).isfinite()
    with pytest.raises(ValueError, match=f"{name} is trained on at least 2 images"):
        model.train()(small_views(batch=1))


@every_method
def test_a_tensor_in_place_of_views_is_refused(name):
    with pytest.raises(TypeError, match=f"{name} compares views and takes a list"):
        small_method(name)(small_views()[0])


@every_method
def test_an_encoder_that_gives_maps_is_refused(name):
    model = small_method(name, nn.Conv2d(1, FEATURES, 3))
    with pytest.raises(ValueError, match=r"takes feature vectors \(B, 4\), but the encoder gave \(.*that pools"):
        model(small_views())


@every_method
def test_evaluation_changes_no_parameter_and_no_buffer(name):
    model = small_method(name, **({"queue_size": 4} if name == "SwAV" else {})).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.no_grad():
        model(small_views())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
