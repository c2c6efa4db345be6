"""``python -m monai_ext explain BUNDLE DATA OUT``: draw what in an image spoke for a class (Grad-CAM).

Each image is drawn at its own size, beside it the same under the heat with its scale, the class and its probability;
explanations.csv says which file each picture is of. DATA is a folder of pictures, DICOM, NIfTI, MetaImage or NRRD, or a
slice store. For research only; not for diagnosis.

Example:
  python -m monai_ext explain bundles/covid19_classification /data/covid_ct explanations
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from monai_ext.cli._classifier import add_classifier_options, chosen_classifier
from monai_ext.cli._parser import command_parser
from monai_ext.cli._progress import progress_bar
from monai_ext.cli._writing import writing_to

__all__ = ["main", "options_of_images"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a picture for each image, and explanations.csv."""
    options = options_of_images().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    from monai_ext.sharing.infer.answering import Network
    from monai_ext.sharing.infer.explained_images import TABLE, explain_images, open_images

    if options.limit < 1:
        raise ValueError(f"--limit is at least 1 image; received {options.limit}.")
    network = Network(chosen_classifier(options), options.device)
    images = open_images(options.data, network.model)
    output = Path(options.output).expanduser()
    total = min(len(images), options.limit)
    with writing_to(output, "pictures"), progress_bar(total, doing="Explaining", unit=" images") as bar:
        for _ in explain_images(
            network,
            images,
            output,
            limit=options.limit,
            class_name=options.class_name,
            file_names=not options.no_file_names,
        ):
            bar.update()
    sys.stdout.write(f"{output / TABLE}: {total} of {len(images)} images. Research use only; not for diagnosis.\n")
    return 0


def options_of_images() -> argparse.ArgumentParser:
    """The parser of this kind."""
    parser = command_parser("explain", __doc__)
    add_classifier_options(parser)
    parser.add_argument("data", metavar="DATA", help="images, as training takes them")
    parser.add_argument("output", metavar="OUT", help="folder for the pictures")
    parser.add_argument("--class", dest="class_name", metavar="NAME", help="what spoke for this class (the one called)")
    parser.add_argument("--limit", type=int, default=100, help="at most so many images, evenly spaced (100)")
    parser.add_argument(
        "--no-file-names", action="store_true", help="number images in explanations.csv instead of naming them"
    )
    return parser
