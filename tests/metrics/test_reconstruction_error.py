import pytest
import torch

from monai_ext.losses import MaskedReconstructionLoss
from monai_ext.metrics import ReconstructionError, patch_statistics
from monai_ext.transforms import HounsfieldWindow

PATCH = 4


def _batch(seed: int, images: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (B, 1, 12, 12) in [0, 1] and a mask with four of nine patches visible."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(images, 1, 12, 12, generator=generator)
    order = torch.rand(images, 9, generator=generator).argsort(dim=1)
    return image, (order < 4).view(images, 1, 3, 3)


def _row(error: ReconstructionError, predictor: str, statistics: str) -> dict:
    return next(row for row in error.rows() if (row["predictor"], row["statistics"]) == (predictor, statistics))


def test_the_network_comes_first_and_every_trivial_predictor_has_two_rows():
    error = ReconstructionError(window=None, patch_size=PATCH, name="spark")
    image, visible = _batch(0)
    error.update(torch.zeros_like(image), image, visible)
    assert [(row["predictor"], row["statistics"]) for row in error.rows()] == [
        ("spark", "true patch"),
        ("visible_mean", "true patch"),
        ("linear_inpainting", "true patch"),
        ("visible_mean", "own"),
        ("linear_inpainting", "own"),
    ]


def test_the_normalised_error_is_the_training_loss():
    error = ReconstructionError(window=None, patch_size=PATCH, eps=1e-3)
    image, visible = _batch(1)
    prediction = torch.randn_like(image)
    error.update(prediction, image, visible)
    loss = MaskedReconstructionLoss(PATCH, eps=1e-3)(prediction, image, visible)
    assert _row(error, "network", "true patch")["normalized_error"] == pytest.approx(loss.item(), rel=1e-5)


def test_a_perfect_prediction_has_no_error_and_visible_pixels_do_not_count():
    error = ReconstructionError(window=HounsfieldWindow("full"), patch_size=PATCH)
    image, visible = _batch(2)
    mean, deviation = patch_statistics(image, PATCH)
    seen = visible.repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)
    error.update(torch.where(seen, 99.0, (image - mean) / deviation), image, visible)
    row = _row(error, "network", "true patch")
    assert all(row[column] < 1e-2 for column in row if column.endswith(("_hu", "error")))


def test_errors_are_in_hounsfield_units_as_seen_in_the_window():
    """Window -1024 .. 3071. Truth is 0 HU and 1000 HU in the masked patch, the visible patch is 200 HU throughout."""
    scale = HounsfieldWindow("full")
    truth = torch.full((1, 1, 2, 4), 200.0)
    truth[..., 0, :2], truth[..., 1, :2] = 0.0, 1000.0
    error = ReconstructionError(window=scale, windows=["full", "mediastinum"], patch_size=2)
    error.update(torch.zeros(1, 1, 2, 4), scale(truth), torch.tensor([[[[False, True]]]]))
    own = _row(error, "visible_mean", "own")
    assert own["full_error_hu"] == pytest.approx((200 + 800) / 2, abs=0.01)
    assert own["mediastinum_error_hu"] == pytest.approx((200 + 40) / 2, abs=0.01)  # 1000 HU is shown as 240 HU
    true_mean = _row(error, "visible_mean", "true patch")
    assert true_mean["full_error_hu"] == pytest.approx(500, abs=0.01)  # 500 HU everywhere
    assert _row(error, "network", "true patch")["full_error_hu"] == pytest.approx(500, abs=0.01)


@pytest.mark.parametrize("windows", [["full"], ["full", "lung"]])
def test_errors_of_volumes_are_in_hounsfield_units_too(windows):
    scale = HounsfieldWindow(windows)
    truth = torch.full((1, 2, 2, 4), 200.0)  # (B, D, H, W)
    truth[..., 0, :2], truth[..., 1, :2] = 0.0, 1000.0
    image = scale(truth[:, :, None]).movedim(2, 1)  # (B, C, D, H, W)
    error = ReconstructionError(window=scale, windows=["full"], patch_size=2)
    error.update(torch.zeros_like(image), image, torch.tensor([[[[[False, True]]]]]))
    assert _row(error, "visible_mean", "own")["full_error_hu"] == pytest.approx((200 + 800) / 2, abs=0.01)


def test_knowing_only_the_mean_of_a_patch_is_at_one():
    error = ReconstructionError(window=None, patch_size=PATCH)
    image, visible = _batch(3, images=20)
    error.update(torch.zeros_like(image), image, visible)
    for predictor in ("network", "visible_mean"):
        normalized = _row(error, predictor, "true patch")["normalized_error"]
        assert normalized == pytest.approx((PATCH**2 - 1) / PATCH**2, rel=1e-3)


def test_batches_are_averaged_by_their_masked_pixels():
    by_batch, at_once = (
        ReconstructionError(window=None, patch_size=PATCH),
        ReconstructionError(window=None, patch_size=PATCH),
    )
    image, visible = _batch(4, images=3)
    prediction = torch.randn_like(image)
    by_batch.update(prediction, image, visible)
    at_once.update(prediction[:1], image[:1], visible[:1])
    at_once.update(prediction[1:], image[1:], visible[1:])
    for expected, row in zip(by_batch.rows(), at_once.rows(), strict=True):
        assert {k: pytest.approx(v) if isinstance(v, float) else v for k, v in expected.items()} == row


def test_channels_of_one_repeated_window_give_one_error_in_hounsfield_units():
    scale = HounsfieldWindow("lung")
    image, visible = _batch(5)
    single = ReconstructionError(window=scale, windows=["lung"], patch_size=PATCH)
    triple = ReconstructionError(window=scale, windows=["lung"], patch_size=PATCH)
    single.update(torch.zeros_like(image), image, visible)
    triple.update(torch.zeros_like(image).repeat(1, 3, 1, 1), image.repeat(1, 3, 1, 1), visible)
    expected = _row(single, "linear_inpainting", "own")["lung_error_hu"]
    assert _row(triple, "linear_inpainting", "own")["lung_error_hu"] == pytest.approx(expected, rel=1e-4)


def test_an_empty_table_is_refused():
    with pytest.raises(ValueError, match="no image with masked patches"):
        ReconstructionError(window=None).rows()


def test_an_unknown_window_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="mediastinum"):
        ReconstructionError(window=HounsfieldWindow("full"), windows=["mediastinm"])
