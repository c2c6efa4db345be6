"""Photograph the top of a study's report: study_report.png beside this file.

Run ``python -m monai_ext study run studies/demo.json``, then this script with the path of the report. Needs Chromium.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
SIZE = (920, 1340)
COLORS = 64


def main(report: str, browser: str = "chromium") -> None:
    """Take the picture and keep it with few colours, since it is flat."""
    with tempfile.TemporaryDirectory() as folder:
        taken = Path(folder) / "page.png"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        size = f"--window-size={SIZE[0]},{SIZE[1]}"
        page = Path(report).resolve().as_uri()
        subprocess.run([browser, *options, size, f"--screenshot={taken}", page], check=True, capture_output=True)
        Image.open(taken).convert("RGB").quantize(COLORS).save(HERE / "study_report.png", optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
