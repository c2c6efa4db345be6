"""MinkowskiEngine as a backend: its layers give the reference's numbers; what it cannot compute is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.spark_models import make_image, make_mask, make_model, needs_minkowski_engine, run
from monai_ext.networks import MaskedDense, MinkowskiFeatures, expand_mask

pytestmark = needs_minkowski_engine

MASK_2D = torch.tensor([[[[True, False, False], [True, True, False]]], [[[False, False, True], [False, True, False]]]])
MASK_3D = MASK_2D[..., None].repeat(1, 1, 1, 1, 2) ^ torch.tensor([False, True])
MASKS = [pytest.param(MASK_2D, id="2d"), pytest.param(MASK_3D, id="3d")]


def random_image(visible: Tensor, channels: int = 2, side: int = 8) -> Tensor:
    size = [patches * side for patches in visible.shape[2:]]
    generator = torch.Generator().manual_seed(1)
    return torch.randn(len(visible), channels, *size, dtype=torch.float64, generator=generator)


def both(image: Tensor, visible: Tensor) -> tuple[MinkowskiFeatures, MaskedDense]:
    return MinkowskiFeatures.from_image(image, visible), MaskedDense.from_image(image, visible)


def layer(name: str, visible: Tensor, *arguments: object, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return getattr(nn, f"{name}{visible.ndim - 2}d")(*arguments, **options).double()


@pytest.mark.parametrize("visible", MASKS)
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "stride": 2, "padding": 1, "bias": False},
        {"kernel_size": 7, "stride": 2, "padding": 3},
        {"kernel_size": 1, "stride": 2},
        {"kernel_size": 1},
        {"kernel_size": 3, "dilation": 2, "padding": 2},
    ],
)
def test_a_convolution_and_its_gradients_are_the_masked_dense_ones(visible: Tensor, options: dict[str, int]) -> None:
    module = layer("Conv", visible, 2, 3, **options)
    image = random_image(visible).requires_grad_()
    results = []
    for features in both(image, visible):
        dense = features.convolve(module).to_dense()
        weights = torch.linspace(-1, 1, dense.numel(), dtype=dense.dtype).view_as(dense)
        results.append((dense, *torch.autograd.grad((dense * weights).sum(), [image, *module.parameters()])))
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_the_kernel_lies_as_in_torch() -> None:
    """One bright pixel draws the kernel, turned by half a turn, around itself."""
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 3, 5] = 1.0
    module = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    module.weight.data = torch.arange(1.0, 10.0).view(1, 1, 3, 3)
    result = MinkowskiFeatures.from_image(image, torch.ones(1, 1, 1, 1, dtype=torch.bool)).convolve(module).to_dense()
    assert result[0, 0, 2:5, 4:7].tolist() == [[9.0, 8.0, 7.0], [6.0, 5.0, 4.0], [3.0, 2.0, 1.0]]
    assert torch.count_nonzero(result) == 9


def test_kernels_may_differ_between_axes() -> None:
    module = layer("Conv", MASK_3D, 2, 3, (7, 3, 1), stride=(2, 2, 1), padding=(3, 1, 0))
    image = random_image(MASK_3D)
    got, expected = (features.convolve(module).to_dense() for features in both(image, MASK_3D))
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("visible", MASKS)
def test_masked_neighbours_count_as_zero_in_a_maximum_and_the_outside_does_not(visible: Tensor) -> None:
    module = layer("MaxPool", visible, 3, 2, 1)
    image = (random_image(visible) - 10.0).requires_grad_()  # below zero: a masked neighbour is the maximum
    results = []
    for features in both(image, visible):
        dense = features.pool(module).to_dense()
        results.append((dense, *torch.autograd.grad((dense * dense).sum(), image)))
    for got, expected in zip(*results, strict=True):
        assert torch.equal(got, expected)
    assert bool((results[0][0] == 0).logical_and(expand_mask(visible, results[0][0].shape[2:])).any())


def test_among_equal_maxima_the_gradient_takes_torchs_way() -> None:
    """Air around a patient is flat, so that equal values in a window are the rule in CT."""
    image = torch.ones(2, 1, 24, 24, dtype=torch.float64)[:, :, :16].requires_grad_()
    pool = nn.MaxPool2d(3, 2, 1)
    gradients = []
    for features in both(image, MASK_2D):
        dense = features.pool(pool).to_dense()
        weights = torch.arange(1.0, dense.numel() + 1, dtype=dense.dtype).view_as(dense)
        gradients += torch.autograd.grad((dense * weights).sum(), image)
    assert torch.equal(*gradients)


@pytest.mark.parametrize("visible", MASKS)
def test_points_exist_exactly_at_visible_patches_at_every_resolution(visible: Tensor) -> None:
    features = MinkowskiFeatures.from_image(random_image(visible, channels=1), visible)
    ones = layer("Conv", visible, 1, 1, 3, stride=2, padding=1)
    nn.init.zeros_(ones.weight)
    nn.init.ones_(ones.bias)
    for side in (4, 2, 1):
        features = features.convolve(ones)
        dense = features.to_dense()
        assert dense.shape[2:] == torch.Size(patches * side for patches in visible.shape[2:])
        assert torch.equal(dense != 0, expand_mask(visible, dense.shape[2:]))


def test_a_mask_of_single_pixels_is_computed_as_well() -> None:
    """Not only whole patches: a coarser point is active when one of its pixels is visible."""
    visible = torch.rand(2, 1, 16, 24, generator=torch.Generator().manual_seed(3)) < 0.1
    image = random_image(visible, side=1)
    first, second = (layer("Conv", visible, 2, 2, 3, stride=2, padding=1) for _ in range(2))
    got = MinkowskiFeatures.from_image(image, visible).convolve(first).convolve(second).to_dense()
    expected = image * visible
    for module, factor in ((first, 2), (second, 4)):
        expected = module(expected) * (F.max_pool2d(visible.double(), factor) > 0)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_in_single_precision_a_step_is_as_exact_as_the_reference(spatial_dims: int) -> None:
    """Batch norm over few points amplifies rounding: both are compared with the reference in double precision."""
    model = make_model(spatial_dims, "thin", backend="masked_dense")
    image = make_image(model, (64, 64, 32)[:spatial_dims])
    visible = make_mask("drawn", model, image)
    exact, model = run(model, image, visible), model.float()
    steps = {}
    for backend in ("masked_dense", "minkowski"):
        model.backend = backend
        steps[backend] = run(model, image.float(), visible)
    for kind in ("loss", "map", "gradient of encoder"):
        got, expected = (distance(steps[backend], exact, kind) for backend in ("minkowski", "masked_dense"))
        assert got <= 3 * expected + 1e-6, kind


def distance(step: dict[str, Tensor], exact: dict[str, Tensor], kind: str) -> float:
    """Relative distance of all results whose name starts with ``kind``, taken together."""
    results, truth = (torch.cat([v.flatten() for k, v in s.items() if k.startswith(kind)]) for s in (step, exact))
    return float((results - truth).norm() / truth.norm())


def test_stochastic_depth_drops_the_samples_that_the_reference_drops() -> None:
    model = make_model(name="thin", drop_path_rate=0.8)
    image = make_image(model, (64, 64))
    visible = make_mask("drawn", model, image)
    maps = {}
    for backend in ("masked_dense", "minkowski"):
        model.backend = backend
        torch.manual_seed(7)
        maps[backend] = [features.to_dense() for features in model.encode(image, visible)]
    for got, expected in zip(maps["minkowski"], maps["masked_dense"], strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


def test_the_state_dict_is_that_of_any_other_backend() -> None:
    model, other = make_model(name="thin", backend="minkowski"), make_model(name="thin")
    image = make_image(model, (64, 64))
    model(image).sum().backward()
    assert list(model.state_dict()) == list(other.state_dict())
    assert list(dict(model.named_parameters())) == list(dict(other.named_parameters()))
    assert all(p.grad is not None for p in model.encoder.parameters())


def test_autocast_leaves_the_encoder_in_single_precision() -> None:
    model = make_model(name="thin", backend="minkowski").float().eval()
    image = make_image(model, (64, 64)).float()
    visible = make_mask("drawn", model, image)
    expected = model.encode(image, visible)[-1].to_dense()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = model.encode(image, visible)[-1].to_dense()
    assert torch.equal(got, expected)


def test_a_nan_stays_visible_and_its_gradient_harms_nothing() -> None:
    """MinkowskiEngine's own pooling gives a finite number for it, and writes its gradient out of bounds."""
    image = random_image(MASK_2D)
    image[0, 0, :3, :3] = float("nan")
    image.requires_grad_()
    pooled = MinkowskiFeatures.from_image(image, MASK_2D).pool(nn.MaxPool2d(3, 2, 1)).to_dense()
    assert not torch.isfinite(pooled[0, 0, 0, 0])
    assert torch.isfinite(pooled[1]).all()
    pooled[1].sum().backward()
    assert torch.isfinite(image.grad).all()


def test_the_number_of_threads_stays_as_it_was() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        MinkowskiFeatures.from_image(random_image(MASK_2D), MASK_2D).convolve(
            layer("Conv", MASK_2D, 2, 2, 3, padding=1)
        )
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_a_batch_without_any_visible_patch_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one in the batch"):
        MinkowskiFeatures.from_image(random_image(MASK_2D), torch.zeros_like(MASK_2D))


def test_a_tensor_on_a_gpu_is_refused_by_a_build_for_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnGpu(Tensor):
        is_cuda = True

    from monai_ext.networks.spark.minkowski_engine import minkowski_engine

    monkeypatch.setattr(minkowski_engine(), "is_cuda_available", lambda: False)
    with pytest.raises(ValueError, match=r"built without CUDA.*install_minkowski.sh --rebuild"):
        MinkowskiFeatures.from_image(random_image(MASK_2D), MASK_2D.as_subclass(OnGpu))


@pytest.mark.parametrize(
    ("method", "module", "message"),
    [
        ("convolve", nn.ConvTranspose2d(2, 2, 4, 2, 1), "ConvTranspose2d"),
        ("convolve", nn.Conv2d(2, 2, 4, 2, 1), "odd kernel sizes"),
        ("convolve", nn.Conv2d(2, 2, 3, padding=1, groups=2), "groups=2"),
        ("convolve", nn.Conv2d(2, 2, 3), "padding"),
        ("convolve", nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), "reflect"),
        ("convolve", nn.Conv2d(2, 2, 3, padding=1).bfloat16(), r"float32 and float64.*bfloat16"),
        ("convolve", nn.Conv2d(2, 2, 3, stride=3, padding=1), "strides that divide the patch"),
        ("pool", nn.AvgPool2d(3, 2, 1), "AvgPool2d"),
        ("pool", nn.MaxPool2d(2, 2), "odd kernel sizes"),
    ],
)
def test_a_layer_without_a_sparse_counterpart_is_named(method: str, module: nn.Module, message: str) -> None:
    features = MinkowskiFeatures.from_image(random_image(MASK_2D).float(), MASK_2D)
    with pytest.raises(TypeError, match=message):
        getattr(features, method)(module)
