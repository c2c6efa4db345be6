"""What is said follows from numbers: copies differ in nothing, chance is not claimed, real differences are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.opened_encoders import SIZE, judged_pictures, tiny_encoder
from monai_ext.metrics.classification import Estimate
from monai_ext.metrics.group_jackknife import JackknifeEstimate
from monai_ext.networks.batch_statistics import temporary_batch_statistics
from monai_ext.networks.stage_maps import STAGES
from monai_ext.study.layers import Budget, JudgedImages, LayerResults, OpenedEncoder, compare_layers, measure_layers
from monai_ext.study.layers.results import MEASURES, Difference, _corrected
from monai_ext.study.layers.sentences import claims, limits, summary_sentences

SMALL = Budget(similarity_batch=24, frequency_images=24, field_images=16)


def compared(encoders: list[OpenedEncoder], judged: JudgedImages, **options: float) -> LayerResults:
    measured = [measure_layers(e, judged, device=torch.device("cpu"), budget=SMALL) for e in encoders]
    return compare_layers(encoders, judged, measured, **options)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> JudgedImages:
    return judged_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def results(judged: JudgedImages) -> LayerResults:
    """A copy of the untrained encoder, and one that is not."""
    encoders = [
        replace(tiny_encoder("scratch", trained=False), name="copy", trained=True),
        tiny_encoder("<b>other</b>", seed=3),
        tiny_encoder("scratch", trained=False),
    ]
    return compared(encoders, judged)


def test_a_network_is_like_itself_and_not_like_another(results: LayerResults) -> None:
    for stage in STAGES:
        own, other = (results.alike((name, stage), ("scratch", stage)) for name in ("scratch", "<b>other</b>"))
        assert own.value == pytest.approx(1)
        assert other.value < 0.999
        assert own.error < 1e-9


def test_fields_and_shares_are_within_their_limits(results: LayerResults) -> None:
    for key in results.keys:
        assert 0 < results.values["field_half"][key].value < results.values["field_most"][key].value
        assert 0 < results.values["high_share"][key].value < 1
        assert results.values["high_share_seen"][key].value < 1
        assert results.values["rank"][key].value >= 1
    assert results.values["field_most"]["scratch", "stem"].value <= results.fields["scratch", "stem"].side + 1


def test_the_same_network_with_the_same_statistics_is_not_claimed_to_differ(judged: JudgedImages) -> None:
    """The statistics are those that random weights would be given: of all images, which are all that are judged."""
    untrained = tiny_encoder("scratch", trained=False)
    trained = replace(tiny_encoder("a"), network=tiny_encoder("a").network)
    images = judged.opened(image_size=SIZE, window="full", channels=1)
    batches = [torch.stack([images[int(n)] for n in part]) for part in np.split(judged.spread(48), [32])]
    with temporary_batch_statistics(trained.network, trained.network, batches):
        results = compared([trained, untrained], judged)
    assert not any(claims(results.differences[measure]) for measure in MEASURES)
    assert all(found.estimate.value == 0 for measure in MEASURES for found in results.differences[measure])


@pytest.mark.parametrize("seed", range(3))
def test_chance_is_hardly_ever_claimed(seed: int) -> None:
    """Of two hundred pages whose differences are nothing but chance, one in twenty may have a claim at most."""
    generator = np.random.default_rng(seed)
    pages = 0
    for _ in range(200):
        rows = []
        for encoder in range(4):
            for stage in STAGES:
                blocks = generator.normal(size=20)
                chance = JackknifeEstimate(blocks.mean(), (blocks.sum() - blocks) / 19)
                rows.append(((f"e{encoder}", stage), ("scratch", stage), chance.estimate, chance.p_value))
        pages += bool(claims(_corrected("rank", rows)))
    assert pages <= 20


def difference(value: float, *, less: str, p_holm: float = 0.001) -> Difference:
    estimate = Estimate(value, value - 0.5, value + 0.5)
    return Difference("rank", ("SparK", "layer4"), (less, "layer4"), estimate, p_holm)


def test_what_lies_between_two_beginnings_is_not_claimed() -> None:
    assert not claims([difference(-3, less="scratch"), difference(2, less="start")])
    assert not claims([difference(-3, less="scratch"), difference(-0.2, less="start")])
    assert not claims([difference(-3, less="scratch"), difference(-2, less="start", p_holm=0.2)])


def test_a_claim_names_the_nearest_beginning() -> None:
    (found,) = claims([difference(-3, less="scratch"), difference(-2, less="start")])
    assert found.estimate.value == -2


def test_sentences_name_numbers_and_null_sentences_claim_nothing(results: LayerResults) -> None:
    large = [difference(-3, less="scratch"), difference(-2, less="start")]
    said = summary_sentences(replace(results, differences=results.differences | {"rank": large}))
    assert (
        "Effective rank: that of SparK is lower than those of untrained weights at layer4 (-2.0 [-2.5, -1.5]), from the"
        " nearest of them; corrected p .001." in said
    )
    small = [difference(0.1, less="scratch", p_holm=0.9)]
    said = summary_sentences(replace(results, differences=dict.fromkeys(results.differences, small)))
    assert not any(word in sentence for sentence in said for word in (" is higher ", " is lower ", "most alike"))
    assert any("no encoder is told apart from all untrained weights at any layer" in sentence for sentence in said)


def test_without_an_untrained_encoder_of_its_kind_nothing_is_compared(results: LayerResults) -> None:
    alone = replace(results, encoders=[replace(e, image_size=32) if e.trained else e for e in results.encoders])
    assert alone.references(alone.encoders[0]) == []
    assert any("differ in architecture or image size" in sentence for sentence in limits(alone))


def test_limits_say_what_was_not_looked_at(results: LayerResults) -> None:
    said = " ".join(limits(results))
    assert "24 images of the published test section were not looked at" in said
    assert "24 patients: below 40" in said


def test_a_cut_that_leaves_one_side_empty_is_refused_before_anything_is_said(judged: JudgedImages) -> None:
    with pytest.raises(ValueError, match=r"Choose a cut from 2 to 16\."):
        compared([tiny_encoder("a")], judged, cut=40)
