"""``python -m monai_ext explain ENCODERS DATA``: compare what encoders compute, layer by layer, on one page."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from monai_ext.cli._columns import add_column_options, chosen_columns
from monai_ext.cli._parser import command_parser
from monai_ext.cli._progress import progress_bar
from monai_ext.cli._writing import writing_to
from monai_ext.files import json_or_text

__all__ = ["main", "options_of_encoders"]

_USAGE = "python -m monai_ext explain [options] ENCODER [ENCODER ...] DATA"


def main(arguments: Sequence[str]) -> int:
    """Measure encoders, and write the page with its numbers."""
    parser = options_of_encoders(None)
    options = parser.parse_intermixed_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if len(options.inputs) < 2:
        raise ValueError(
            f"Explaining needs encoders and labelled images: {_USAGE}. Received {len(options.inputs)} of them"
            f"{': ' + options.inputs[0] if options.inputs else ''}. Of a trained classifier's images: BUNDLE DATA OUT."
        )
    from monai_ext.networks.stage_maps import STAGES
    from monai_ext.parallel.devices import select_device
    from monai_ext.study.layers import (
        Budget,
        compare_layers,
        measure_layers,
        open_encoders,
        open_judged_images,
        write_explanation,
    )
    from monai_ext.study.layers.results import high_bands

    _check(options)
    *sources, data = options.inputs
    encoders = open_encoders(sources, image_size=options.image_size, window=options.window, seed=options.seed)
    for encoder in encoders:
        high_bands(encoder, cut=options.cut)
    judged = open_judged_images(
        data, columns=chosen_columns(options), limit=options.images, folds=options.folds, seed=options.seed
    )
    for encoder in encoders:  # a window that does not fit the data is refused before hours of work
        judged.opened(image_size=encoder.image_size, window=encoder.window, channels=encoder.channels)
    budget = Budget(
        batch_size=options.batch_size,
        frequency_images=options.frequency_images,
        field_images=options.field_images,
        strength=options.noise,
    )
    device = select_device(options.device)
    with progress_bar(len(encoders) * budget.steps(len(judged)), doing="Encoding", unit=" images") as bar:
        measured = [
            measure_layers(encoder, judged, device=device, budget=budget, seed=options.seed, progress=bar.update)
            for encoder in encoders
        ]
    with progress_bar(len(encoders) * len(STAGES), doing="Probing", unit=" layers") as bar:
        results = compare_layers(encoders, judged, measured, cut=options.cut, progress=bar.update)
    output = Path(options.output).expanduser()
    with writing_to(output, "the explanation"):
        files = write_explanation(results, output, budget=budget, seed=options.seed)
    sys.stdout.write(f"{files[0]}: {len(encoders)} encoders on {len(judged)} images. Numbers lie beside it.\n")
    return 0


def options_of_encoders(docstring: str | None) -> argparse.ArgumentParser:
    """The parser of this kind, with the help of the whole command."""
    parser = command_parser("explain", docstring or __doc__)
    parser.usage = _USAGE
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="ENCODER ... DATA",
        help="encoders: files, output folders of trainings, runs:/<MLflow run id>, each with NAME= before it if you"
        " like, or scratch and start (or scratch:SEED) for random weights, which are added where they are not named;"
        " then the data: a labels table, folder of classes, or slice store with labels",
    )
    parser.add_argument("--output", default="explanation", metavar="DIR", help="folder for the results (explanation)")
    images = parser.add_argument_group("images (never those of a published test section)")
    images.add_argument("--images", type=int, default=2000, metavar="N", help="at most so many, by patient (2000)")
    images.add_argument("--folds", type=int, default=5, metavar="K", help="of the linear probe, by patient (5)")
    images.add_argument("--image-size", type=int, metavar="S", help="side of the input (what each encoder's file says)")
    images.add_argument("--window", type=json_or_text, help="preset or [center, width] in HU (what each file says)")
    add_column_options(images)
    measures = parser.add_argument_group("measures")
    measures.add_argument("--cut", type=float, default=16.0, metavar="C", help="from C cycles an image: high (16)")
    measures.add_argument("--noise", type=float, default=0.05, metavar="PART", help="of an image's deviation (0.05)")
    measures.add_argument("--frequency-images", type=int, default=128, metavar="N", help="for frequencies (128)")
    measures.add_argument("--field-images", type=int, default=128, metavar="N", help="for receptive fields (128)")
    parser.add_argument("--batch-size", type=int, default=32, help="images at a time (32)")
    parser.add_argument("--seed", type=int, default=0, help="of folds, noise, and random weights without their own (0)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 ... (a GPU where there is one)")
    return parser


def _check(options: argparse.Namespace) -> None:
    for name, least in (("images", 1), ("folds", 3), ("frequency_images", 8), ("field_images", 8), ("batch_size", 1)):
        value = getattr(options, name)
        if value < least:
            raise ValueError(f"--{name.replace('_', '-')} is at least {least}; received {value}.")
    if not 0 < options.noise <= 1:
        raise ValueError(f"--noise is a part of an image's own deviation, within (0, 1]; received {options.noise}.")
