"""``bundle pack``: a trained classification bundle as one file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

__all__ = ["add_options", "main"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.add_argument("bundle", metavar="BUNDLE", help="folder of a trained classification bundle")
    parser.add_argument("package", metavar="OUT.zip", help="file to write")
    parser.add_argument("--results", metavar="metrics.json", help="evaluation of this model, for the model card")
    parser.add_argument("--shortcuts", metavar="FILE", help="JSON by `monai_ext shortcuts`, for the model card")
    parser.add_argument("--reference", metavar="DATA", help="training data, to recognise images unlike them later")
    parser.add_argument(
        "--splits", metavar="FILE", help="splits file of the training; the published split when omitted"
    )
    parser.add_argument("--fold", type=int, default=0, help="fold of the splits file (0)")
    parser.add_argument("--onnx", action="store_true", help="add the network as ONNX")
    parser.add_argument("--with-wheel", metavar="FILE.whl", help="add this project's wheel, and the training's configs")


def main(options: argparse.Namespace) -> int:
    """Pack a trained bundle: literal configs, weights, model card, manifest; nothing that is not listed travels."""
    from monai_ext.sharing.model_card import read_results, read_shortcuts
    from monai_ext.sharing.pack import PackOptions, pack_bundle

    images, private = _reference(options) if options.reference else (None, {})
    packed = PackOptions(
        results=read_results(options.results) if options.results else None,
        shortcuts=read_shortcuts(options.shortcuts) if options.shortcuts else (),
        images=images,
        onnx=options.onnx,
        wheel=Path(options.with_wheel) if options.with_wheel else None,
        private=private,
    )
    manifest = pack_bundle(options.bundle, options.package, packed)
    size = Path(options.package).stat().st_size
    sys.stdout.write(f"Packed {manifest.bundle} {manifest.bundle_version}: {options.package}, {size:,} bytes:\n")
    sys.stdout.write("".join(f"  {name}\n" for name in sorted(manifest.files)))
    sys.stdout.write("Next: bundle sign, then send it, and read your key's fingerprint out on the phone.\n")
    return 0


def _reference(options: argparse.Namespace) -> tuple[object, dict[str, set[str]]]:
    """The training images, and the names of their files, which must not travel."""
    from monai_ext.data import open_labelled_images
    from monai_ext.sharing.bundle_files import open_bundle_files
    from monai_ext.sharing.trained_classifier import read_trained_classifier

    model = read_trained_classifier(open_bundle_files(options.bundle))
    images = open_labelled_images(
        options.reference,
        class_names=model.class_names,
        section="training",
        window=model.settings.get("window", "full"),
        splits=options.splits,
        fold=options.fold,
        seed=int(model.settings.get("seed", 0)),
    )
    names = {part for name in images.ids for part in (name, Path(name).stem)}
    return images, {"name of an image": names, "path": {str(Path(options.reference).resolve())}}
