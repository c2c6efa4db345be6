"""Small SparK models, images and masks for the tests of sparse execution."""

from __future__ import annotations

import copy
import importlib.util

import pytest
import torch
from monai.networks import nets
from torch import Tensor

from monai_ext.losses import MaskedReconstructionLoss
from monai_ext.networks import SparK, SparKDecoder, build_encoder

needs_minkowski_engine = pytest.mark.skipif(
    importlib.util.find_spec("MinkowskiEngine") is None,
    reason="MinkowskiEngine is not installed; `bash scripts/install_minkowski.sh` builds it",
)

FAST_BACKENDS = [
    pytest.param("active_blocks"),
    pytest.param("minkowski", marks=needs_minkowski_engine),
]
ALL_BACKENDS = [pytest.param("masked_dense"), *FAST_BACKENDS]

CASES_2D_AND_3D = [
    pytest.param(2, "resnet18", (64, 96), id="2d-basic-not-square"),
    pytest.param(2, "resnet50", (64, 64), id="2d-bottleneck"),
    pytest.param(3, "thin", (64, 32, 64), id="3d-basic-not-cubic"),
]
SQUARE_AND_CUBE = [
    pytest.param(2, "resnet18", (96, 64), id="2d"),
    pytest.param(3, "thin", (64, 64, 32), id="3d"),
]


def make_model(spatial_dims: int = 2, name: str = "resnet18", *, in_channels: int = 1, **options: object) -> SparK:
    torch.manual_seed(0)
    if name == "thin":  # a MONAI ResNet with few channels, where 3D in double precision would take long
        layout = {"conv1_t_stride": 2, "bias_downsample": False, "feed_forward": False}
        encoder = nets.ResNet("basic", [1, 2, 1, 1], [8, 16, 32, 64], spatial_dims, in_channels, **layout)
    else:
        encoder = build_encoder(name, spatial_dims=spatial_dims, in_channels=in_channels, zero_init_last_norm=False)
    decoder = SparKDecoder(32, out_channels=in_channels, spatial_dims=spatial_dims)
    return SparK(encoder, decoder, **options).double()  # type: ignore[arg-type]


def make_image(model: SparK, size: tuple[int, ...], batch: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(batch, model.in_channels, *size, dtype=torch.float64, generator=generator)


def make_mask(kind: str, model: SparK, image: Tensor) -> Tensor:
    visible = model.draw_visible(image, torch.Generator().manual_seed(2))
    flat = visible.view(len(image), -1)
    if kind == "all visible":
        flat.fill_(True)
    elif kind == "one visible":
        flat.fill_(False)
        flat[:, 0] = True
    elif kind == "uneven":  # a full sample, an empty one, and one in between
        flat[0], flat[1] = True, False
    return visible


def run(model: SparK, image: Tensor, visible: Tensor) -> dict[str, Tensor]:
    """Loss, dense feature maps, gradients and running statistics of one step on a fresh copy of the model."""
    model = copy.deepcopy(model)
    maps = model.encode(image, visible)
    prediction = model.decoder(model.densify(maps))
    hidden = visible.clone()
    hidden.view(len(image), -1)[:, -1] = False  # a mask with everything visible has no loss of its own
    loss = MaskedReconstructionLoss()(prediction, image, hidden)
    loss.backward()
    results = {"loss": loss.detach(), "prediction": prediction.detach()}
    results |= {f"map {i}": features.to_dense().detach() for i, features in enumerate(maps)}
    results |= {f"gradient of {name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    results |= {name: buffer for name, buffer in model.named_buffers() if "running" in name}
    return results


def assert_same_step(got: dict[str, Tensor], expected: dict[str, Tensor], *, tolerance: float) -> None:
    """Compare two results of :func:`run`; differences are relative to each tensor's largest value."""
    assert got.keys() == expected.keys()
    largest = max(float(v.abs().max()) for k, v in expected.items() if k.startswith("gradient"))
    for key, value in expected.items():
        # a gradient that is zero on paper is rounding noise: compare it with the size of all gradients
        scale = max(float(value.abs().max()), 1e-6 * largest if key.startswith("gradient") else 0.0)
        assert float((got[key] - value).abs().max()) <= tolerance * scale, key
