"""``python -m monai_ext views``: draw a page of example views of a bundle's training.

Rows are slices, columns are views as the network gets them: look at them before a long training.

Example:
  python -m monai_ext views bundles/byol_pretrain --dataset_dir /data/ct --output views.png
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_ext.cli._parser import command_parser

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the views that a bundle's ``train.json`` makes, of the images that it trains on."""
    options = _parser().parse_args(arguments)
    from monai_ext.files import write_atomically
    from monai_ext.handlers.view_images import draw_view_page

    folder = _bundle_folder(options.bundle)
    dataset, views = _read(folder, dataset_dir=options.dataset_dir)
    page = draw_view_page(dataset, views, images=options.images, seed=options.seed)
    output = Path(options.output or f"{folder.name}_views.png").expanduser()
    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(output, lambda file: page.save(file, format="PNG"))
    sys.stdout.write(f"{output}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("views", __doc__)
    parser.add_argument("bundle", metavar="BUNDLE", help="folder of a pre-training bundle, or its name in bundles/")
    parser.add_argument("--dataset_dir", "--dataset-dir", help="folder of slices; the bundle's own when omitted")
    parser.add_argument("--output", metavar="F.png", help="picture to write; BUNDLE_views.png when omitted")
    parser.add_argument("--images", type=int, default=6, metavar="N", help="images to show (6)")
    parser.add_argument("--seed", type=int, default=0, help="of the views (0)")
    return parser


def _bundle_folder(bundle: str) -> Path:
    """The bundle's folder, given itself or by its name.

    Raises:
        ValueError: neither is a bundle.
    """
    candidates = [Path(bundle).expanduser(), Path("bundles") / bundle]
    for folder in candidates:
        if (folder / "configs" / "train.json").is_file():
            return folder.resolve()
    looked = " and ".join(str(folder) for folder in candidates)
    raise ValueError(
        f"Drawing the views of {bundle!r}: there is no configs/train.json in {looked}. Give the folder of a bundle, for"
        " example bundles/spark_pretrain."
    )


def _read(folder: Path, *, dataset_dir: str | None) -> tuple[Any, Any]:
    """The training's data set and views; nothing else of the config is made.

    Raises:
        ValueError: the bundle makes no views by the batch.
    """
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(folder / "configs" / "train.json"))
    for name in ("train::dataset", "train::views"):
        if name not in parser:
            raise ValueError(
                f"Drawing the views of {folder.name}: its train.json has no {name!r}. Views by the batch are made by"
                " the pre-training bundles."
            )
    if dataset_dir is not None:
        parser["dataset_dir"] = dataset_dir
    return parser.get_parsed_content("train::dataset"), parser.get_parsed_content("train::views")
