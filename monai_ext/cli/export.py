"""``python -m monai_ext export``: write a bundle's classifier as TorchScript, ONNX, or torch.export program.

The exported program is compared with the network on the same input before it is kept.

Example:
  python -m monai_ext export bundles/covid19_classification --format onnx torchscript
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from monai_ext.cli._parser import command_parser

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Export the trained model of a classification bundle; each file is compared with the original network."""
    from monai_ext.sharing.export import FORMATS, export_bundle

    parser = command_parser("export", __doc__)
    parser.add_argument("bundle", metavar="BUNDLE", help="folder of the bundle")
    parser.add_argument("--format", nargs="+", choices=list(FORMATS), default=["torchscript"], dest="formats")
    parser.add_argument("--model", help="file that training wrote (models/model.pt of the bundle)")
    parser.add_argument("--output", metavar="FOLDER", help="where to put the files (beside the model)")
    options = parser.parse_args(arguments)
    files = export_bundle(options.bundle, formats=options.formats, model=options.model, output_dir=options.output)
    for name, file in files.items():
        sys.stdout.write(f"{name}: {file}\n")
    return 0
