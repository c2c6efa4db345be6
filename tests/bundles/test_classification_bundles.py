"""The classification bundles end to end: train, evaluate, infer without this project, and what is refused."""

import csv
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, run
from PIL import Image

from helpers.bundle_files import CLASSIFICATION, config_files, run_bundle, tiny_training, untracked
from helpers.fresh_process import run_program, run_program_twice, without
from helpers.labelled_pictures import gray_picture, write_labelled_pictures
from helpers.tiny_resnet import TINY_CLASSIFIER
from monai_ext.data import open_labelled_images
from monai_ext.networks import build_encoder
from monai_ext.networks.weights import read_model, read_model_metadata, write_model

COVID = Path("bundles/covid19_classification")
TINY = tiny_training(CLASSIFICATION[0])
WITHOUT_PROJECT = f"""{without("monai_ext")}
import runpy
sys.argv = ["monai.bundle", "run", *sys.argv[1:]]
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="session")
def labelled(data_of: Callable[[Path], str]) -> Path:
    """Sixteen labelled pictures of eight patients, with a published split."""
    return Path(data_of(COVID))


@pytest.fixture
def classifier(trained: Callable[[Path], Path]) -> Path:
    """The COVID-19 bundle of the copied repository after a training."""
    return trained(COVID)


def _metadata(bundle: Path) -> dict:
    return read_model_metadata(bundle / "models" / "model.pt")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_training_publishes_the_best_model_with_what_inference_needs(classifier):
    metadata = _metadata(classifier)
    assert metadata["class_names"] == ["NonCOVID", "COVID"]
    assert metadata["window_hu"] == [-1350.0, 150.0]
    assert metadata["bundle_version"] == json.loads((classifier / "configs" / "metadata.json").read_text())["version"]
    assert 0 < metadata["threshold"] < 1
    assert metadata["lineage"] == {"pretrained": "none"}
    assert metadata["protocol"] == "full"
    (folder,) = (classifier / "models").glob("*/")
    assert {file.name for file in (folder / "validation").iterdir()} >= {"metrics.json", "predictions.csv", "roc.png"}
    assert (folder / "model.pt").read_bytes() == (classifier / "models" / "model.pt").read_bytes()


def test_evaluation_judges_the_test_section_with_the_threshold_of_validation(classifier, labelled, from_root, tmp_path):
    run_bundle(COVID, "evaluate", dataset_dir=str(labelled), network_def=TINY_CLASSIFIER, output_dir=str(tmp_path))
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["images"] == 4
    assert content["threshold"] == _metadata(classifier)["threshold"]
    assert len(_rows(tmp_path / "predictions.csv")) == 4


def test_an_ensemble_of_equal_models_is_the_model(classifier, labelled, from_root, tmp_path):
    model = str(classifier / "models" / "model.pt")
    for name, models in (("one", [model]), ("three", [model] * 3)):
        settings = {"network_def": TINY_CLASSIFIER, "models": models, "output_dir": str(tmp_path / name)}
        run_bundle(COVID, "evaluate", dataset_dir=str(labelled), **settings)
    single, ensemble = (_rows(tmp_path / name / "predictions.csv") for name in ("one", "three"))
    for row, other in zip(single, ensemble, strict=True):
        assert row.keys() == other.keys()
        numbers = [(float(row[name]), float(other[name])) for name in row if name.startswith("probability")]
        assert numbers
        assert all(first == pytest.approx(second, abs=1e-6) for first, second in numbers)


def test_models_that_see_images_differently_are_no_ensemble(classifier, labelled, from_root, tmp_path):
    weights = read_model(classifier / "models" / "model.pt")
    write_model(tmp_path / "other.pt", weights, metadata=_metadata(classifier) | {"image_size": 96})
    models = [str(classifier / "models" / "model.pt"), str(tmp_path / "other.pt")]
    with pytest.raises(RuntimeError) as caught:
        run_bundle(COVID, "evaluate", dataset_dir=str(labelled), models=models, output_dir=str(tmp_path))
    assert "image_size is 64 in" in _last_cause(caught)


def test_inference_without_this_project_gives_evaluations_probabilities_from_any_folder(
    classifier, labelled, from_root, tmp_path
):
    evaluation = {"dataset_dir": str(labelled), "network_def": TINY_CLASSIFIER, "section": "all"}
    run_bundle(COVID, "evaluate", **evaluation, output_dir=str(tmp_path / "evaluated"))
    elsewhere = shutil.copytree(classifier, tmp_path / "sent to a colleague")
    (tmp_path / "run.py").write_text(WITHOUT_PROJECT)
    command = [str(tmp_path / "run.py"), "--config_file", str(elsewhere / "configs" / "inference.json")]
    command += ["--dataset_dir", str(labelled), "--network_def", str(TINY_CLASSIFIER)]
    done = run_program(*command, cwd=tmp_path, env={"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    table = _rows(elsewhere / "predictions" / "predictions.csv")
    evaluated = _rows(tmp_path / "evaluated" / "predictions.csv")
    assert [row["file"] for row in table if row["reason"]] == ["labels.csv"]
    inferred = [row for row in table if not row["reason"]]
    assert {row["file"] for row in inferred} == {f"images/{number:02d}.png" for number in range(16)}
    shares = [name for name in evaluated[0] if name.startswith("probability")]
    assert len(inferred) == len(evaluated) == 16
    for mine, theirs in zip(evaluated, inferred, strict=True):
        assert [float(mine[name]) for name in shares] == pytest.approx(
            [float(theirs["NonCOVID"]), float(theirs["COVID"])], abs=1e-5
        )
        assert theirs["model_version"] == "0.1.0"
        assert len(theirs["model_sha256"]) == 64


def _inference_images(bundle: Path, folder: Path, **overrides: object) -> list[torch.Tensor]:
    """What inference.json gives the network for every image of a folder, in the order of the files."""
    parser = ConfigParser(ConfigParser.load_config_file(bundle / "configs" / "inference.json"))
    settings = {"image_size": 32, "in_channels": 1, "black_hu": -1350.0, "white_hu": 150.0, "class_names": ["a", "b"]}
    parser.update({"dataset_dir": str(folder), "output_dir": str(folder.parent), **settings, **overrides})
    return [item["image"] for item in parser.get_parsed_content("dataset")]


@pytest.fixture
def all_modes(tmp_path: Path) -> Path:
    """One class of pictures in every mode that PNG has for them, and a class of plain ones."""
    gray = Image.fromarray(gray_picture(1, bright=True))
    alpha = Image.merge("RGBA", [gray, gray, gray, Image.fromarray(gray_picture(2, bright=False))])
    deep = Image.fromarray(gray_picture(3, bright=True).astype(np.uint16) * 200)
    modes = {
        "L": gray,
        "RGB": gray.convert("RGB"),
        "RGBA": alpha,
        "LA": alpha.convert("LA"),
        "P": gray.convert("P"),
        "I16": deep,
    }
    for label, pictures in (("COVID", modes), ("NonCOVID", {"a": gray, "b": gray.rotate(90)})):
        (tmp_path / label).mkdir()
        for name, picture in pictures.items():
            picture.save(tmp_path / label / f"{name}.png")
    return tmp_path


def test_pictures_of_every_mode_reach_the_network_as_in_training(all_modes, checkout):
    images = open_labelled_images(all_modes, class_names=["NonCOVID", "COVID"], section="all")
    parser = ConfigParser(ConfigParser.load_config_file(checkout / COVID / "configs" / "train.json"))
    parser.update({"image_size": 32})
    preprocessing = parser.get_parsed_content("train::preprocessing")
    inferred = _inference_images(checkout / COVID, all_modes)
    assert len(inferred) == len(images) == 8
    for number, theirs in enumerate(inferred):
        mine = {"image": images[number]["image"]}
        for transform in preprocessing:
            mine = transform(mine)
        assert mine["image"].shape == theirs.shape == (1, 32, 32)
        assert torch.allclose(
            mine["image"], theirs, atol=1.01 / 255 if images.ids[number].endswith("RGBA.png") else 1e-6
        )


def test_slices_of_a_volume_are_seen_as_a_radiologist_sees_them(tmp_path, checkout):
    nibabel = pytest.importorskip("nibabel")
    values = np.full((20, 24, 3), -1000.0, dtype=np.float32)  # x from right to left, y from back to front
    values[:6, -8:, 1] = 100.0  # the patient's right, in front
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(values[::-1].copy(), np.diag([1.0, 1.0, 1.0, 1.0])), tmp_path / "ras.nii.gz")
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "las.nii")
    images = _inference_images(checkout / COVID, tmp_path)
    assert len(images) == 6
    for image in (images[1], images[4]):  # the middle slice of each
        assert image[0, :8, :6].mean() > 0.9  # anterior is up, the patient's right on the left
        assert image[0, -8:, -6:].mean() == pytest.approx(350 / 1500, abs=1e-3)
    assert images[0].max() == pytest.approx(350 / 1500, abs=1e-3)


def test_dicom_is_windowed_in_hounsfield_units(tmp_path, checkout):
    pytest.importorskip("pydicom")
    from helpers.dicom_files import ct_slice, write

    dataset = ct_slice(values=np.arange(64, dtype=np.uint16).reshape(8, 8) * 40)
    write(dataset, tmp_path / "slice.dcm")
    (image,) = _inference_images(checkout / COVID, tmp_path, image_size=dataset.Rows)
    hounsfield = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    expected = torch.from_numpy(((hounsfield + 1350) / 1500).clip(0, 1)).float()
    assert torch.allclose(image[0], expected, atol=1e-5)


def _infer(folder: Path, output: Path, **overrides: object) -> None:
    config = [str(COVID / "configs" / "inference.json")]
    settings = {"network_def": TINY_CLASSIFIER, "dataset_dir": str(folder), "output_dir": str(output)}
    run(config_file=config, logging_file=False, **{**settings, **overrides})


@pytest.fixture(scope="module")
def broken_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collaborator's folder: four images that can be answered, and much that cannot."""
    from helpers.dicom_files import ct_slice, write

    folder = tmp_path_factory.mktemp("broken")
    gray = Image.fromarray(gray_picture(1, bright=True))
    gray.save(folder / "Upper^Case.PNG")
    picture = (folder / "Upper^Case.PNG").read_bytes()
    (folder / "=truncated.png").write_bytes(picture[: len(picture) // 2])
    with open(os.fsencode(folder) + b"/sl\xffice.png", "wb") as file:
        file.write(picture)
    Image.merge("RGB", [gray, gray.rotate(90), gray.rotate(180)]).save(folder / "page.png")
    gray.point(lambda value: 255 * (value > 100)).save(folder / "mask.png")
    (folder / "notes.txt").write_text("read me")
    os.mkfifo(folder / "fifo.png")
    values = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) // 2
    write(ct_slice(values=values), folder / "IM0001")
    write(ct_slice(values=values), folder / "IM0002.DCM")
    (folder / "IM0003").write_bytes((folder / "IM0001").read_bytes()[:-2000])
    localizer, capture = (ct_slice(values=values) for _ in range(2))
    localizer.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    capture.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    write(localizer, folder / "localizer.dcm")
    write(capture, folder / "capture.dcm")
    return folder


def test_one_bad_file_never_costs_the_others(classifier, broken_folder, from_root, tmp_path, capsys):
    _infer(broken_folder, tmp_path / "out")
    rows = {row["file"]: row for row in _rows(tmp_path / "out" / "predictions.csv")}
    reasons = {name: row["reason"] for name, row in rows.items() if row["reason"]}
    assert rows.keys() - reasons == {"Upper^Case.PNG", "sl\\udcffice.png", "IM0001", "IM0002.DCM"}
    expected = {
        "./=truncated.png": "truncated",
        "page.png": "colours",
        "mask.png": "label map",
        "notes.txt": "DICM",
        "IM0003": "pixel data",
        "localizer.dcm": "localizer",
        "capture.dcm": "CT Image Storage",
    }
    assert reasons.keys() == expected.keys()
    assert {name for name, words in expected.items() if words not in reasons[name]} == set()
    assert str(broken_folder) not in (tmp_path / "out" / "predictions.csv").read_text()
    assert all(row["class"] == "" for name, row in rows.items() if name in reasons)
    assert rows["IM0001"]["sop_uid"].startswith("1.2.")
    assert rows["IM0001"]["series_uid"].startswith("1.2.")
    assert str(tmp_path / "out" / "predictions.csv") in capsys.readouterr().out
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["predictions.csv"]


@pytest.mark.parametrize("shift", [-1e-4, 1e-4])
def test_the_class_is_called_at_the_threshold_of_validation(shift, classifier, labelled, from_root, tmp_path):
    settings = {"threshold": 0.5, "columns": ["slice", "class"]}
    _infer(labelled / "images", tmp_path / "first", **settings)
    share = float(_rows(tmp_path / "first" / "predictions.csv")[0]["COVID"])
    _infer(labelled / "images", tmp_path / "second", **settings | {"threshold": share + shift})
    rows = _rows(tmp_path / "second" / "predictions.csv")
    assert rows[0]["class"] == ("COVID" if shift < 0 else "NonCOVID")
    assert all((row["class"] == "COVID") == (float(row["COVID"]) >= share + shift) for row in rows)
    assert "file" not in rows[0]


def test_a_run_that_was_ended_leaves_no_table_that_looks_complete(classifier, labelled, from_root, tmp_path):
    with pytest.raises(RuntimeError):
        _infer(labelled / "images", tmp_path, batch_size=4, class_names=["one", "two"], threshold="no number")
    assert [file.name for file in tmp_path.iterdir()] == ["unfinished.csv"]


def test_weights_that_are_not_those_of_the_settings_are_refused(classifier, labelled, from_root, tmp_path):
    damaged = tmp_path / "model.pt"
    damaged.write_bytes((classifier / "models" / "model.pt").read_bytes()[:-1] + b"x")
    damaged.with_suffix(".json").write_text((classifier / "models" / "model.json").read_text())
    with pytest.raises(RuntimeError) as caught:
        _infer(labelled / "images", tmp_path / "out", model_path=str(damaged))
    assert "model.pt is damaged" in _last_cause(caught)


def test_a_misspelt_option_on_the_command_line_is_refused(checkout, monkeypatch):
    parser = ConfigParser(ConfigParser.load_config_file(checkout / COVID / "configs" / "inference.json"))
    started = ["monai/bundle/__main__.py", "run", "--config_file", "a.json", "--dataset-dir=a", "--bacth_size", "3"]
    monkeypatch.setattr("sys.argv", started)
    with pytest.raises(RuntimeError) as caught:
        parser.get_parsed_content("are_known")
    assert "did you mean 'batch_size'" in _last_cause(caught)
    monkeypatch.setattr("sys.argv", started[:-2])
    assert ConfigParser(parser.get()).get_parsed_content("are_known") == ["config_file", "dataset_dir"]


@pytest.mark.parametrize("folder", ["", "no such folder"])
def test_a_folder_without_files_ends_inference_with_a_sentence(folder, classifier, from_root, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        _infer(tmp_path / folder, tmp_path / "out")
    assert "There is no file below dataset_dir" in _last_cause(caught)


def test_a_pretrained_encoder_is_recorded_and_fine_tuned_gradually(checkout, labelled, from_root, tmp_path):
    encoder = dict(TINY_CLASSIFIER)
    tiny = ConfigParser({"in_channels": 1, "class_names": ["a", "b"], "network": encoder}).get_parsed_content("network")
    weights = {name: value for name, value in tiny.state_dict().items() if not name.startswith("fc.")}
    torch.save({"state_dict": weights, "metadata": {"monai_ext_version": "0", "method": "SparK"}}, tmp_path / "e.pt")
    settings = {
        **TINY,
        "head_only_epochs": 1,
        "pretrained": str(tmp_path / "e.pt"),
        "bundle_root": str(tmp_path),
    }
    run_bundle(COVID, "smoke", dataset_dir=str(labelled), **settings)
    metadata = _metadata(tmp_path)
    assert metadata["protocol"] == "gradual"
    assert (metadata["bundle"], metadata["bundle_version"]) == ("covid19_classification", "0.1.0")
    assert metadata["lineage"]["pretrained_method"] == "SparK"
    assert metadata["lineage"]["pretrained_entries"] == len(weights)
    assert len(metadata["lineage"]["pretrained_sha256"]) == 64


@pytest.mark.parametrize("bundle", CLASSIFICATION, ids=lambda path: path.name)
def test_every_task_starts_on_data_of_its_own_classes(bundle, tmp_path):
    parser = ConfigParser(ConfigParser.load_config_file(bundle / "configs" / "train.json"))
    labels = list(parser["class_names"])
    for label in labels:
        for number in range(10):
            (tmp_path / label).mkdir(exist_ok=True)
            Image.fromarray(gray_picture(number, bright=False)).save(tmp_path / label / f"{number}.png")
    parser.update({"dataset_dir": str(tmp_path), "num_workers": 0, "backbone": "resnet18", "image_size": 32})
    images = parser.get_parsed_content("images").training
    assert len(images) == 6 * len(labels)
    batch = parser.get_parsed_content("train::dataset")[0]["image"][None]
    views = parser.get_parsed_content("train::views")(batch)
    assert parser.get_parsed_content("network_def").eval()(views).shape == (1, len(labels))


def _last_cause(caught: pytest.ExceptionInfo) -> str:
    error = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


def _table(folder: Path, replace: tuple[str, str]) -> str:
    text = (folder / "labels.csv").read_text()
    (folder / "labels.csv").write_text(text.replace(*replace))
    return str(folder)


@pytest.mark.parametrize(
    ("replace", "overrides", "sentence"),
    [
        (("COVID,p01", "Covid,p01"), {}, r"^Error: .*not among the classes NonCOVID, COVID: 'Covid' \(2\)"),
        (("images/01.png", "images/x.png"), {}, r"^Error: .*names 1 files .* 'images/x.png'"),
        (("p30", "p00"), {}, r"^Error: .*patient_id in training and test"),
        (("COVID,p00", "COVID,p00"), {"class_names": ["NonCOVID", "COVID", "flu"]}, r"^Error: .*'flu' \(0\)"),
        (("", ""), {"pretrained": "no/encoder.pt"}, r"^Error: There is no weights file no/encoder.pt"),
        (("", ""), {"dataset_dir": "no/data"}, r"^Error: .*no/data does not exist"),
    ],
)
def test_bad_data_ends_the_command_with_one_sentence(replace, overrides, sentence, tmp_path, from_root, command_line):
    folder = write_labelled_pictures(tmp_path / "data")
    data = {"dataset_dir": _table(folder, replace) if replace[0] else str(folder)}
    settings = {**TINY, **data, **overrides, "output_dir::parent": str(tmp_path / "runs")}
    assert re.search(sentence, command_line(lambda: run_bundle(COVID, "smoke", **settings)))
    assert not list(tmp_path.rglob("*.pt"))


def test_weights_for_another_number_of_classes_are_refused(classifier, labelled, from_root, tmp_path, command_line):
    settings = {"network_def": {**TINY_CLASSIFIER, "num_classes": 3}, "dataset_dir": str(labelled)}
    printed = command_line(lambda: run_bundle(COVID, "evaluate", **settings, output_dir=str(tmp_path)))
    assert re.search(r"^Error: .*do not fit the network of this config .*fc\.weight", printed)


def test_an_encoder_of_another_architecture_is_refused_before_training(labelled, from_root, tmp_path, command_line):
    torch.save(build_encoder("resnet18").state_dict(), tmp_path / "encoder.pt")
    overrides = {**TINY, "pretrained": str(tmp_path / "encoder.pt"), "output_dir::parent": str(tmp_path)}
    printed = command_line(lambda: run_bundle(COVID, "smoke", dataset_dir=str(labelled), **overrides))
    assert re.search(r"^Error: Nothing was loaded from .*resnet18", printed)


@pytest.mark.slow
def test_a_fine_tuning_is_tracked_as_a_child_of_its_pre_training(
    classifier: Path,
    checkout: Path,
    labelled: Path,
    empty_database: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(checkout)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = mlflow.MlflowClient()
    pretraining = client.create_run(client.create_experiment("pretraining", (tmp_path / "artifacts").as_uri()))
    weights = read_model(classifier / "models" / "model.pt")
    encoder = {name: value for name, value in weights.items() if not name.startswith("fc.")}
    metadata = {"monai_ext_version": "0.1.0", "method": "SparK"}
    torch.save({"state_dict": encoder, "metadata": metadata}, tmp_path / "encoder.pt")
    client.log_artifact(pretraining.info.run_id, str(tmp_path / "encoder.pt"), "encoder")

    settings = TINY | {"bundle_root": str(tmp_path), "dataset_dir": str(labelled)}
    source = f"runs:/{pretraining.info.run_id}/encoder"
    run(config_file=config_files(COVID, "smoke"), logging_file=False, pretrained=source, **settings)

    experiment = client.get_experiment_by_name("fine-tuning")
    (tracked,) = client.search_runs([experiment.experiment_id])
    assert tracked.info.run_name.startswith("covid19 SparK resnet18 64 px")
    assert tracked.info.status == "FINISHED"
    assert tracked.data.tags["mlflow.parentRunId"] == pretraining.info.run_id
    assert tracked.data.params["lineage/pretrained"] == source
    assert {"auc", "best_auc", "best_auc_low", "best_threshold", "loss"} <= tracked.data.metrics.keys()
    assert "auc_low" not in tracked.data.metrics
    assert _metadata(tmp_path)["mlflow_run_id"] == tracked.info.run_id


def test_two_processes_fine_tune_together(repository, labelled, tmp_path):
    names = ("train", "smoke", "multi_gpu_train")
    files = ",".join(f"'bundles/covid19_classification/configs/{name}.json'" for name in names)
    torch.save(build_encoder("resnet18").state_dict(), tmp_path / "encoder.pth")
    overrides = untracked(repository / COVID, "train") | {"image_size": 32, "batch_size": 4, "epochs": 2}
    overrides |= {"pretrained": tmp_path / "encoder.pth", "dataset_dir": labelled, "bundle_root": tmp_path}
    flags = [text for name, value in overrides.items() for text in (f"--{name}", str(value))]
    command = ["-m", "monai.bundle", "run", "--config_file", f"[{files}]", *flags]
    for done in run_program_twice(*command, cwd=repository, env={"OMP_NUM_THREADS": "1"}):
        assert done.returncode == 0, done.stderr[-2000:]
    assert _metadata(tmp_path)["protocol"] == "gradual"
    (folder,) = (tmp_path / "models").glob("*/")
    assert json.loads((folder / "validation" / "metrics.json").read_text())["images"] == 4
