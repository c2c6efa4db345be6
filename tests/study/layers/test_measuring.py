"""What is measured of an encoder: against filters and sums that can be worked out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.opened_encoders import SIZE, judged_pictures, tiny_encoder
from monai_ext.metrics import effective_rank
from monai_ext.metrics.frequency_bands import octave_bands
from monai_ext.networks.stage_maps import STAGES, stage_maps
from monai_ext.study.layers import Budget, JudgedImages, OpenedEncoder, measure_layers

CPU = torch.device("cpu")
SMALL = Budget(batch_size=16, similarity_batch=24, frequency_images=16, field_images=8)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> JudgedImages:
    return judged_pictures(tmp_path_factory.mktemp("pictures"))


def with_stem(kernel: torch.Tensor) -> OpenedEncoder:
    """Every channel of the stem is one filter, shifted up so that nothing is cut off by the activation."""
    encoder = tiny_encoder("filter")
    encoder.network.conv1.weight[:] = kernel
    encoder.network.bn1.bias.fill_(100)
    return encoder


def test_the_stem_reacts_to_each_band_as_its_filter_lets_it_pass(judged: JudgedImages) -> None:
    """Of a 7 x 7 box: the mean of the squared transfer function over the band's frequencies."""
    kernel = torch.full((7, 7), 1 / 49)
    found = measure_layers(with_stem(kernel), judged, device=CPU, budget=SMALL).frequencies
    response = np.abs(np.fft.fft2(kernel.numpy(), s=(SIZE, SIZE))) ** 2
    axis = np.fft.fftfreq(SIZE) * SIZE
    radius = np.hypot(axis[:, None], axis[None])
    passed = np.array(
        [response[(radius >= low) & (radius < high + (high == SIZE / 2))].mean() for low, high in octave_bands(SIZE)]
    )
    changes = found.changes["stem"].sum(axis=0)
    assert changes / changes[0] == pytest.approx(passed / passed[0], rel=0.25, abs=0.01)
    assert changes[-1] < 0.02 * changes[0]


def test_a_filter_of_differences_reacts_to_fine_noise_most(judged: JudgedImages) -> None:
    kernel = torch.zeros(7, 7)
    kernel[3, 2:5] = torch.tensor([-1.0, 2.0, -1.0])
    changes = (
        measure_layers(with_stem(kernel), judged, device=CPU, budget=SMALL).frequencies.changes["stem"].sum(axis=0)
    )
    assert (np.diff(changes) > 0).all()


def test_ranks_and_averages_are_those_of_the_maps(judged: JudgedImages) -> None:
    encoder = tiny_encoder("tiny")
    budget = Budget(batch_size=7, similarity_batch=24, positions=10_000, frequency_images=8, field_images=8)
    found = measure_layers(encoder, judged, device=CPU, budget=budget)
    images = judged.opened(image_size=SIZE, window="full", channels=1)
    maps = stage_maps(encoder.network, torch.stack([images[number] for number in range(len(images))]))
    for name in STAGES:
        assert found.features[name] == pytest.approx(maps[name].mean(dim=(2, 3)).numpy(), abs=1e-5)
        vectors = maps[name].transpose(0, 1).flatten(1).T
        assert found.map_rank[name] == pytest.approx(effective_rank(vectors), rel=1e-3)
    assert sorted(np.concatenate(found.batches).tolist()) == list(range(48))
    assert [len(gram) for gram in found.grams["layer4"]] == [len(batch) for batch in found.batches] == [24, 24]


def test_random_weights_take_the_statistics_of_the_images_and_keep_none(judged: JudgedImages) -> None:
    encoder = tiny_encoder("untrained", trained=False)
    before = {name: value.clone() for name, value in encoder.network.state_dict().items()}
    found = measure_layers(encoder, judged, device=CPU, budget=SMALL)
    trained = measure_layers(tiny_encoder("trained"), judged, device=CPU, budget=SMALL)
    assert not np.allclose(found.features["layer4"], trained.features["layer4"])
    assert all(torch.equal(value, before[name]) for name, value in encoder.network.state_dict().items())


def test_progress_counts_what_was_announced_and_the_same_seed_gives_the_same_numbers(judged: JudgedImages) -> None:
    counts: list[int] = []
    first, second = (
        measure_layers(tiny_encoder("tiny"), judged, device=CPU, budget=SMALL, progress=counts.append) for _ in range(2)
    )
    assert sum(counts) == 2 * SMALL.steps(48)
    assert np.array_equal(first.frequencies.changes["layer2"], second.frequencies.changes["layer2"])
    assert np.array_equal(first.gradients["layer2"], second.gradients["layer2"])
    assert first.gradients["layer2"].shape == (20, SIZE, SIZE)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_gives_the_same_numbers(judged: JudgedImages) -> None:
    here, there = (
        measure_layers(tiny_encoder("tiny"), judged, device=torch.device(name), budget=SMALL)
        for name in ("cpu", "cuda")
    )
    assert there.features["layer4"] == pytest.approx(here.features["layer4"], rel=0.02, abs=1e-3)
    assert there.frequencies.changes["stem"] == pytest.approx(here.frequencies.changes["stem"], rel=0.05)
