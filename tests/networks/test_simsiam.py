"""SimSiam: each prediction meets the same network's projection of the other view, through which no gradient goes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from helpers.contrastive_models import small_method, small_views
from helpers.methods import trainer_for
from monai_ext.losses import NegativeCosineSimilarity
from monai_ext.networks import PredictionHead, ProjectionHead, SimSiam, build_encoder
from monai_ext.networks.weights import load_encoder

LOSS = NegativeCosineSimilarity(form="cosine")


def by_hand() -> SimSiam:
    """Images of two pixels, projection and prediction without batch norm, all weights the identity."""
    projection = ProjectionHead(2, out_features=2, layers=1)
    prediction = PredictionHead(2, hidden_features=2, batch_norm=False)
    model = SimSiam(nn.Flatten(), projection=projection, prediction=prediction).double()
    with torch.no_grad():
        for layer in (projection.layers[0], prediction.layers[0], prediction.layers[2]):
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
    return model


def two_images(first: tuple[float, float], second: tuple[float, float]) -> list[Tensor]:
    """Two views of two images that are alike, (2, 1, 1, 2)."""
    return [torch.tensor(view, dtype=torch.float64).expand(2, 1, 1, 2).clone() for view in (first, second)]


def test_the_symmetric_loss_is_worked_out_by_hand():
    predictions, targets = by_hand()(two_images((3, 4), (4, 3)))
    assert predictions.tolist() == [[[3, 4], [3, 4]], [[4, 3], [4, 3]]]
    assert targets.tolist() == [[[4, 3], [4, 3]], [[3, 4], [3, 4]]]
    assert LOSS(predictions, targets).item() == pytest.approx(-24 / 25)


def test_the_gradient_is_worked_out_by_hand_and_would_be_twice_that_without_the_stop():
    # To the prediction (3, 4): -1/2 ((.8, .6) - .96 (.6, .8)) / 5 = (-.0224, .0168); to (4, 3): (.0168, -.0224).
    # To a matrix: the outer products with (3, 4) and (4, 3), added.
    expected = torch.tensor([[0.0, -0.0392], [-0.0392, 0.0]], dtype=torch.float64)
    model, views = by_hand(), two_images((3, 4), (4, 3))
    LOSS(*model(views)).backward()
    for layer in (model.projection.layers[0], model.prediction.layers[2]):
        torch.testing.assert_close(layer.weight.grad, expected)
        torch.testing.assert_close(layer.bias.grad, torch.full((2,), -0.0056, dtype=torch.float64))

    through = by_hand()
    projections = [through.projection(through.encoder(view)) for view in views]
    cosines = [
        cosine_similarity(through.prediction(own), other, dim=1)
        for own, other in zip(projections, projections[::-1], strict=True)
    ]
    (-torch.stack(cosines).mean()).backward()
    torch.testing.assert_close(through.projection.layers[0].weight.grad, 2 * expected)
    torch.testing.assert_close(through.prediction.layers[2].weight.grad, expected)


def test_features_that_have_collapsed_give_minus_one_and_no_gradient():
    model = by_hand()
    with torch.no_grad():
        model.projection.layers[0].weight.zero_()
        model.projection.layers[0].bias.copy_(torch.tensor([2.0, 1.0]))
    loss = LOSS(*model(two_images((3, 4), (4, -3))))
    loss.backward()
    assert loss.item() == pytest.approx(-1)
    assert all(param.grad.abs().max() < 1e-12 for param in model.parameters())


def test_targets_are_the_projections_of_the_other_view_by_the_same_weights():
    model, views = small_method("SimSiam"), small_views()
    predictions, targets = model(views)
    projections = [model.projection(model.encoder(view)) for view in views]
    for view, other in ((0, 1), (1, 0)):
        torch.testing.assert_close(targets[view], projections[other])
        torch.testing.assert_close(predictions[view], model.prediction(projections[view]))
    assert predictions.requires_grad
    assert not targets.requires_grad


def test_everything_learns_but_the_offset_that_the_prediction_normalises_away():
    model = small_method("SimSiam")
    LOSS(*model(small_views())).backward()
    still = {name for name, param in model.named_parameters() if param.grad.abs().max() < 1e-12}
    # before a batch norm an offset of the whole batch is nothing: the encoder's convolution has one, too
    assert still == {"encoder.0.bias", f"projection.layers.{len(model.projection.layers) - 1}.bias"}


def test_each_view_is_normalised_by_itself():
    model = small_method("SimSiam")
    model(small_views())
    assert model.encoder[1].num_batches_tracked == 2
    assert model.projection.layers[-1].num_batches_tracked == 2


def test_what_is_saved_has_the_names_that_others_read_and_no_teacher():
    assert {name.partition(".")[0] for name in small_method("SimSiam").state_dict()} == {
        "encoder",
        "projection",
        "prediction",
    }


def test_the_prediction_head_keeps_its_learning_rate_while_that_of_the_rest_falls():
    trainer = trainer_for("simsiam", lr=0.01)
    trainer.run()
    rates: list[float] = [group["lr"] for group in trainer.optimizer.param_groups]
    assert rates == pytest.approx([0.001, 0.001, 0.01, 0.01])
    kept = {id(param) for group in trainer.optimizer.param_groups[2:] for param in group["params"]}
    assert kept == {id(param) for param in trainer.network.prediction.parameters()}


def test_the_encoder_of_a_published_checkpoint_is_read_without_its_heads():
    torch.manual_seed(0)
    source, network = build_encoder("resnet18"), build_encoder("resnet18")
    published: dict[str, Any] = {f"module.encoder.{name}": value for name, value in source.state_dict().items()}
    published |= {"module.encoder.fc.0.weight": torch.ones(512, 512), "module.encoder.fc.7.running_mean": torch.ones(9)}
    published |= {"module.predictor.0.weight": torch.ones(4, 9), "module.predictor.3.bias": torch.ones(9)}
    report = load_encoder(network, {"epoch": 100, "state_dict": published})
    assert report.layout == "SimSiam"
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in network.state_dict().items())
    assert len(report.dropped) == 4


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_views_is_refused(count):
    with pytest.raises(ValueError, match=f"SimSiam takes exactly 2 views of each image; received {count}"):
        small_method("SimSiam")(small_views((8,) * count))
