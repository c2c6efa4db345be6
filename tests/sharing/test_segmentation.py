"""Segmentation bundles: packed, and answered with masks on the source's pixels, as DICOM that others read."""

import csv
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from monai.networks.nets import BasicUNet
from torch.nn.functional import interpolate

from helpers.dicom_files import ct_slice, write
from helpers.masked_images import disc, write_masked_pictures
from helpers.trained_segmentation import NETWORK, SETTINGS, build_network, write_segmentation_bundle
from monai_ext.cli import main
from monai_ext.data.dicom.series import find_series
from monai_ext.errors import WeightsError
from monai_ext.networks import build_segmenter
from monai_ext.sharing.audit import audit_bundle
from monai_ext.sharing.bundle_files import open_bundle_files
from monai_ext.sharing.infer.segmenting import label_volumes_ml, segment_folder
from monai_ext.sharing.reference_statistics import ReferenceDistances, network_inputs, watched_features
from monai_ext.sharing.trained_classifier import read_trained_classifier
from monai_ext.sharing.trained_segmenter import read_trained_segmenter

SHAPE = (48, 40)
DCMTK = shutil.which("dsrdump")


def _values(number: int) -> np.ndarray:
    generator = np.random.default_rng(number)
    return (300 + 900 * generator.random(SHAPE)).astype(np.uint16)


def _write_series(folder: Path, *, slices: int = 5, **changes: object) -> Path:
    for number in reversed(range(slices)):
        dataset = ct_slice(
            2.5 * number, series="chest", values=_values(number), **{"FrameOfReferenceUID": "1.2.3.4"} | changes
        )
        write(dataset, folder / f"{slices - number}.dcm")
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_segmentation_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write_series(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def answered(bundle: Path, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("highdicom")
    folder = tmp_path_factory.mktemp("answered")
    package = folder / "a.zip"
    assert main(["bundle", "pack", str(bundle), str(package)]) == 0
    trust = ["--trust-file", str(folder / "trust.json"), "--accept-unsigned"]
    assert main(["infer", str(package), str(source), str(folder / "out"), *trust]) == 0
    return folder / "out"


def _expected() -> np.ndarray:
    """Masks in order of position, computed apart from the package's code: (5, 48, 40)."""
    network = build_network()
    images = [
        torch.from_numpy((_values(n).astype(np.float32) - 1024 + 1350) / 1500).clamp(0, 1)[None] for n in range(5)
    ]
    with torch.no_grad():
        logits = network(network_inputs(images, 64, 1))
    return interpolate(logits, size=SHAPE, mode="bilinear", align_corners=False).argmax(dim=1).numpy()


def test_the_segmentation_lies_on_the_pixels_of_its_sources(answered: Path, source: Path) -> None:
    hd = pytest.importorskip("highdicom")
    marked = hd.seg.segread(answered / "dicom" / "series_001_segmentation.dcm")
    by_uid = {str(pydicom.dcmread(file).SOPInstanceUID): pydicom.dcmread(file) for file in source.iterdir()}
    ordered = sorted(by_uid, key=lambda uid: float(by_uid[uid].ImagePositionPatient[2]))
    frames = marked.get_pixels_by_source_instance(ordered, combine_segments=True)
    expected = _expected()
    assert {0, 1, 2} <= set(np.unique(expected))
    assert np.array_equal(frames, expected)
    for frame in marked.PerFrameFunctionalGroupsSequence:
        source_uid = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert frame.PlanePositionSequence[0].ImagePositionPatient == by_uid[source_uid].ImagePositionPatient
    assert [str(segment.SegmentLabel) for segment in marked.SegmentSequence] == ["lesion", "effusion"]
    assert marked.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue == "52988006"
    assert marked.StudyInstanceUID == by_uid[ordered[0]].StudyInstanceUID
    assert marked.FrameOfReferenceUID == by_uid[ordered[0]].FrameOfReferenceUID
    assert "research use only" in marked.SeriesDescription


def test_volumes_stand_in_tables_and_in_the_report(answered: Path, source: Path) -> None:
    hd = pytest.importorskip("highdicom")
    first = pydicom.dcmread(next(source.iterdir()))
    area = float(first.PixelSpacing[0]) * float(first.PixelSpacing[1])
    expected = {n: float((_expected() == n).sum()) * area * 2.5 / 1000 for n in (1, 2)}
    with open(answered / "series.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["lesion", "effusion"]
    assert [float(row["volume_ml"]) for row in rows] == pytest.approx(list(expected.values()), rel=1e-4)
    report = hd.sr.srread(answered / "dicom" / "series_001_report.dcm")
    groups = report.content.get_volumetric_roi_measurement_groups()
    volumes = [measurement.value for group in groups for measurement in group.get_measurements()]
    assert volumes == pytest.approx(list(expected.values()), rel=1e-4)
    marked = pydicom.dcmread(answered / "dicom" / "series_001_segmentation.dcm")
    assert groups[0].referenced_segment.referenced_sop_instance_uid == marked.SOPInstanceUID
    content = json.loads((answered / "answers.json").read_text())
    [series] = content["studies"][0]["series"]
    assert [segment["volume_ml"] for segment in series["segments"]] == pytest.approx(list(expected.values()))
    assert content["files"]["outcomes"] == {"answered": 5}
    if DCMTK:
        shown = subprocess.run(
            [DCMTK, answered / "dicom" / "series_001_report.dcm"], capture_output=True, text=True, check=True
        )
        assert "Volume" in shown.stdout


def test_the_page_shows_the_slice_and_its_outlines(answered: Path) -> None:
    page = pydicom.dcmread(answered / "dicom" / "series_001_page.dcm").pixel_array
    left, right = (
        page[56 : 56 + SHAPE[0], 16 : 16 + SHAPE[1]],
        page[56 : 56 + SHAPE[0], 32 + SHAPE[1] : 32 + 2 * SHAPE[1]],
    )
    assert (left[..., 0] == left[..., 2]).all()
    differs = (left != right).any(axis=2)
    fullest = _expected()[(_expected() > 0).sum(axis=(1, 2)).argmax()]
    assert differs.any()
    assert (fullest[differs] > 0).all()


def test_only_what_is_listed_travels_and_the_card_speaks_of_masks(bundle: Path, tmp_path: Path) -> None:
    assert main(["bundle", "pack", str(bundle), str(tmp_path / "a.zip")]) == 0
    files = open_bundle_files(tmp_path / "a.zip").files
    settings = json.loads(files["models/model.json"].read())
    assert "splits" not in settings
    assert settings["labels"] == SETTINGS["labels"]
    config = json.loads(files["configs/inference.json"].read())
    assert config["network"]["_target_"] == "torch.nn.Module.to"  # the config's own, not the settings'
    card = files["README.md"].read().decode()
    assert "pipeline_tag: image-segmentation" in card
    assert "1: lesion, 2: effusion" in card
    assert "Trivial predictors" not in card


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network": {"name": "os.system", "arguments": {"command": "true"}}}, "Accepted networks"),
        ({"network": {"name": "monai.networks.nets.BasicUNet", "arguments": {"spatial_dims": 3}}}, "do not fit"),
        ({"labels": {"1": "lesion"}}, "it gives"),
        ({"labels": {"2": "lesion"}}, "from 1 on"),
        ({"labels": {}}, "from 1 on"),
        ({"labels": ["lesion"]}, "does not say its labels"),
        ({"codes": {"lesion": ["1"]}}, "codes"),
        ({"modality": "MR", "window_hu": None}, "was trained on MR"),
        ({"output": "identity"}, "outputs: softmax, sigmoid"),
    ],
)
def test_settings_that_cannot_be_are_named(tmp_path: Path, change: dict, words: str) -> None:
    bundle = write_segmentation_bundle(tmp_path, **change)
    with pytest.raises(WeightsError, match=words):
        read_trained_segmenter(open_bundle_files(bundle)).build()


def test_what_asks_for_classes_refuses_a_segmentation(bundle: Path) -> None:
    with pytest.raises(WeightsError, match="does segmentation, not classification"):
        read_trained_classifier(open_bundle_files(bundle))


def test_a_threshold_and_overlapping_labels_are_followed(bundle: Path) -> None:
    model = read_trained_segmenter(open_bundle_files(bundle))
    logits = torch.tensor([[2.0, -2.0], [0.1, 3.0], [-1.0, -1.0]])[None, :, :, None]  # channels x two pixels
    assert model.masks(logits).flatten().tolist() == [0, 1]
    model.settings.update(output="sigmoid", threshold=0.6, labels={"1": "a", "2": "b", "3": "c"})
    assert model.masks(logits).flatten().tolist() == [1, 2]
    model.settings.update(output="softmax", threshold=0.9, labels={"1": "a"})
    assert model.masks(logits[:, :2]).flatten().tolist() == [0, 1]  # probabilities .13 and .99


def test_a_slice_is_as_thick_as_half_way_to_its_neighbours(tmp_path: Path) -> None:
    for number, position in enumerate((0.0, 2.0, 6.0)):
        dataset = ct_slice(position, values=_values(number), PixelSpacing=[0.5, 2.0], SliceThickness=9)
        write(dataset, tmp_path / f"{number}.dcm")
    [series] = find_series(tmp_path).series
    mask = np.zeros((3, *SHAPE), np.uint8)
    mask[:, 0, :10] = 1
    volume = label_volumes_ml(mask, series.slices, [1, 2])
    assert volume[1] == pytest.approx(10 * (2 + 3 + 4) / 1000)
    assert volume[2] == 0
    assert label_volumes_ml(mask[:1], series.slices[:1], [1])[1] == pytest.approx(10 * 9 / 1000)


def test_a_source_without_a_frame_of_reference_gets_tables_and_a_note(bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    _write_series(tmp_path / "source", FrameOfReferenceUID=None)
    assert main(["infer", str(bundle), str(tmp_path / "source"), str(tmp_path / "out")]) == 0
    content = json.loads((tmp_path / "out" / "answers.json").read_text())
    assert "its files do not allow them" in content["notes"][0]
    assert not (tmp_path / "out" / "dicom").exists()
    assert content["studies"][0]["series"][0]["segments"][0]["volume_ml"] > 0


def test_another_body_part_is_warned_of(bundle: Path, tmp_path: Path) -> None:
    model = read_trained_segmenter(open_bundle_files(bundle))
    _write_series(tmp_path, BodyPartExamined="HEAD")
    [answer] = segment_folder(model, tmp_path).series
    assert "other_body_part" in {warning.code for warning in answer.warnings}


def test_a_model_of_our_own_bundle_says_its_network_by_backbone_channels_and_classes(tmp_path: Path) -> None:
    network = build_segmenter("resnet18", in_channels=1, classes=2).eval()
    own = {"network": None, "backbone": "resnet18", "class_names": ["background", "infection"], "codes": None}
    bundle = write_segmentation_bundle(tmp_path, **own, labels={"1": "infection"})
    torch.save(network.state_dict(), bundle / "models" / "model.pt")
    model = read_trained_segmenter(open_bundle_files(bundle))
    images = torch.rand(1, 1, 64, 64)
    assert torch.equal(model.build()(images), network(images))
    assert model.labels == {1: "infection"}


@pytest.fixture(scope="module")
def with_reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package whose training images are bright discs, of which 48 are in the section training."""
    folder = tmp_path_factory.mktemp("reference")
    names = {"class_names": ["background", "disc"], "labels": {"1": "disc"}, "codes": None, "window": "full"}
    network = {"network": SETTINGS["network"] | {"arguments": NETWORK | {"out_channels": 2}}}
    bundle = write_segmentation_bundle(folder, **names, **network)
    torch.save(BasicUNet(**NETWORK | {"out_channels": 2}).state_dict(), bundle / "models" / "model.pt")
    data = write_masked_pictures(folder / "data", count=96)
    options = ["--reference", str(data), "--slice-thickness", "1", "2"]
    assert main(["bundle", "pack", str(bundle), str(folder / "a.zip"), *options]) == 0
    assert main(["bundle", "pack", str(bundle), str(folder / "b.zip"), *options, "--subgroups", "sex"]) == 2
    return folder / "a.zip"


def test_images_unlike_the_masked_ones_of_the_training_are_warned_of(with_reference: Path, tmp_path: Path) -> None:
    model = read_trained_segmenter(open_bundle_files(with_reference))
    assert model.reference is not None
    assert model.reference["images"] == 48
    [answer] = segment_folder(model, _write_series(tmp_path / "noise")).series
    warnings = {warning.code: warning for warning in answer.warnings}
    assert {"unlike_training_gray_values", "slice_thickness"} <= warnings.keys()
    assert warnings["unlike_training_gray_values"].false_alarms == model.reference["gray_values"]["false_alarms"]
    assert "no_reference" not in warnings


def test_an_image_of_the_training_is_near_and_its_features_are_those_of_the_deepest_stage(with_reference: Path) -> None:
    model = read_trained_segmenter(open_bundle_files(with_reference))
    network, distances = model.build(), ReferenceDistances(model.reference)
    image = torch.from_numpy(disc(0)[0].astype(np.float32) / 255)[None]
    with torch.no_grad(), watched_features(network) as seen:
        network(network_inputs([image], 64, 1))
    assert seen[0].shape == (1, 8)  # channels of the stage of 4 x 4 pixels
    assert distances.of_features(seen[0])[0] < 1.5
    assert distances.of_images([image])[0] < 1.5


def test_the_card_and_the_audit_know_the_reference_of_a_segmentation(with_reference: Path) -> None:
    assert audit_bundle(with_reference).findings == []
    card = open_bundle_files(with_reference).files["README.md"].read().decode()
    assert "Statistics of 48 images travel" in card
