"""``python -m monai_ext explain``: compare encoders layer by layer, or draw what in an image spoke for a class.

ENCODERS DATA is about pre-trained encoders on labelled images, and gives a page. BUNDLE DATA OUT is about a trained
classifier's images, and gives a picture of each. Which is meant is told by the inputs: a bundle of a classifier, or a
package (.zip), is the second. For research only; not for diagnosis.

Example:
  python -m monai_ext explain runs/spark/encoder.pt runs/swav scratch /data/covid_ct --output explanation
  python -m monai_ext explain bundles/covid19_classification /data/covid_ct explanations
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Explain encoders, or images."""
    from monai_ext.cli._explain import encoders, images

    texts = list(sys.argv[2:] if arguments is None else arguments)
    if any(text in ("-h", "--help") for text in texts):
        kinds = (encoders.options_of_encoders(__doc__), images.options_of_images())
        sys.stdout.write("\n".join(parser.format_help() for parser in kinds))
        raise SystemExit(0)
    if any(_is_classifier(text) for text in texts):
        return images.main(texts)
    return encoders.main(texts)


def _is_classifier(text: str) -> bool:
    """Whether this is a package, or the folder of a bundle that exports no encoder."""
    from monai_ext.networks.weights.open_encoder import PLACES_IN_FOLDERS

    path = Path(text).expanduser()
    try:
        if path.suffix == ".zip":
            return path.is_file()
        has_encoder = any((path / name).is_file() for name in PLACES_IN_FOLDERS)
        return (path / "configs" / "metadata.json").is_file() and not has_encoder
    except (OSError, ValueError):  # a text that cannot be a path
        return False
