"""Which trained model a command uses: a bundle's of one's own, or that of a package after it was verified."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from monai_ext.cli._bundle.verify import add_trust_options, trusted_keys

if TYPE_CHECKING:
    from monai_ext.sharing.bundle_files import BundleFiles
    from monai_ext.sharing.trained_classifier import TrainedClassifier
    from monai_ext.sharing.trained_segmenter import TrainedSegmenter

__all__ = ["add_classifier_options", "chosen_classifier", "chosen_model"]


def add_classifier_options(parser: argparse.ArgumentParser) -> None:
    """The bundle, the device, and whose signatures count."""
    parser.add_argument("bundle", metavar="BUNDLE_OR_ZIP", help="folder of a trained bundle, or a package")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda (cpu)")
    parser.add_argument("--accept-unsigned", action="store_true", help="use a package that nobody vouches for, too")
    add_trust_options(parser)


def chosen_classifier(options: argparse.Namespace) -> TrainedClassifier:
    """The classifier that was named on the command line.

    Raises:
        PackageError: a package is not as somebody trusted signed it.
        WeightsError: there is no trained classifier in it.
    """
    from monai_ext.sharing.trained_classifier import read_trained_classifier

    return read_trained_classifier(_chosen_files(options))


def chosen_model(options: argparse.Namespace) -> TrainedClassifier | TrainedSegmenter:
    """The classifier or segmentation network that was named on the command line.

    Raises:
        PackageError: a package is not as somebody trusted signed it.
        WeightsError: there is no trained model in it.
    """
    from monai_ext.sharing.trained_segmenter import read_trained_model

    return read_trained_model(_chosen_files(options))


def _chosen_files(options: argparse.Namespace) -> BundleFiles:
    from monai_ext.errors import PackageError
    from monai_ext.foreign_text import listed
    from monai_ext.sharing.bundle_files import open_bundle_files
    from monai_ext.sharing.verification import verify_package

    if Path(options.bundle).is_dir():
        return open_bundle_files(options.bundle)
    found = verify_package(options.bundle, trusted=trusted_keys(options))
    problems = [problem for problem in found.problems if not (options.accept_unsigned and "not signed" in problem)]
    if problems:
        raise PackageError(f"{options.bundle} is not used: {listed(problems, separator='; ')}.")
    return found.bundle
