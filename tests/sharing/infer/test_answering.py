"""Answers about DICOM folders: every file accounted for, warnings where they belong, DICOM objects that others read."""

import csv
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch

from helpers.dicom_files import ct_slice, write
from helpers.trained_bundle import write_trained_bundle
from monai_ext.cli import main
from monai_ext.data.dicom.intensity import SliceReader
from monai_ext.errors import DatasetError, WeightsError
from monai_ext.sharing.bundle_files import open_bundle_files
from monai_ext.sharing.infer import answer_folder, write_answers
from monai_ext.sharing.infer.answering import Network, windowed
from monai_ext.sharing.infer.dicom_objects import dicom_objects
from monai_ext.sharing.infer.service import Service
from monai_ext.sharing.pack import PackOptions, pack_bundle
from monai_ext.sharing.reference_statistics import network_inputs
from monai_ext.sharing.series_rule import highest_tenth, resampled_interval
from monai_ext.sharing.trained_classifier import read_trained_classifier

SHAPE = (48, 40)
DCMTK = shutil.which("dsrdump")


def _values(number: int) -> np.ndarray:
    generator = np.random.default_rng(number)
    return (300 + 900 * generator.random(SHAPE)).astype(np.uint16)


def write_chest(folder: Path, *, slices: int = 12, series: str = "chest", **changes: object) -> None:
    for number in range(slices):
        dataset = ct_slice(2.5 * number, series=series, values=_values(number), **changes)
        write(dataset, folder / f"{series}_{number}.dcm")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trained_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    write_chest(folder)
    write_chest(folder, series="head", slices=2, BodyPartExamined="HEAD", SliceThickness=20)
    write(ct_slice(0, series="scout", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), folder / "scout.dcm")
    write(ct_slice(0, series="cut", PixelData=b"\0\0"), folder / "cut.dcm")
    (folder / "notes.txt").write_text("notes")
    return folder


@pytest.fixture(scope="module")
def model(bundle: Path):
    return read_trained_classifier(open_bundle_files(bundle))


@pytest.fixture(scope="module")
def answers(model, source: Path):
    return answer_folder(model, source)


def test_every_file_is_accounted_for(answers, source: Path) -> None:
    outcomes = {file.path.name: file.outcome for file in answers.files}
    assert outcomes.keys() == {path.name for path in source.iterdir()}
    assert [outcomes[name] for name in ("scout.dcm", "notes.txt", "chest_3.dcm")] == [
        "localizer",
        "not_dicom",
        "answered",
    ]
    assert outcomes["cut.dcm"] not in ("answered", "localizer")


def test_a_series_gets_what_the_network_gives_its_slices(answers, model, source: Path) -> None:
    [chest] = [answer for answer in answers.series if len(answer.slices) == 12]
    network = model.build()
    images = [windowed(_values(number).astype(np.float32) - 1024, [-1350, 150]) for number in range(12)]
    with torch.no_grad():
        expected = network(network_inputs(images, 32, 1)).softmax(dim=1)[:, 1].numpy()
    assert np.allclose([answered.probabilities[1] for answered in chest.slices], expected, atol=1e-5)
    assert chest.probability == pytest.approx(highest_tenth(expected), abs=1e-5)
    assert chest.low <= chest.probability <= chest.high
    assert chest.call == ("COVID" if chest.probability >= 0.5 else "NonCOVID")
    assert [warning.code for warning in chest.warnings] == ["no_reference"]


def test_the_head_in_the_chest_model_is_warned_of(answers) -> None:
    [head] = [answer for answer in answers.series if len(answer.slices) == 2]
    codes = {warning.code for warning in head.warnings}
    assert {"other_body_part", "slice_thickness", "few_slices"} <= codes
    assert any("HEAD" in warning.text and "CHEST" in warning.text for warning in head.warnings)


def test_the_interval_is_the_same_each_time_and_holds_the_value() -> None:
    values = [0.1, 0.2, 0.9, 0.4]
    assert resampled_interval(values) == resampled_interval(values)
    low, high = resampled_interval(values)
    assert low <= highest_tenth(np.array(values)) <= high
    assert highest_tenth(np.linspace(0, 1, 20)) == pytest.approx((1 + 18 / 19) / 2)


def test_answers_are_written_at_once_and_the_source_stays_as_it_was(bundle: Path, source: Path, tmp_path: Path) -> None:
    before = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in source.iterdir()}
    assert main(["infer", str(bundle), str(source), str(tmp_path / "out"), "--no-dicom"]) == 0
    assert {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in source.iterdir()} == before
    content = json.loads((tmp_path / "out" / "answers.json").read_text())
    assert content["schema"] == "monai_ext answers 1"
    assert "Research use only" in content["disclaimer"]
    assert sum(content["files"]["outcomes"].values()) == content["files"]["count"] == len(before)
    with open(tmp_path / "out" / "slices.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 14
    assert float(rows[0]["NonCOVID"]) + float(rows[0]["COVID"]) == pytest.approx(1, abs=1e-4)
    assert main(["infer", str(bundle), str(source), str(tmp_path / "out"), "--no-dicom"]) == 2
    assert main(["infer", str(bundle), str(source), str(source / "out"), "--no-dicom"]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_files_are_numbered_where_their_names_are_not_to_be_told(answers, tmp_path: Path) -> None:
    rows = {}
    for names in (True, False):
        written = write_answers(answers, tmp_path / str(names), source=tmp_path / "source", file_names=names)
        rows[names] = [line.split(",") for line in (written / "files.csv").read_text().splitlines()[1:]]
    assert [row[0] for row in rows[False]] == [str(number) for number in range(1, len(answers.files) + 1)]
    assert [row[1:] for row in rows[False]] == [row[1:] for row in rows[True]]


def test_the_report_is_a_tid_1500_tree_that_refers_to_the_sources(answers, model, tmp_path: Path) -> None:
    hd = pytest.importorskip("highdicom")
    objects, notes = dicom_objects(answers, Network(model))
    assert notes == []
    assert [name.rpartition("_")[2] for name, _ in objects] == ["report.dcm", "page.dcm"] * 2
    written = write_answers(answers, tmp_path / "out", source=tmp_path / "source", objects=objects)
    report = hd.sr.srread(written / "dicom" / "series_001_report.dcm")
    [group] = report.content.get_image_measurement_groups()
    names = {measurement.name.value: measurement.value for measurement in group.get_measurements()}
    first = answers.series[0]
    assert names["probability"] == pytest.approx(first.probability, abs=1e-6)
    evaluations = {
        evaluation.name.value: evaluation.value.meaning for evaluation in group.get_qualitative_evaluations()
    }
    assert evaluations["call"] == first.call
    assert "Research use only" in evaluations["intended_use"]
    assert report.StudyInstanceUID == first.study_uid
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert {item.ReferencedSOPInstanceUID for item in evidence} == {
        answered.slice.instance_uid.decode() for answered in first.slices
    }
    if DCMTK:
        import subprocess

        shown = subprocess.run(
            [DCMTK, written / "dicom" / "series_001_report.dcm"], capture_output=True, text=True, check=True
        )
        assert "Probability of the finding" in shown.stdout


def test_the_page_belongs_to_the_same_study_and_is_read_as_a_capture(answers, model, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    objects, _ = dicom_objects(answers, Network(model))
    (tmp_path / "page.dcm").write_bytes(objects[1][1])
    page = pydicom.dcmread(tmp_path / "page.dcm")
    assert page.Modality == "OT"
    assert page.StudyInstanceUID == answers.series[0].study_uid
    assert page.PatientName == "Doe^Jane"
    assert "research use only" in page.SeriesDescription
    pixels = page.pixel_array
    assert pixels.shape[2] == 3
    assert pixels.std() > 10
    strongest = answers.series[0].slices[answers.series[0].strongest].slice
    shown = windowed(SliceReader().hounsfield(strongest), model.settings["window_hu"])[0].numpy() * 255
    assert np.array_equal(pixels[56 : 56 + SHAPE[0], 16 : 16 + SHAPE[1], 0], shown.round())  # its own size
    with pytest.raises(DatasetError, match="1 because it is a secondary capture"):
        answer_folder(model, tmp_path)


def test_sources_without_a_study_uid_get_tables_and_a_note(model, tmp_path: Path) -> None:
    write_chest(tmp_path / "source", StudyInstanceUID=None, slices=4)
    answers = answer_folder(model, tmp_path / "source")
    objects, notes = dicom_objects(answers, Network(model))
    assert objects == []
    assert "StudyInstanceUID (0020,000D) is missing" in notes[0]


def test_a_package_is_verified_first_and_knows_what_it_was_trained_on(
    bundle: Path, source: Path, tmp_path: Path
) -> None:
    images = type("Images", (list,), {})(
        {"image": windowed(_values(100 + number).astype(np.float32) - 1024, [-1350, 150])} for number in range(60)
    )
    images.groups = [str(number % 20) for number in range(60)]
    pack_bundle(bundle, tmp_path / "a.zip", PackOptions(images=images))
    arguments = ["infer", str(tmp_path / "a.zip"), str(source), str(tmp_path / "out"), "--no-dicom"]
    empty = ["--trust-file", str(tmp_path / "trust.json")]
    assert main([*arguments, *empty]) == 2
    assert main([*arguments, *empty, "--accept-unsigned"]) == 0
    content = json.loads((tmp_path / "out" / "answers.json").read_text())
    warnings = {len(s["warnings"]): s["warnings"] for study in content["studies"] for s in study["series"]}
    codes = {warning["code"] for group in warnings.values() for warning in group}
    assert "no_reference" not in codes
    reference = json.loads(open_bundle_files(tmp_path / "a.zip").files["models/reference.json"].read())
    flat = tmp_path / "flat"
    for number in range(4):
        write(ct_slice(number, series="flat", values=np.full(SHAPE, 1000, np.uint16)), flat / f"{number}.dcm")
    model = read_trained_classifier(open_bundle_files(tmp_path / "a.zip"))
    found = {warning.code: warning for warning in answer_folder(model, flat).series[0].warnings}
    assert found["unlike_training_gray_values"].false_alarms == pytest.approx(reference["gray_values"]["false_alarms"])
    assert "held-out training images" in found["unlike_training_gray_values"].text


MR = ({"modality": "MR", "window_hu": None}, "was trained on MR.*answer CT only")


def test_what_is_no_classifier_or_has_no_series_is_named(bundle: Path, model, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="There is no CT series"):
        answer_folder(model, tmp_path / "empty")
    changed = tmp_path / "covid19_classification"
    shutil.copytree(bundle, changed)
    settings = json.loads((changed / "models" / "model.json").read_text())
    for change, words in (({"backbone": "__import__"}, "Accepted backbones"), ({"class_names": None}, "cannot be"), MR):
        (changed / "models" / "model.json").write_text(json.dumps(settings | change))
        with pytest.raises(WeightsError, match=words):
            read_trained_classifier(open_bundle_files(changed))
    (changed / "models" / "model.json").write_text(json.dumps(settings | {"class_names": ["a", "b", "c"]}))
    with pytest.raises(WeightsError, match="do not fit"):
        read_trained_classifier(open_bundle_files(changed)).build()
    (changed / "models" / "model.pt").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        read_trained_classifier(open_bundle_files(changed))


def test_many_classes_are_called_by_their_mean(tmp_path: Path) -> None:
    bundle = write_trained_bundle(tmp_path, class_names=["a", "b", "c"], positive_class=None, threshold=None)
    model = read_trained_classifier(open_bundle_files(bundle))
    write_chest(tmp_path / "source", slices=4)
    [answer] = answer_folder(model, tmp_path / "source").series
    means = np.mean([answered.probabilities for answered in answer.slices], axis=0)
    assert answer.call == "abc"[int(means.argmax())]
    assert answer.probability == pytest.approx(float(means.max()))


def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_is_answered(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.txt").write_text("x")
    service = Service(None)  # a model that could answer nothing
    for output, words in (
        ("out", "is not empty"),
        ("source/out", "within the source"),
        ("out/old.txt/a", "Name another"),
    ):
        with pytest.raises(DatasetError, match=words):
            service.answer(tmp_path / "source", tmp_path / output)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]
