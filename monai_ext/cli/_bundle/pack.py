"""``bundle pack``: a trained classification bundle as one file."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_ext.data import LabelledSections, SegmentedSections
    from monai_ext.sharing.trained_classifier import TrainedClassifier
    from monai_ext.sharing.trained_model import TrainedModel
    from monai_ext.sharing.trained_segmenter import TrainedSegmenter

__all__ = ["add_options", "main"]

logger = logging.getLogger(__name__)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.add_argument("bundle", metavar="BUNDLE", help="folder of a trained classification or segmentation bundle")
    parser.add_argument("package", metavar="OUT.zip", help="file to write")
    parser.add_argument("--results", metavar="metrics.json", help="evaluation of this model, for the model card")
    parser.add_argument("--shortcuts", metavar="FILE", help="JSON by `monai_ext shortcuts`, for the model card")
    parser.add_argument(
        "--reference",
        metavar="DATA",
        help="data of the training with labels or masks: to recognise images unlike them; from labels also to choose"
        " a threshold for series",
    )
    parser.add_argument(
        "--splits",
        metavar="FILE",
        help="splits file; that of the training, or the published split, when omitted",
    )
    parser.add_argument("--fold", type=int, help="fold of the splits file (that of the training)")
    parser.add_argument(
        "--slice-thickness",
        metavar=("LOW", "HIGH"),
        nargs=2,
        type=float,
        help="of the training in mm, where DATA does not say it: pictures do not",
    )
    parser.add_argument(
        "--subgroups",
        metavar="COLUMNS",
        help="columns of DATA such as sex,age,scanner: the section test is judged by them, for the model card",
    )
    parser.add_argument("--onnx", action="store_true", help="add the network as ONNX")
    parser.add_argument("--with-wheel", metavar="FILE.whl", help="add this project's wheel, and the training's configs")


def main(options: argparse.Namespace) -> int:
    """Pack a trained bundle: literal configs, weights, model card, manifest; nothing that is not listed travels."""
    from monai_ext.errors import BundleAuditError
    from monai_ext.sharing.model_card import read_results, read_shortcuts
    from monai_ext.sharing.pack import PackOptions, pack_bundle

    if options.reference is None and (options.subgroups or options.slice_thickness):
        raise BundleAuditError(
            "--subgroups and --slice-thickness belong to --reference DATA: name the labelled data of the training."
        )
    packed = PackOptions(
        results=read_results(options.results) if options.results else None,
        shortcuts=read_shortcuts(options.shortcuts) if options.shortcuts else (),
        onnx=options.onnx,
        wheel=Path(options.with_wheel) if options.with_wheel else None,
        **(_reference(options) if options.reference else {}),
    )
    manifest = pack_bundle(options.bundle, options.package, packed)
    size = Path(options.package).stat().st_size
    sys.stdout.write(f"Packed {manifest.bundle} {manifest.bundle_version}: {options.package}, {size:,} bytes:\n")
    sys.stdout.write("".join(f"  {name}\n" for name in sorted(manifest.files)))
    sys.stdout.write("Next: bundle sign, then send it, and read your key's fingerprint out on the phone.\n")
    return 0


def _reference(options: argparse.Namespace) -> dict[str, Any]:
    """Sections of the training's data, and the names of their files, which must not travel."""
    from monai_ext.errors import BundleAuditError
    from monai_ext.sharing.bundle_files import open_bundle_files
    from monai_ext.sharing.trained_segmenter import TrainedSegmenter, read_trained_model

    model = read_trained_model(open_bundle_files(options.bundle))
    if isinstance(model, TrainedSegmenter):
        if options.subgroups:
            raise BundleAuditError(f"--subgroups judges classes, and the model of {options.bundle} is a segmentation.")
        return _found(options, _masked_sections(options, model))
    sections = _sections(options, model)
    found = _found(options, sections)
    if sections.fingerprint != model.settings.get("data_fingerprint"):
        mismatch = f"{options.reference} is not the data that the model was trained on, by its fingerprint"
        if options.subgroups:
            raise BundleAuditError(
                f"{mismatch}: its section test may be of the training. Name the training's own data."
            )
        logger.warning("%s: no threshold for whole series is chosen on its section validation.", mismatch)
        return found
    if options.subgroups:
        columns = {name.strip(): sections.column(name.strip(), "test") for name in options.subgroups.split(",")}
        found |= {"test": sections.choose("test"), "columns": columns}
    return found | {"validation": sections.validation}


def _found(options: argparse.Namespace, sections: LabelledSections | SegmentedSections) -> dict[str, Any]:
    """Training images, their thickness, and what of them must not travel."""
    names = {part for name in sections.division.data.items.ids for part in (name, Path(name).stem)}
    return {
        "images": sections.choose("training"),
        "slice_thickness_mm": _slice_thickness(options, sections),
        "private": {"name of an image": names, "path": {str(Path(options.reference).resolve())}},
    }


def _sections(options: argparse.Namespace, model: TrainedClassifier) -> LabelledSections:
    from monai_ext.data import open_labelled_sections

    names = model.settings.get("labels") or model.class_names
    return open_labelled_sections(options.reference, class_names=names, **_as_trained(options, model))


def _masked_sections(options: argparse.Namespace, model: TrainedSegmenter) -> SegmentedSections:
    from monai_ext.data import open_segmented_sections

    names = model.settings.get("class_names") or ["background", *model.labels.values()]
    values = model.settings.get("mask_values")
    return open_segmented_sections(
        options.reference, class_names=names, mask_values=values, **_as_trained(options, model)
    )


def _as_trained(options: argparse.Namespace, model: TrainedModel) -> dict[str, Any]:
    """How the training opened its data, unless the command line says otherwise."""
    settings = model.settings
    trained_by = settings.get("splits")
    return {
        "window": settings.get("window", "full"),
        "columns": settings.get("columns"),
        "splits": options.splits or (trained_by if trained_by and Path(trained_by).is_file() else None),
        "fold": int(settings.get("fold") or 0) if options.fold is None else options.fold,
        "seed": int(settings.get("seed") or 0),
    }


def _slice_thickness(
    options: argparse.Namespace, sections: LabelledSections | SegmentedSections
) -> tuple[float, float] | None:
    """As given, else thinnest and thickest slice of the training as labelled data say; None where they do not."""
    from monai_ext.data import LabelledSections
    from monai_ext.errors import SplitError

    if options.slice_thickness:
        return min(options.slice_thickness), max(options.slice_thickness)
    if not isinstance(sections, LabelledSections):
        return None
    try:
        thicknesses_mm = [float(value) for value in sections.column("slice_thickness_mm", "training") if value]
    except (SplitError, ValueError):
        return None
    return (min(thicknesses_mm), max(thicknesses_mm)) if thicknesses_mm else None
