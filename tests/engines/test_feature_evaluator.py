"""The evaluator of encoders, with an encoder whose features are worked out by hand."""

import pytest
import torch
from torch import nn

from monai_ext.embedding import read_feature_table
from monai_ext.engines import PretrainingEvaluator
from monai_ext.handlers import EncoderFeatures
from monai_ext.inferers import EncoderInferer


class MeanAndDropout(nn.Module):
    """The features of an image are its mean and twice its mean; in training mode they are hidden."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(1.0)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = self.dropout(images.mean(dim=(2, 3)))
        return torch.cat([mean, 2 * mean], dim=1)


def method() -> nn.Module:
    network = nn.Module()
    network.encoder = MeanAndDropout()
    return network.train()


def test_every_image_gets_the_features_of_the_encoder_in_evaluation_mode(tmp_path):
    images = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 1, 4, 4)
    writer = EncoderFeatures(tmp_path, groups=list("abcde"))
    PretrainingEvaluator(
        "cpu", network=method(), val_data_loader=images.split(2), inferer=EncoderInferer(), handlers=[writer]
    ).run()
    table = read_feature_table(tmp_path / "features.parquet")
    assert table.features.tolist() == [[number, 2 * number] for number in range(5)]
    assert table.rows.groups == list("abcde")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_features_are_float32_whatever_the_precision(precision):
    evaluator = PretrainingEvaluator(
        "cpu", network=method(), val_data_loader=[torch.ones(2, 1, 4, 4)], inferer=EncoderInferer(), precision=precision
    )
    evaluator.run()
    assert evaluator.state.output["output"].dtype == torch.float32


def test_batches_may_be_dictionaries_with_an_image():
    evaluator = PretrainingEvaluator(
        "cpu", network=method(), val_data_loader=[{"image": torch.ones(2, 1, 4, 4)}], inferer=EncoderInferer()
    )
    evaluator.run()
    assert evaluator.state.output["output"].tolist() == [[1, 2], [1, 2]]
