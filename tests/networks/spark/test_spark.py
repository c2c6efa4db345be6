"""SparK: all backends are one function, masked pixels are never seen, the encoder stays an ordinary ResNet."""

from __future__ import annotations

import copy

import pytest
import torch
from monai.networks import nets
from torch import Tensor

from helpers.spark_models import (
    ALL_BACKENDS,
    CASES_2D_AND_3D,
    FAST_BACKENDS,
    SQUARE_AND_CUBE,
    assert_same_step,
    make_image,
    make_mask,
    make_model,
    run,
)
from monai_ext.networks import SparK, SparKDecoder, build_encoder, encoder_stride, encoder_widths, expand_mask


@pytest.mark.parametrize("kind", ["drawn", "all visible", "one visible", "uneven"])
@pytest.mark.parametrize(("spatial_dims", "name", "size"), CASES_2D_AND_3D)
@pytest.mark.parametrize("backend", FAST_BACKENDS)
def test_backends_agree_with_the_reference_in_loss_features_and_gradients(
    backend: str, spatial_dims: int, name: str, size: tuple[int, ...], kind: str
) -> None:
    model = make_model(spatial_dims, name)
    image = make_image(model, size, batch=4)
    visible = make_mask(kind, model, image)
    model.backend = "masked_dense"
    expected = run(model, image, visible)
    model.backend = backend
    assert_same_step(run(model, image, visible), expected, tolerance=1e-9)


@pytest.mark.parametrize("backend", ALL_BACKENDS)
@pytest.mark.parametrize("replacement", [7.0, float("nan")])
@pytest.mark.parametrize(("spatial_dims", "name", "size"), SQUARE_AND_CUBE)
def test_masked_pixels_never_reach_the_encoder(
    backend: str, replacement: float, spatial_dims: int, name: str, size: tuple[int, ...]
) -> None:
    model = make_model(spatial_dims, name, backend=backend)
    image = make_image(model, size, batch=2)
    visible = model.draw_visible(image)
    changed = torch.where(expand_mask(visible, image.shape[2:]), image, replacement)
    assert not torch.equal(changed, image)
    for before, after in zip(model.encode(image, visible), model.encode(changed, visible), strict=True):
        assert torch.equal(before.to_dense(), after.to_dense())


@pytest.mark.parametrize("backend", ALL_BACKENDS)
@pytest.mark.parametrize(("spatial_dims", "name", "size"), SQUARE_AND_CUBE)
def test_feature_maps_are_zero_at_masked_positions(
    backend: str, spatial_dims: int, name: str, size: tuple[int, ...]
) -> None:
    model = make_model(spatial_dims, name, backend=backend)
    image = make_image(model, size, batch=2)
    visible = model.draw_visible(image)
    for features in model.encode(image, visible):
        dense = features.to_dense()
        mask = torch.nn.functional.interpolate(visible.double(), size=dense.shape[2:])
        assert torch.count_nonzero(dense * (1 - mask)) == 0
        assert torch.count_nonzero(dense * mask) > 0


@pytest.mark.parametrize("backend", ALL_BACKENDS)
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_with_everything_visible_the_sparse_encoder_is_the_dense_resnet(backend: str, spatial_dims: int) -> None:
    model = make_model(spatial_dims, backend=backend)
    image = make_image(model, (64, 64, 32)[:spatial_dims], batch=2)
    dense = copy.deepcopy(model.encoder)
    maps: list[Tensor] = []
    for stage in (dense.layer1, dense.layer2, dense.layer3, dense.layer4):
        stage.register_forward_hook(lambda module, args, output: maps.append(output))
    dense(image)
    everything = torch.ones(2, 1, *(s // 32 for s in image.shape[2:]), dtype=torch.bool)
    for got, expected in zip(model.encode(image, everything), maps, strict=True):
        torch.testing.assert_close(got.to_dense(), expected, rtol=1e-9, atol=1e-9)
    for name, value in dense.named_buffers():
        torch.testing.assert_close(model.encoder.get_buffer(name), value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("backend", ALL_BACKENDS)
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_running_statistics_come_from_visible_pixels_only(backend: str, spatial_dims: int) -> None:
    model = make_model(spatial_dims, "thin", backend=backend)
    image = make_image(model, (64,) * spatial_dims, batch=2)
    visible = torch.zeros(2, 1, *(2,) * spatial_dims, dtype=torch.bool)
    visible.view(2, -1)[[0, 1], [0, -1]] = True  # the first patch of one image, the last of the other
    model.encode(image, visible)
    first, last = (..., *[slice(None, 32)] * spatial_dims), (..., *[slice(32, None)] * spatial_dims)
    convolve = torch.nn.functional.conv2d if spatial_dims == 2 else torch.nn.functional.conv3d
    response = convolve(torch.cat([image[:1][first], image[1:][last]]), model.encoder.conv1.weight, stride=2, padding=3)
    mean = response.transpose(0, 1).flatten(1).mean(1)
    torch.testing.assert_close(model.encoder.bn1.running_mean, 0.1 * mean)


def test_the_stock_resnet_loads_the_encoder_with_no_missing_and_no_unexpected_key() -> None:
    model = make_model(name="resnet50")
    stock = nets.resnet50(
        spatial_dims=2, n_input_channels=1, conv1_t_stride=2, bias_downsample=False, feed_forward=False
    ).double()
    result = stock.load_state_dict(model.encoder.state_dict())
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    image = make_image(model, (64, 64))
    torch.testing.assert_close(stock.eval()(image), model.encoder.eval()(image))


@pytest.mark.parametrize(("fraction", "kept"), [(0.6, 20), (0.0, 49), (0.25, 37), (0.9, 5)])
def test_every_sample_keeps_the_rounded_number_of_patches(fraction: float, kept: int) -> None:
    model = make_model(masked_fraction=fraction)
    visible = model.draw_visible(make_image(model, (224, 224), batch=5))
    assert visible.shape == (5, 1, 7, 7)
    assert visible.sum((1, 2, 3)).tolist() == [kept] * 5


def test_of_a_volume_every_sample_keeps_as_many_of_its_patches_all_along_its_three_axes() -> None:
    model = make_model(3, "thin")
    visible = model.draw_visible(torch.zeros(64, 1, 96, 64, 32, dtype=torch.float64))
    assert visible.shape == (64, 1, 3, 2, 1)
    assert visible.sum((1, 2, 3, 4)).tolist() == [2] * 64
    assert visible.any(dim=0).all(), "every place is drawn some time"


def test_masks_are_drawn_anew_for_each_sample_and_repeat_with_the_generator() -> None:
    model = make_model()
    image = make_image(model, (224, 224), batch=4)
    first = model.draw_visible(image, torch.Generator().manual_seed(3))
    assert torch.equal(first, model.draw_visible(image, torch.Generator().manual_seed(3)))
    assert not torch.equal(first[0], first[1])
    torch.manual_seed(5)
    _, drawn = model(image, return_visible=True)
    torch.manual_seed(5)
    assert torch.equal(drawn, model.draw_visible(image))


def test_densify_normalises_fills_with_the_mask_token_and_projects() -> None:
    model = make_model()
    image = make_image(model, (64, 64), batch=4)
    visible = model.draw_visible(image)
    maps = model.encode(image, visible)
    dense = maps[-1].to_dense()  # (4, 512, 2, 2)
    rows = dense.movedim(1, -1)[visible[:, 0]]
    normalised = (rows - rows.mean(0)) / (rows.var(0, correction=0) + 1e-5).sqrt()
    expected = model.mask_tokens[0].detach().expand_as(dense).clone()
    expected.movedim(1, -1)[visible[:, 0]] = normalised
    expected = torch.nn.functional.conv2d(
        expected, model.densify_projections[0].weight, model.densify_projections[0].bias
    )
    torch.testing.assert_close(model.densify(maps)[0], expected)


def test_the_projection_of_the_deepest_level_is_the_identity_where_widths_match() -> None:
    model = SparK(build_encoder("resnet18"), SparKDecoder(512))
    assert isinstance(model.densify_projections[0], torch.nn.Identity)
    assert [p.kernel_size for p in list(model.densify_projections)[1:]] == [(3, 3)] * 3
    assert make_model().densify_projections[0].kernel_size == (1, 1)


def test_stochastic_depth_rises_to_its_rate_and_rests_in_evaluation_mode() -> None:
    model = make_model(drop_path_rate=0.05)
    assert model.drop_path_rates[0] == 0.0
    assert model.drop_path_rates[-1] == pytest.approx(0.05)
    model.drop_path_rates = [0.9] * len(model.drop_path_rates)
    image = make_image(model, (64, 64))
    visible = model.draw_visible(image)
    assert not torch.equal(model.encode(image, visible)[-1].to_dense(), model.encode(image, visible)[-1].to_dense())
    model.eval()
    assert torch.equal(model.encode(image, visible)[-1].to_dense(), model.encode(image, visible)[-1].to_dense())


def test_a_dropped_branch_leaves_the_shortcut_and_a_kept_one_is_scaled() -> None:
    model = make_model(drop_path_rate=0.5)
    model.encoder.eval()  # fixed statistics: every sample is independent of the others
    image = make_image(model, (32, 32), batch=2)
    visible = torch.ones(2, 1, 1, 1, dtype=torch.bool)
    factors = torch.tensor([0.0, 2.0])
    features = model.encode(image, visible)[-1]
    scaled = features.scale_samples(factors).to_dense()
    assert torch.count_nonzero(scaled[0]) == 0
    torch.testing.assert_close(scaled[1], 2 * features.to_dense()[1])


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101"])
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_every_encoder_of_the_study_is_accepted(name: str, spatial_dims: int) -> None:
    encoder = build_encoder(name, spatial_dims=spatial_dims)
    model = SparK(encoder, SparKDecoder(32, spatial_dims=spatial_dims))
    image = torch.rand(2, 1, *(64, 32, 32)[:spatial_dims])
    assert model(image).shape == image.shape
    assert encoder_stride(encoder) == 32
    assert len(encoder_widths(encoder)) == 4


@pytest.mark.parametrize("in_channels", [1, 3])
def test_images_of_one_and_three_channels_are_reconstructed(in_channels: int) -> None:
    model = make_model(in_channels=in_channels)
    image = make_image(model, (64, 64))
    assert model(image).shape == image.shape


def test_an_encoder_without_max_pooling_gives_smaller_patches() -> None:
    encoder = nets.resnet18(
        spatial_dims=2,
        n_input_channels=1,
        conv1_t_stride=2,
        no_max_pool=True,
        bias_downsample=False,
        feed_forward=False,
    )
    model = SparK(encoder, SparKDecoder(32, levels=4))
    assert model.patch_size == 16
    assert model(torch.rand(2, 1, 48, 48)).shape == (2, 1, 48, 48)


def test_bf16_autocast_stays_close_to_single_precision() -> None:
    model = make_model().float()
    image = make_image(model, (64, 64), batch=8).float()
    visible = model.draw_visible(image)
    with torch.no_grad():
        expected = model(image, visible)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got = model(image, visible)
    assert got.dtype == torch.bfloat16
    assert float(torch.nn.functional.cosine_similarity(got.float().flatten(), expected.flatten(), dim=0)) > 0.99


def test_two_masks_in_flight_do_not_disturb_each_other() -> None:
    """The mask travels with the features: interleaved passes give what separate passes give."""
    model = make_model().eval()
    image = make_image(model, (64, 64))
    first, second = (model.draw_visible(image) for _ in range(2))
    maps_first, maps_second = model.encode(image, first), model.encode(image, second)
    torch.testing.assert_close(model.densify(maps_first)[0], model.densify(model.encode(image, first))[0])
    torch.testing.assert_close(model.densify(maps_second)[0], model.densify(model.encode(image, second))[0])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 1, 60, 64), r"patch size 32.*nearest size is \(64, 64\)"),
        ((2, 3, 64, 64), "in_channels"),
        ((1, 64, 64), r"\(B, C, H, W\)"),
    ],
)
def test_an_image_that_does_not_fit_is_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_model()(torch.rand(*shape))


def test_a_mask_that_does_not_fit_is_refused() -> None:
    model = make_model()
    image = make_image(model, (64, 64), batch=2)
    with pytest.raises(ValueError, match="True = visible"):
        model(image, torch.ones(2, 1, 2, 2))
    with pytest.raises(
        ValueError, match=r"without any visible patch for 2 images of 64 x 64 pixels.*hide 0.6 of the 4"
    ):
        model(image, torch.zeros(2, 1, 2, 2, dtype=torch.bool))


def test_an_image_of_which_no_patch_would_be_visible_is_refused_with_the_fraction_and_its_size() -> None:
    model = make_model()
    message = (
        r"masks 0.6 of an image of 32 x 32 pixels, which has 1 patches of 32.*masked_fraction below 0.5, or larger"
    )
    with pytest.raises(ValueError, match=message):
        model(make_image(model, (32, 32), batch=2))
    model.masked_fraction = 0.49
    assert model.draw_visible(make_image(model, (32, 32), batch=2)).all()


def test_options_out_of_range_are_refused_with_the_valid_ones() -> None:
    encoder, decoder = build_encoder("resnet18"), SparKDecoder(32)
    with pytest.raises(ValueError, match="masked_fraction"):
        SparK(encoder, decoder, masked_fraction=1.0)
    with pytest.raises(ValueError, match="'active_blocks', 'masked_dense'"):
        SparK(encoder, decoder, backend="dense")
    with pytest.raises(ValueError, match="must agree"):
        SparK(encoder, SparKDecoder(32, levels=4))
    with pytest.raises(ValueError, match="must agree"):
        SparK(encoder, SparKDecoder(32, spatial_dims=3))
    with pytest.raises(ValueError, match="multiple of 32"):
        SparKDecoder(100)
    with pytest.raises(ValueError, match="resnet18, resnet34"):
        build_encoder("resnet19")


def test_layers_without_a_sparse_counterpart_are_named() -> None:
    with pytest.raises(TypeError, match="DenseNet121"):
        SparK(nets.DenseNet121(spatial_dims=2, in_channels=1, out_channels=2), SparKDecoder(32))
    shortcut_a = nets.ResNetFeatures("resnet18", pretrained=False, spatial_dims=2, in_channels=1)
    with pytest.raises(TypeError, match='shortcut_type="B"'):
        SparK(shortcut_a, SparKDecoder(32))
    model = make_model()
    model.encoder.maxpool = torch.nn.AvgPool2d(3, 2, 1)
    with pytest.raises(TypeError, match="AvgPool2d"):
        model(make_image(model, (64, 64)))
    model.encoder.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, dilation=2).double()
    with pytest.raises(TypeError, match="dilation"):
        model(make_image(model, (64, 64)))
