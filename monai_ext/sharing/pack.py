"""Pack a trained bundle: one file with literal configs, weights, card, manifest, and nothing else."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_safetensors
from torch import nn

from monai_ext.errors import BundleAuditError
from monai_ext.files import parse_json, read_regular
from monai_ext.sharing.audit import audit_bundle
from monai_ext.sharing.bundle_files import open_bundle_files
from monai_ext.sharing.literal_configs import literal_config
from monai_ext.sharing.manifest import Manifest, digests_of
from monai_ext.sharing.model_card import model_card
from monai_ext.sharing.package_file import MANIFEST, canonical_json, write_package
from monai_ext.sharing.private_strings import machine_strings, refuse_private_strings
from monai_ext.sharing.reference_statistics import measure_reference, slice_probabilities
from monai_ext.sharing.series_rule import choose_series_threshold
from monai_ext.sharing.subgroups import measure_subgroups
from monai_ext.sharing.trained_classifier import TrainedClassifier
from monai_ext.sharing.trained_model import REFERENCE, SAFETENSORS, SETTINGS, WEIGHTS, TrainedModel
from monai_ext.sharing.trained_segmenter import TrainedSegmenter, read_trained_model

__all__ = ["PackOptions", "pack_bundle"]

SEGMENTATION_SETTINGS = ("task_kind", "network", "output", "codes")
TRAVELLING_SETTINGS = (
    *("backbone", "in_channels", "image_size", "class_names", "positive_class", "window", "window_hu", "threshold"),
    *("bundle", "bundle_version", "best_epoch", "best_metric", "chosen_by", "epochs", "batch_size", "learning_rate"),
    *("weight_decay", "protocol", "precise_batch_norm", "precision", "seed", "fold", "section", "data_fingerprint"),
    *("mlflow_run_id", "class_weights", *SEGMENTATION_SETTINGS),
)
"""What training wrote about the model and may travel; paths, columns and lineage stay at home."""

TRAVELLING_FILES = ("LICENSE", "configs/logging.conf", "docs/README.md", "docs/data_license.txt")
CONTINUED = ("backbone", "in_channels", "image_size", "class_names", "positive_class", "window")
"""Settings for which a package's configs have the values of its model, so that a training goes on with its network."""
LIBRARIES = ("monai", "torch", "numpy", "monai-ext")
MODEL_CARD = "README.md"
_LARGEST_FILE = 2**30
"""Of what is added beside the weights: a wheel with everything in it has some MiB."""


@dataclass(frozen=True)
class PackOptions:
    """What is packed beside the model.

    Args:
        results: content of ``metrics.json`` of this very model, for the card.
        shortcuts: what trivial predictors reach on the same data, for the card.
        images: training images with their groups, for the reference statistics: ``LabelledImages``, or of a
            segmentation ``SegmentedImages``.
        validation: images of validation with labels and groups, for the threshold of whole series.
        slice_thickness_mm: thinnest and thickest slice of the training; None where not known.
        test: images with labels and groups that subgroups are judged on.
        columns: what tells the subgroups: by name, a value for each image of ``test``.
        onnx: whether an ONNX file is added.
        wheel: the project's wheel, to be added with the configs that need it.
        private: further strings that must not travel, by kind.
    """

    results: Mapping[str, Any] | None = None
    shortcuts: Sequence[Mapping[str, Any]] = ()
    images: Any = None
    validation: Any = None
    slice_thickness_mm: tuple[float, float] | None = None
    test: Any = None
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    onnx: bool = False
    wheel: Path | None = None
    private: Mapping[str, set[str]] = field(default_factory=dict)


def pack_bundle(bundle: str | Path, package: str | Path, options: PackOptions | None = None) -> Manifest:
    """Pack a trained classifier or segmentation network; the same bundle gives the same bytes.

    Only what is listed travels: no checkpoints, no predictions, no training data. The package passes the audit without
    a finding, or it is not written.

    Args:
        bundle: folder of the bundle, trained.
        package: file to write, ending in ``.zip``.
        options: what is added.

    Raises:
        WeightsError: the bundle has no trained model.
        BundleAuditError: a file is missing, or something must not travel.
        PackageError: the file cannot be written.
    """
    options = options or PackOptions()
    folder, target = Path(bundle), Path(package)
    if target.suffix != ".zip":
        raise BundleAuditError(f"Packing {folder}: {target} does not end in .zip, as a package does.")
    name = folder.resolve().name
    model = read_trained_model(open_bundle_files(folder))
    model = replace(model, settings=_travelling(model))
    about = _about(model)
    files = _model_files(model, options)
    model = replace(model, sha256=digests_of(files)[SAFETENSORS])
    if REFERENCE in files:
        model = replace(model, reference=json.loads(files[REFERENCE]))
    files |= _configs(folder, model, with_training=options.wheel is not None)
    files |= _documents(folder)
    license_text = files.get("docs/data_license.txt", b"").decode("utf-8")
    card = model_card(
        model,
        name=name,
        about=about,
        results=options.results,
        shortcuts=options.shortcuts,
        subgroups=_subgroups(model, options),
        data_license=license_text,
    )
    files[MODEL_CARD] = card.encode()
    if options.wheel is not None:
        files[f"wheels/{options.wheel.name}"] = _read(options.wheel.parent, options.wheel.name)
    manifest = Manifest(name, model.version, digests_of(files), about)
    files[MANIFEST] = manifest.to_bytes()
    refuse_private_strings(_own_words(files), {**machine_strings(folder), **options.private})
    _write_when_it_passes(target, files, root=name)
    return manifest


def _own_words(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if not name.startswith("wheels/")}


def _travelling(model: TrainedModel) -> dict[str, Any]:
    """Settings that leave: of a table's own names for classes nothing does, of a mask's labels the names do."""
    names = (*TRAVELLING_SETTINGS, "labels") if isinstance(model, TrainedSegmenter) else TRAVELLING_SETTINGS
    return {name: model.settings[name] for name in names if name in model.settings}


def _about(model: TrainedModel) -> dict[str, Any]:
    about = {name: model.settings.get(name) for name in ("mlflow_run_id", "data_fingerprint")}
    return about | {"libraries": {name: _version(name) for name in LIBRARIES}, "packed_with": "monai_ext bundle pack"}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _model_files(model: TrainedModel, options: PackOptions) -> dict[str, bytes]:
    weights = {name: tensor.contiguous().clone() for name, tensor in model.weights.items()}
    with io.BytesIO() as buffer:
        torch.save(weights, buffer)
        state_dict = buffer.getvalue()
    files = {WEIGHTS: state_dict, SAFETENSORS: save_safetensors(weights)}
    hashed = model.settings | {"weights_sha256": digests_of(files)[WEIGHTS]}
    files[SETTINGS] = canonical_json(hashed)
    if options.images is not None:
        files[REFERENCE] = canonical_json(_reference(model, options))
    if options.onnx:
        files["models/model.onnx"] = _onnx(model)
    return files


def _reference(model: TrainedModel, options: PackOptions) -> dict[str, Any]:
    images = options.images
    inputs = model.metadata.get("network_data_format", {}).get("inputs", {}).get("image", {})
    measured = measure_reference(
        model.build(),
        ((images[number]["image"], images.groups[number]) for number in range(len(images))),
        image_size=model.settings["image_size"],
        in_channels=model.settings["in_channels"],
        modality=str(inputs.get("modality", "CT")),
    )
    measured |= {
        "body_parts": list(model.metadata.get("body_parts", [])),
        "slice_thickness_mm": None if options.slice_thickness_mm is None else list(options.slice_thickness_mm),
    }
    if isinstance(model, TrainedClassifier):
        measured["series"] = _series_rule(model, options.validation)
    return measured


def _series_rule(model: TrainedClassifier, images: Any) -> dict[str, Any] | None:
    if images is None or not model.is_binary:
        return None
    probabilities = slice_probabilities(model, images)[:, model.positive]
    positive = [label == model.positive for label in images.labels]
    return choose_series_threshold(probabilities.tolist(), positive, images.groups)


def _subgroups(model: TrainedModel, options: PackOptions) -> list[dict[str, Any]]:
    if not options.columns or not isinstance(model, TrainedClassifier):
        return []
    return measure_subgroups(
        options.columns,
        slice_probabilities(model, options.test),
        options.test.labels,
        options.test.groups,
        class_names=model.class_names,
        positive_class=model.class_names[model.positive] if model.is_binary else None,
        threshold=model.threshold if model.is_binary else None,
    )


def _onnx(model: TrainedModel) -> bytes:
    """The network with softmax as ONNX, without the traces of this machine's files that the exporter leaves in it."""
    from monai_ext.sharing.export import export_network

    is_sigmoid = isinstance(model, TrainedSegmenter) and model.output == "sigmoid"
    network = nn.Sequential(model.build(), nn.Sigmoid() if is_sigmoid else nn.Softmax(dim=1)).eval()
    with tempfile.TemporaryDirectory() as temporary:
        file = export_network(network, "onnx", Path(temporary) / "model", metadata=model.settings)
        import onnx

        program = onnx.load(str(file))
    for part in (program.graph, *program.functions):
        for element in (part, *part.node, *part.value_info):
            element.ClearField("doc_string")
            element.ClearField("metadata_props")
    return program.SerializeToString(deterministic=True)


def _configs(folder: Path, model: TrainedModel, *, with_training: bool) -> dict[str, bytes]:
    names = ["inference"] + (["train", "evaluate"] if with_training else [])
    files = {"configs/metadata.json": _read(folder, "configs/metadata.json")}
    for name in names:
        config = _config(folder, name)
        if name != "inference":
            config |= {key: model.settings[key] for key in CONTINUED if key in config and key in model.settings}
        # a config's own id "network" is the network itself, not what a segmentation's settings say it is made of
        literal = literal_config(config, {k: v for k, v in model.settings.items() if k != "network"})
        files[f"configs/{name}.json"] = (json.dumps(literal, indent=4) + "\n").encode()
    return files


def _documents(folder: Path) -> dict[str, bytes]:
    files = {name: _read(folder, name) for name in TRAVELLING_FILES if (folder / name).is_file()}
    missing = [name for name in ("LICENSE", "docs/README.md") if name not in files]
    if missing:
        raise BundleAuditError(f"Packing {folder}: it lacks {', '.join(missing)}, without which nobody may use it.")
    return files


def _config(folder: Path, name: str) -> Any:
    try:
        return parse_json(_read(folder, f"configs/{name}.json"))
    except ValueError as error:
        raise BundleAuditError(f"Packing {folder}: configs/{name}.json is no JSON ({error}).") from error


def _read(folder: Path, name: str) -> bytes:
    try:
        return read_regular(folder / name, most=_LARGEST_FILE)
    except OSError as error:
        raise BundleAuditError(f"Packing {folder}: {name} cannot be read ({error.strerror or error}).") from error


def _write_when_it_passes(target: Path, files: Mapping[str, bytes], *, root: str) -> None:
    """Write the package under its name only after it has passed the audit under another."""
    with tempfile.TemporaryDirectory() as temporary:
        trial = Path(temporary) / target.name
        write_package(trial, files, root=root)
        report = audit_bundle(trial)
    findings = [finding for finding in report.findings if finding.rule != "wheel"]
    if findings:
        first = findings[0]
        raise BundleAuditError(
            f"The package would not pass the audit of who receives it ({len(findings)} findings; first: {first.file}"
            f" {first.place} [{first.rule}] {first.text}: {first.reason}). Nothing was packed. Look at `bundle audit`."
        )
    write_package(target, files, root=root)
