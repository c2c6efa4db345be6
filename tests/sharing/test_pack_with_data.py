"""What packing measures on the training's own data, and what it adds on request: ONNX, the wheel."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.dicom_files import ct_slice, write
from helpers.labelled_pictures import gray_picture
from helpers.trained_bundle import write_trained_bundle
from monai_ext.cli import main
from monai_ext.data import open_labelled_sections
from monai_ext.sharing.audit import audit_bundle
from monai_ext.sharing.bundle_files import open_bundle_files
from monai_ext.sharing.infer import answer_folder
from monai_ext.sharing.pack import CONTINUED
from monai_ext.sharing.trained_classifier import read_trained_classifier
from monai_ext.sharing.verification import verify_package

LABELS = {"0": "NonCOVID", "1": "COVID"}
PATIENTS = {"train": 8, "val": 5, "test": 10}
"""Of each class; four pictures each."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rows, number = ["file,label,patient_id,split,sex,name"], 0
    for section, count in PATIENTS.items():
        for patient in range(2 * count):
            for _ in range(4):
                picture = gray_picture(number, bright=bool(patient % 2), shape=(24, 24))
                Image.fromarray(picture).save(folder / f"pic{number:03d}.png")
                sex = "FM"[patient // 2 % 2]
                rows.append(f"pic{number:03d}.png,{patient % 2},{section}{patient},{section},{sex},Doe{number}")
                number += 1
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def bundle(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    fingerprint = open_labelled_sections(data, class_names=LABELS).fingerprint
    settings = {"labels": LABELS, "columns": None, "splits": None, "data_fingerprint": fingerprint}
    return write_trained_bundle(tmp_path_factory.mktemp("bundles"), **settings)


@pytest.fixture(scope="module")
def package(bundle: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packages") / "a.zip"
    options = ["--reference", str(data), "--slice-thickness", "5", "1", "--subgroups", "sex"]
    assert main(["bundle", "pack", str(bundle), str(path), *options]) == 0
    return path


def _read(package: Path, name: str) -> bytes:
    return open_bundle_files(package).files[name].read()


def test_the_threshold_for_series_is_chosen_on_validation_patients(package: Path, tmp_path: Path) -> None:
    rule = json.loads(_read(package, "models/reference.json"))["series"]
    assert (rule["patients"], rule["positive_patients"]) == (10, 5)
    model = read_trained_classifier(open_bundle_files(package))
    assert model.call_threshold == rule["threshold"] != model.threshold
    assert "of 10 patients" in model.call_threshold_of
    card = _read(package, "README.md").decode()
    assert f"A series is called from {rule['threshold']:.4f} on" in card


def test_subgroups_stand_in_the_card_with_intervals(package: Path) -> None:
    card = _read(package, "README.md").decode()
    rows = [line for line in card.splitlines() if line.startswith("| sex | ")]
    assert [row.split(" | ")[1:4] for row in rows] == [["F", "40", "10"], ["M", "40", "10"]]
    assert all(" to " in row for row in rows)


def test_the_thickness_of_the_training_travels_and_others_are_warned_of(package: Path, tmp_path: Path) -> None:
    assert json.loads(_read(package, "models/reference.json"))["slice_thickness_mm"] == [1.0, 5.0]
    model = read_trained_classifier(open_bundle_files(package))
    for name, thickness in (("fits", 5.4), ("thick", 7.0)):
        for number in range(4):
            dataset = ct_slice(
                3 * number, series=name, values=np.full((24, 24), 900, np.uint16), SliceThickness=thickness
            )
            write(dataset, tmp_path / name / f"{number}.dcm")
    warnings = {}
    for name in ("fits", "thick"):
        [answer] = answer_folder(model, tmp_path / name).series
        warnings[name] = {warning.code: warning.text for warning in answer.warnings}
    assert "slice_thickness" not in warnings["fits"]
    assert warnings["thick"]["slice_thickness"] == "4 of 4 slices are 7 mm thick; the training had 1 to 5 mm."


def test_other_data_than_the_trainings_give_no_threshold_and_no_subgroups(
    bundle: Path, data: Path, tmp_path: Path, capsys, caplog
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in data.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    Image.fromarray(gray_picture(999, bright=True, shape=(24, 24))).save(other / "pic000.png")
    command = ["bundle", "pack", str(bundle), str(tmp_path / "a.zip"), "--reference", str(other)]
    assert main([*command, "--subgroups", "sex"]) == 2
    assert "is not the data that the model was trained on" in capsys.readouterr().err
    assert main(command) == 0
    assert "no threshold for whole series" in caplog.text
    assert json.loads(_read(tmp_path / "a.zip", "models/reference.json"))["series"] is None


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--subgroups", "name"], "may name persons"), (["--subgroups", "age"], "has no column 'age'")],
)
def test_columns_that_name_persons_or_are_not_there_are_refused(
    bundle: Path, data: Path, tmp_path: Path, capsys, options: list[str], words: str
) -> None:
    assert main(["bundle", "pack", str(bundle), str(tmp_path / "a.zip"), "--reference", str(data), *options]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "a.zip").exists()


def test_subgroups_without_data_are_refused(bundle: Path, tmp_path: Path, capsys) -> None:
    assert main(["bundle", "pack", str(bundle), str(tmp_path / "a.zip"), "--subgroups", "sex"]) == 2
    assert "belong to --reference DATA" in capsys.readouterr().err


def test_the_onnx_file_gives_the_probabilities_of_the_network(bundle: Path, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    assert main(["bundle", "pack", str(bundle), str(tmp_path / "a.zip"), "--onnx"]) == 0
    assert audit_bundle(tmp_path / "a.zip").findings == []
    session = runtime.InferenceSession(_read(tmp_path / "a.zip", "models/model.onnx"))
    images = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    network = read_trained_classifier(open_bundle_files(bundle)).build()
    with torch.no_grad():
        expected = network(images).softmax(dim=1).numpy()
    assert np.allclose(session.run(None, {"images": images.numpy()})[0], expected, atol=1e-5)
    assert main(["bundle", "pack", str(bundle), str(tmp_path / "b.zip"), "--onnx"]) == 0
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_the_wheel_travels_with_the_configs_that_need_it_and_is_pointed_out(bundle: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "monai_ext-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("monai_ext/__init__.py", "")
    assert main(["bundle", "pack", str(bundle), str(tmp_path / "a.zip"), "--with-wheel", str(wheel)]) == 0
    assert _read(tmp_path / "a.zip", f"wheels/{wheel.name}") == wheel.read_bytes()
    files = open_bundle_files(tmp_path / "a.zip").files
    assert {"configs/train.json", "configs/evaluate.json"} <= files.keys()
    train, settings = (json.loads(files[name].read()) for name in ("configs/train.json", "models/model.json"))
    assert [train[name] for name in CONTINUED] == [settings[name] for name in CONTINUED]
    assert train["network_def"]["_target_"] == f"monai.networks.nets.{settings['backbone']}"
    assert {finding.rule for finding in audit_bundle(tmp_path / "a.zip").findings} == {"wheel"}
    problems = verify_package(tmp_path / "a.zip", trusted=[]).problems
    assert [problem for problem in problems if "not signed" not in problem] == []
    assert (
        main(["bundle", "pack", str(bundle), str(tmp_path / "b.zip"), "--with-wheel", str(tmp_path / "none.whl")]) == 2
    )
