"""Lay rows of a picture that a SparK training painted side by side: quickstart.png beside this file.

Run ``bash scripts/quickstart.sh``, then this script with the path of the picture that it names.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
ROWS = (1, 2, 0, 4)
GAP = 8


def main(painted: str) -> None:
    """Take four rows (input, what the network saw, what it painted) and put them in two columns."""
    picture = Image.open(painted).convert("L")
    width, height = picture.width, picture.width // 3
    rows = [picture.crop((0, row * height, width, (row + 1) * height)) for row in ROWS]
    page = Image.new("L", (2 * width + 3 * GAP, 2 * height + GAP), 255)
    for number, row in enumerate(rows):
        page.paste(row, (number % 2 * (width + 3 * GAP), number // 2 * (height + GAP)))
    page.save(HERE / "quickstart.png", optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
