"""``python -m monai_ext embed``: write the features of slices, and draw a map of them.

The features go to a Parquet table with pseudonymous ids; the map shows slices that an encoder finds alike beside each
other; with labels, k-NN accuracy says how well features alone tell the classes apart.

Example:
  python -m monai_ext embed bundles/spark_pretrain/models/encoder.pt /data/labelled/labels.csv embedding
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monai_ext.cli._columns import add_column_options, chosen_columns
from monai_ext.cli._parser import command_parser
from monai_ext.cli._progress import progress_bar
from monai_ext.cli._writing import writing_to
from monai_ext.errors import WeightsError
from monai_ext.files import json_or_text

__all__ = ["main"]

logger = logging.getLogger(__name__)

TABLE, POINTS, PICTURE, PAGE = "features.parquet", "map.csv", "map.png", "map.html"
_NEIGHBOURS = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Encode slices with a pre-trained encoder; write features.parquet, map.csv and map.png into a folder."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    from monai_ext.embedding import KeptFeatures, open_slices_to_embed, write_feature_table
    from monai_ext.parallel.devices import select_device

    encoder, about = _open(options)
    slices = open_slices_to_embed(
        options.data,
        image_size=about["image_size"],
        window=about["window"],
        channels=about["channels"],
        class_folders=options.class_folders,
        section=options.section,
        columns=chosen_columns(options),
    )
    about |= {"slices": len(slices.images), "data_fingerprint": slices.images.fingerprint}
    device = select_device(options.device)
    kept = KeptFeatures(len(slices.images), limit=options.map_slices)
    with writing_to(options.output, "features"):
        output = Path(options.output).expanduser()
        output.mkdir(parents=True, exist_ok=True)
        for name in (PICTURE, POINTS, PAGE):  # of an earlier table: if this ends early, they would be taken for its map
            (output / name).unlink(missing_ok=True)
        with progress_bar(len(slices.images), doing="Encoding", unit=" slices") as bar:
            features = _encode(encoder.to(device), slices, options, device)
            about["dimensions"] = write_feature_table(
                output / TABLE, slices.rows, kept.pass_on(features, bar.update), about=about
            )
        written = len(slices.images) - kept.left_out
        sys.stdout.write(f"{output / TABLE}: {written} slices, {about['dimensions']} features each\n")
        if kept.left_out:
            sys.stdout.write(f"{kept.left_out} slices cannot be decoded and are left out; the warnings name them\n")
        _draw(output, slices, kept, about, options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("embed", __doc__)
    parser.add_argument(
        "model",
        metavar="RUN_OR_FILE",
        help="an encoder, checkpoint or published weights; the folder of a run or bundle; or runs:/<MLflow run id>",
    )
    parser.add_argument("data", metavar="DATA", help="folder of slices, slice store, or labels table (.csv)")
    parser.add_argument("output", metavar="OUT", help="folder for the results; made when missing")
    images = parser.add_argument_group("images (as the encoder was trained, where its file tells)")
    images.add_argument("--image-size", type=int, metavar="S", help="side of the input in pixels (else 224)")
    images.add_argument("--window", type=json_or_text, help="preset or [center, width] in HU (else full)")
    images.add_argument("--prefix", help="what stands before conv1.weight in a file with several ResNets")
    labels = parser.add_argument_group("labels (from a table or store that has them, without being asked)")
    labels.add_argument("--class-folders", action="store_true", help="the folders in DATA are classes")
    labels.add_argument("--section", default="all", help="training, validation, test or all (all)")
    add_column_options(labels)
    drawing = parser.add_argument_group("map")
    drawing.add_argument("--map", choices=["tsne", "pca", "none"], default="tsne", help="(tsne)")
    drawing.add_argument("--map-slices", type=int, default=5000, metavar="N", help="at most so many on the map (5000)")
    drawing.add_argument("--html", action="store_true", help=f"write {PAGE} too, which tells of each point")
    drawing.add_argument("--seed", type=int, default=0, help="of the map (0)")
    parser.add_argument("--batch-size", type=int, default=64, help="slices at a time (64)")
    parser.add_argument("--num-workers", type=int, default=2, help="processes that read slices (2)")
    parser.add_argument("--precision", choices=["fp32", "bf16", "fp16", "auto"], default="fp32", help="(fp32)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 ... (a GPU where there is one)")
    return parser


def _open(options: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The encoder, and how its images have to be made."""
    from monai_ext.networks.weights import open_encoder

    encoder, report, settings = open_encoder(options.model, prefix=options.prefix)
    if encoder.conv1.weight.ndim != 4:
        raise WeightsError(
            f"Slices cannot be embedded by the encoder of {options.model}: it is a {report.architecture}, for volumes."
            " `inference.json` with `volumes_inference.json` of its bundle writes the features of volumes."
        )
    image_size = options.image_size or settings.get("image_size")
    window = options.window or settings.get("window")
    if image_size is None or window is None:
        logger.warning(
            "%s does not say how its images were made: image size %d and window %s are used. Give --image-size and"
            " --window as in its training.",
            options.model,
            image_size or 224,
            window or "full",
        )
    about = {
        "layout": report.layout,
        "architecture": report.architecture,
        "method": settings.get("method"),
        "images_seen": settings.get("images_seen"),
        "image_size": int(image_size or 224),
        "window": window or "full",
        "channels": int(encoder.conv1.in_channels),
    }
    return encoder, about


def _encode(encoder: Any, slices: Any, options: argparse.Namespace, device: torch.device) -> Iterator[Tensor]:
    from monai_ext.embedding import encode_slices

    return encode_slices(
        encoder,
        slices,
        device=device,
        batch_size=options.batch_size,
        precision=options.precision,
        num_workers=options.num_workers,
    )


def _draw(output: Path, slices: Any, kept: Any, about: dict[str, Any], options: argparse.Namespace) -> None:
    labels = [slices.labels[row] for row in kept.rows] if slices.labels else []
    neighbours = _tell_neighbours(slices, kept) if labels else ""
    if options.map == "none":
        return
    from monai_ext.embedding import draw_map_page, draw_map_picture, map_points
    from monai_ext.files import write_atomically
    from monai_ext.foreign_text import csv_text

    points, how = map_points(kept.features, method=options.map, seed=options.seed)
    rows = [
        {"index": slices.images.indices[row], "group": slices.groups[row], "label": labels[place] if labels else None}
        for place, row in enumerate(kept.rows)
    ]
    title = f"{len(rows)} slices by the features of {about['method'] or about['layout']}, {about['architecture']}"
    caption = f"{how}; {about['image_size']} px, window {about['window']}{neighbours}"
    draw_map_picture(output / PICTURE, points, labels, title=title, caption=caption)
    if options.html:
        draw_map_page(output / PAGE, points, rows, title=title, caption=caption)
    places = ([*row.values(), f"{x:.4f}", f"{y:.4f}"] for row, (x, y) in zip(rows, points, strict=True))
    text = csv_text(["index", "group", "label", "x", "y"], places)
    write_atomically(output / POINTS, lambda file: file.write(text.encode()))
    written = [PICTURE, POINTS, *([PAGE] if options.html else [])]
    sys.stdout.write(f"{output}: {', '.join(written)}: {how}\n")


def _tell_neighbours(slices: Any, kept: Any) -> str:
    """k-NN accuracy of the slices on the map, written out and for the caption; why not, where it cannot be told.

    Of a published split only the training section counts: its test section is not for trying encoders.
    """
    from monai_ext.metrics.nearest_neighbours import knn_accuracies

    places = [n for n, row in enumerate(kept.rows) if not slices.sections or slices.sections[row] == "training"]
    rows = [kept.rows[place] for place in places]
    names = sorted({slices.labels[row] for row in rows})
    numbers = [names.index(slices.labels[row]) for row in rows]
    groups = [slices.groups[row] for row in rows]
    try:
        plain, balanced = knn_accuracies(kept.features[places], numbers, groups, k=_NEIGHBOURS)
    except ValueError as error:
        sys.stdout.write(f"No k-NN accuracy: {error}\n")
        return ""
    sys.stdout.write(
        f"k-NN accuracy {plain:.3f}, balanced {balanced:.3f} ({_NEIGHBOURS} neighbours, own group left out,"
        f" {len(rows)} slices{' of the training section' if slices.sections else ''})\n"
    )
    return f"; k-NN accuracy {plain:.2f}, balanced {balanced:.2f}"
