"""Folded weights give an encoder that computes what they did, and that may be trained further."""

import importlib.util

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from monai_ext.networks import build_encoder
from monai_ext.networks.weights import load_encoder


@pytest.fixture(scope="module")
def script(repository):
    path = repository / "scripts" / "convert_folded_resnet18.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def converted(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("folded")
    generator = torch.Generator().manual_seed(0)
    source = folder / "source"
    source.mkdir()
    for name, part in build_encoder("resnet18", in_channels=3).named_modules():
        if isinstance(part, nn.Conv2d) and not name.startswith("layer4"):
            np.save(source / f"{name}.weight.npy", part.weight.detach().numpy())
            np.save(source / f"{name}.bias.npy", torch.randn(part.out_channels, generator=generator).numpy())
    pool = folder / "pool"
    pool.mkdir()
    for number in range(64):
        noise = torch.rand(40, 40, generator=generator)
        Image.fromarray((255 * noise).byte().numpy()).save(pool / f"{number}.png")
    encoder = folder / "out" / "encoder.pt"
    script.main([str(source), str(pool), str(encoder), "--image-size", "32"])
    return source, encoder


def test_the_stem_sees_a_gray_image_as_imagenet_normalises_it(script, converted):
    source, path = converted
    encoder = build_encoder("resnet18").eval()
    load_encoder(encoder, path)
    gray = torch.rand(2, 1, 64, 64)
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (script.MEAN, script.DEVIATION))
    weight, bias = (torch.from_numpy(np.load(source / f"conv1.{what}.npy")) for what in ("weight", "bias"))
    expected = F.conv2d((gray - mean) / deviation, weight, bias, stride=2, padding=3)
    found = encoder.bn1(encoder.conv1(gray))
    torch.testing.assert_close(found[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], atol=1e-4, rtol=1e-4)


def test_statistics_of_the_pool_do_not_change_what_is_computed(script, converted):
    source, path = converted
    folded, encoder = build_encoder("resnet18").eval(), build_encoder("resnet18").eval()
    script.read_folded(folded, source)
    load_encoder(encoder, path)
    encoder.layer4, folded.layer4 = nn.Identity(), nn.Identity()
    image = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(encoder(image), folded(image), atol=1e-3, rtol=1e-3)


def test_batch_norm_has_statistics_everywhere(converted):
    content = torch.load(converted[1], weights_only=True)
    assert "layer 4 random" in content["metadata"]["method"]
    for name, value in content["state_dict"].items():
        if name.endswith("running_mean"):
            assert value.abs().sum() > 0, name
