"""load_encoder: every known file gives the network the function of the file's encoder, or a sentence and no change."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.networks import nets
from monai.networks.nets import ResNet
from torch import Tensor, nn

from helpers.contrastive_models import LOSSES, small_method
from monai_ext.errors import WeightsError
from monai_ext.networks import SparK, SparKDecoder, build_encoder
from monai_ext.networks.weights import load_encoder

StateDict = dict[str, Any]


def make_resnet(
    *,
    channels: int = 3,
    classes: int | None = None,
    seed: int = 0,
    dims: int = 2,
    layers: tuple[int, ...] = (2, 2, 2, 2),
    stride: int = 2,
) -> ResNet:
    """A ResNet-18 with an eighth of the usual channels, in double precision, and with batch statistics of its own."""
    torch.manual_seed(seed)
    network = ResNet(
        "basic", list(layers), [8, 16, 32, 64], dims, channels, conv1_t_stride=stride, num_classes=classes or 1,
        feed_forward=classes is not None, bias_downsample=False,
    ).double()  # fmt: skip
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


def response(network: ResNet, image: Tensor) -> Tensor:
    """The encoder's output, without the head."""
    head, network.fc = network.fc, None
    with torch.no_grad():
        features = network.eval()(image)
    network.fc = head
    return features


def make_image(channels: int = 3, dims: int = 2) -> Tensor:
    return torch.rand(2, channels, *(32,) * dims, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def prefixed(prefix: str, weights: StateDict) -> StateDict:
    return {prefix + key: value for key, value in weights.items()}


def head(prefix: str) -> StateDict:
    return {f"{prefix}0.weight": torch.ones(4, 64), f"{prefix}1.running_mean": torch.zeros(4)}


def moco(weights: StateDict) -> StateDict:
    other = {key: value + 1 for key, value in weights.items()}
    tensors = {**prefixed("encoder_q.", weights), **prefixed("encoder_k.", other), "queue": torch.ones(128, 16)}
    return {"epoch": 3, "state_dict": {**tensors, "encoder_q.fc.weight": torch.ones(128, 64)}}


def byol(weights: StateDict) -> StateDict:
    other = {key: value + 1 for key, value in weights.items()}
    tensors = {**prefixed("target_network.encoder.", other), **prefixed("online_network.encoder.", weights)}
    return {"state_dict": {**tensors, **head("online_network.projector.model.")}}


def swav(weights: StateDict) -> StateDict:
    tensors = {**prefixed("model.", weights), **head("model.projection_head.")}
    return {"state_dict": {**tensors, "model.prototypes.weight": torch.ones(500, 4)}, "hyper_parameters": {"lr": 0.1}}


def spark_by_its_authors(weights: StateDict) -> StateDict:
    tensors = {**prefixed("sparse_encoder.sp_cnn.", weights), "dense_decoder.proj.bias": torch.ones(3)}
    return {"module": {**tensors, "config": {"mask_ratio": 0.6}}, "epoch": 1599}


def as_sequential(weights: StateDict) -> StateDict:
    numbers = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
    names = ((key.split(".", 1), value) for key, value in weights.items())
    return {f"{numbers[first]}.{rest}": value for (first, rest), value in names}


FILES: dict[str, tuple[Callable[[StateDict], StateDict], str]] = {
    "plain": (lambda weights: weights, "torchvision"),
    "with args": (lambda weights: {"model": weights, "args": argparse.Namespace(lr=0.1)}, "torchvision"),
    "module": (lambda weights: {"module": weights, "arch": "resnet50"}, "torchvision"),
    "data parallel": (lambda weights: {"state_dict": prefixed("module.", weights)}, "torchvision"),
    "sequential": (lambda weights: {**prefixed("backbone.", as_sequential(weights)), **head("head.")}, "RadImageNet"),
    "moco": (moco, "MoCo"),
    "moco data parallel": (lambda weights: prefixed("module.", moco(weights)["state_dict"]), "MoCo"),
    "byol": (byol, "BYOL"),
    "swav": (swav, "SwAV"),
    "swav plain": (lambda weights: {**prefixed("module.", weights), **head("module.projection_head.")}, "SwAV"),
    "sequential byol": (lambda weights: byol(as_sequential(weights)), "BYOL"),
    "spark by its authors": (spark_by_its_authors, "SparK pre-training by its authors"),
    "export": (
        lambda weights: {"state_dict": weights, "metadata": {"method": "SparK", "monai_ext_version": "0.1.0"}},
        "encoder export",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_the_network_computes_what_the_source_network_computes(name: str, tmp_path: Path) -> None:
    wrap, layout = FILES[name]
    source, network = make_resnet(seed=1), make_resnet(seed=2)
    torch.save(wrap(source.state_dict()), tmp_path / "file.pth")

    report = load_encoder(network, tmp_path / "file.pth")

    assert torch.equal(response(network, make_image()), response(source, make_image()))
    assert (report.layout, report.stem, report.missing) == (layout, "as stored", ())
    assert set(report.loaded) == set(network.state_dict())


def test_our_training_checkpoint_gives_its_encoder(tmp_path: Path) -> None:
    model = SparK(make_resnet(channels=1, seed=1), SparKDecoder(32).double())
    torch.save({"network": model.state_dict(), "optimizer": {"state": {}, "param_groups": []}}, tmp_path / "last.pt")
    network = make_resnet(channels=1, seed=2)

    report = load_encoder(network, tmp_path / "last.pt")

    image = make_image(1)
    assert torch.equal(response(network, image), response(model.encoder, image))
    assert report.layout == "SparK training checkpoint"
    assert "decoder.projection.weight" in report.dropped


def contrastive(name: str) -> nn.Module:
    """A method on an encoder whose teacher, if there is one, has other weights."""
    queues = {"queue_size": 4} if name == "SwAV" else {}
    model = small_method(name, make_resnet(channels=1, seed=1), features=64, **queues)
    with torch.no_grad():
        for param in model.teacher.parameters() if hasattr(model, "teacher") else ():
            param.add_(1.0)
    return model


@pytest.mark.parametrize("wrapper", ["network", "state_dict"])
@pytest.mark.parametrize("name", LOSSES)
def test_checkpoints_and_models_of_contrastive_methods_give_the_student(
    name: str, wrapper: str, tmp_path: Path
) -> None:
    model = contrastive(name)
    torch.save({wrapper: model.state_dict(), "metadata": {"mlflow_run_id": None}}, tmp_path / "file.pt")
    network = make_resnet(channels=1, seed=2)

    report = load_encoder(network, tmp_path / "file.pt")

    image = make_image(1)
    assert torch.equal(response(network, image), response(model.encoder, image))
    assert (report.layout, report.missing) == (f"{name} training checkpoint", ())
    assert set(report.dropped) == {key for key in model.state_dict() if not key.startswith("encoder.")}


def test_an_encoder_of_three_dimensions_is_read() -> None:
    source, network = make_resnet(dims=3, channels=1, seed=1), make_resnet(dims=3, channels=1, seed=2)
    report = load_encoder(network, source.state_dict())
    assert torch.equal(response(network, make_image(1, 3)), response(source, make_image(1, 3)))
    assert report.architecture.startswith("3D resnet18")


@settings(max_examples=15, deadline=None)
@given(channels=st.sampled_from([(3, 1), (1, 3)]), dims=st.sampled_from([2, 3]), seed=st.integers(0, 1000))
def test_an_adapted_stem_responds_to_a_gray_image_as_before(channels: tuple[int, int], dims: int, seed: int) -> None:
    source, network = (make_resnet(channels=count, dims=dims, seed=seed + i) for i, count in enumerate(channels))
    gray = torch.rand(1, 1, *(16,) * dims, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))

    report = load_encoder(network, source.state_dict())

    images = [gray.expand(1, count, *gray.shape[2:]) for count in channels]
    torch.testing.assert_close(response(network, images[1]), response(source, images[0]), rtol=1e-9, atol=1e-12)
    assert report.stem != "as stored"


def test_a_stem_is_summed_over_its_channels() -> None:
    source, network = make_resnet(channels=3), make_resnet(channels=1, seed=1)
    weights = source.state_dict()
    weights["conv1.weight"] = torch.tensor([1.0, 2.0, 4.0]).view(1, 3, 1, 1).expand(8, 3, 7, 7)
    load_encoder(network, weights)
    assert torch.equal(network.conv1.weight, torch.full((8, 1, 7, 7), 7.0, dtype=torch.float64))


def test_a_missing_head_is_reported_and_keeps_its_weights() -> None:
    source, network = make_resnet(seed=1), make_resnet(classes=2, seed=2)
    before = network.fc.weight.clone()
    report = load_encoder(network, source.state_dict())
    assert report.missing == ("fc.weight", "fc.bias")
    assert torch.equal(network.fc.weight, before)


@pytest.mark.parametrize("classes", [None, 2])
def test_a_head_for_other_classes_is_dropped_and_reported(classes: int | None) -> None:
    source, network = make_resnet(classes=1000, seed=1), make_resnet(classes=classes, seed=2)
    report = load_encoder(network, source.state_dict())
    assert report.dropped == ("fc.weight", "fc.bias")
    assert report.missing == (("fc.weight", "fc.bias") if classes else ())
    assert torch.equal(response(network, make_image()), response(source, make_image()))


def test_a_head_for_as_many_classes_is_loaded() -> None:
    source, network = make_resnet(classes=5, seed=1), make_resnet(classes=5, seed=2)
    report = load_encoder(network, {"state_dict": source.state_dict()})
    assert torch.equal(network(make_image()), source(make_image()))
    assert (report.missing, report.dropped) == ((), ())


def test_the_projection_of_a_method_is_never_taken_for_a_classification_head() -> None:
    source, network = make_resnet(classes=128, seed=1), make_resnet(classes=128, seed=2)
    content = {**prefixed("encoder_q.", source.state_dict()), **prefixed("encoder_k.", source.state_dict())}
    report = load_encoder(network, content)
    assert report.missing == ("fc.weight", "fc.bias")
    assert not torch.equal(network.fc.weight, source.fc.weight)


def test_old_files_without_batch_counters_are_read() -> None:
    source, network = make_resnet(seed=1), make_resnet(seed=2)
    weights = {key: value for key, value in source.state_dict().items() if "num_batches_tracked" not in key}
    report = load_encoder(network, weights)
    assert torch.equal(response(network, make_image()), response(source, make_image()))
    assert len(report.loaded) == len(weights)


def test_the_published_architecture_and_the_metadata_are_named_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    source = build_encoder("resnet50", in_channels=3).state_dict()
    content = {"state_dict": source, "metadata": {"method": "SparK", "monai_ext_version": "0.1.0"}}
    network = nets.resnet50(
        spatial_dims=2, n_input_channels=1, num_classes=2, conv1_t_stride=2, bias_downsample=False
    )  # fmt: skip
    with caplog.at_level(logging.INFO, logger="monai_ext"):
        report = load_encoder(network, content)
    assert report.metadata["method"] == "SparK"
    assert report.architecture == "2D resnet50"
    assert [record.getMessage() for record in caplog.records] == [
        "Loaded 318 entries of a 2D resnet50 from the given state dict (layout: encoder export), stem summed over 3 "
        "channels; the classification head is not in the file and keeps its own weights."
    ]


def test_a_stem_without_stride_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="monai_ext"):
        load_encoder(make_resnet(stride=1), make_resnet().state_dict())
    assert "conv1_t_stride=2" in caplog.text


def test_of_several_encoders_in_an_unknown_file_the_prefix_chooses() -> None:
    first, second, network = make_resnet(seed=1), make_resnet(seed=2), make_resnet(seed=3)
    content = {**prefixed("teacher.", first.state_dict()), **prefixed("student.", second.state_dict())}
    with pytest.raises(WeightsError, match=r"2 ResNets, under 'student\.', 'teacher\.'.*prefix="):
        load_encoder(network, content)
    load_encoder(network, content, prefix="student.")
    assert torch.equal(response(network, make_image()), response(second, make_image()))
    with pytest.raises(WeightsError, match=r"a ResNet under the prefix 'pupil\.'.*teacher\.conv1\.weight"):
        load_encoder(network, content, prefix="pupil.")


def refused(network: ResNet, content: StateDict, match: str) -> None:
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(WeightsError, match=match):
        load_encoder(network, content)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_another_depth_is_refused_with_the_keys_and_nothing_is_loaded() -> None:
    shallow, deep = make_resnet(layers=(2, 2, 2, 2)), make_resnet(layers=(3, 4, 6, 3), seed=1)
    refused(deep, shallow.state_dict(), r"resnet18.*the network is a 2D resnet34.*missing.*layer1\.2\.conv1\.weight")
    refused(shallow, deep.state_dict(), r"resnet34.*not in the network: layer1\.2\.conv1\.weight.* and \d+ more")


def test_resnet18_does_not_go_into_resnet50() -> None:
    weights = build_encoder("resnet18").state_dict()
    refused(
        build_encoder("resnet50"), weights, r"a 2D resnet18 .*a 2D resnet50\. .*layer1\.0\.conv1\.weight \(64, 64, 3"
    )


def test_a_network_with_biased_downsampling_is_told_how_to_be_built() -> None:
    network = nets.resnet18(spatial_dims=2, n_input_channels=3, conv1_t_stride=2, feed_forward=False)
    weights = build_encoder("resnet18", in_channels=3).state_dict()
    refused(network, weights, r"layer2\.0\.downsample\.0\.bias.*bias_downsample=False")


def test_weights_are_not_converted_between_dimensions() -> None:
    refused(make_resnet(dims=3), make_resnet().state_dict(), "holds a 2D encoder .*torchvision.* network is 3D")
    refused(make_resnet(), make_resnet(dims=3).state_dict(), "holds a 3D encoder .*torchvision.* network is 2D")


def test_stems_are_adapted_between_one_and_three_channels_only() -> None:
    refused(make_resnet(channels=1), make_resnet(channels=2).state_dict(), "for 2 channels and the network takes 1")


def test_a_file_without_resnet_is_refused_with_what_it_holds() -> None:
    refused(make_resnet(), {"state_dict": {"patch_embed.proj.weight": torch.ones(2)}}, r"patch_embed\.proj\.weight")
    refused(make_resnet(), {"epoch": 1}, "no tensors")


def test_an_encoder_with_a_missing_layer_is_refused() -> None:
    weights = make_resnet().state_dict()
    del weights["layer4.1.bn2.running_var"]
    refused(make_resnet(seed=1), weights, r"missing in the file: layer4\.1\.bn2\.running_var")


def test_weights_that_are_not_finite_are_refused() -> None:
    weights = make_resnet().state_dict()
    weights["layer3.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    refused(make_resnet(seed=1), weights, r"not finite in layer3\.0\.conv1\.weight")


def test_something_else_than_a_resnet_is_refused() -> None:
    model = SparK(make_resnet(), SparKDecoder(32, out_channels=3).double())
    with pytest.raises(TypeError, match=r"loaded into a SparK.*give its encoder"):
        load_encoder(model, make_resnet().state_dict())  # type: ignore[arg-type]
