"""One 12-bit picture in the compressions that no encoder on the package index writes, and damaged streams of it.

The JPEG streams were written by dcmtk 3.6.7 (``dcmcjpeg`` with ``+ee``, ``+es``, ``+ep`` (``+q 100``), ``+el`` and
``+e1``), the HTJ2K streams by OpenJPH 0.9.0 (``ojph_compress -num_decomps 2``, with ``-reversible true``, with
``-prog_order RPCL``, and with ``-qstep 0.0001``). Damaged streams were found by changing single bytes of a lossless
JPEG of another picture.
"""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

import numpy as np
from pydicom.encaps import encapsulate

from helpers.dicom_files import ct_slice, write
from monai_ext.decoders.compressed_frame import CompressedFrame

PICTURE = (4095 * np.add.outer(np.arange(16), np.arange(16)) // 30).astype(np.uint16)
_STEM = "1.2.840.10008.1.2.4."
STREAMS = {
    _STEM + "51": b64decode(
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"
        "AQEBAQEBAQEBAQEBAQH/wQALDAAQABABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAADgD/xAAeEAABAQkAAAAAAAAAAAAAAAAMESIp"
        "OUdXZXWB0f/aAAgBAQAAPwA7sjJAyRD7d90xlji7X3atIiAZIGSIfbvumMscXa+7VqGSBkiH277pjLHF2vu1aREAyQMkQ+3fdMZY"
        "4u192rX/2Q=="
    ),
    _STEM + "53": b64decode(
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"
        "AQEBAQEBAQEBAQEBAQH/wgALDAAQABABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAADgD/2gAIAQEAAAAAO7KIgkRB/8QAFRABAQAA"
        "AAAAAAAAAAAAAAAADAD/2gAIAQEAAQUAMkGSIyQZIjJBkiMkGSL/xAAdEAAABQUAAAAAAAAAAAAAAAAJESIpR1dldYHR/9oACAEB"
        "AAY/AA+2+6Yxji7X3ZqD7b7pjGOLtfdmoPtvumMY4u192ag+2+6Yxji7X3Zq/9k="
    ),
    _STEM + "55": b64decode(
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"
        "AQEBAQEBAQEBAQEBAQH/wgALDAAQABABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAADQD/2gAIAQEAAAABO7ERCREP/8QAFRABAQAA"
        "AAAAAAAAAAAAAAAACgD/2gAIAQEAAQUCMkZKMkZKMkZKMkZK/8QAGhAAAAcAAAAAAAAAAAAAAAAAAAcnRVVjc//aAAgBAQAGPwIv"
        "k+jGzKoF8n0Y2ZVAvk+jGzKoF8n0Y2ZVD//EABUQAQEAAAAAAAAAAAAAAAAAAPBh/9oACAEBAAE/IWYVmFZhWYX/2gAIAQEAAAAQ"
        "D//EABcQAAMBAAAAAAAAAAAAAAAAAACB8BH/2gAIAQEAAT8QsIb0WEN6LCG9FhDej///2Q=="
    ),
    _STEM + "57": b64decode(
        "/9j/4AAQSkZJRgABAQAAAQABAAD/wwALEAAQABABAREA/8QAFgABAQEAAAAAAAAAAAAAAAAABwgQ/9oACAEBAAYAANRFE0RRNEUT"
        "RFE0RRNEUTRFE0RRCKiIqIioiKiIqIioiKiItEoiKiIqIioiKiIqIioiKiUQioiKiIqIioiKiIqIioiLRKIioiKiIqIioiKiIqIi"
        "olEIqIioiKiIqIioiKiIqIi0SiIqIioiKiIqIioiKiIqJRCKiIqIioiKiIqIioiKiItEoiKiIqIioiKiIqIioiKiUQioiKiIqIio"
        "iKiIqIioiLRKIioiKiIqIioiKiIqIiolEIqIioiKiIqIioiKiIqIi0SiIqIioiKiIqIioiKiIqJRCKiIqIioiKiIqIioiKiItEoi"
        "KiIqIioiKiIqIioiKiUQioiKiIqIioiKiIqIioiL/9k="
    ),
    _STEM + "70": b64decode(
        "/9j/4AAQSkZJRgABAQAAAQABAAD/wwALEAAQABABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAACBD/2gAIAQEAAQAAkQiUQiUQiUQi"
        "UQiUQiUQiUQiESiESiESiESiESiESiESiESiUQiUQiUQiUQiUQiUQiUQiUQiESiESiESiESiESiESiESiESiUQiUQiUQiUQiUQiU"
        "QiUQiUQiESiESiESiESiESiESiESiESiUQiUQiUQiUQiUQiUQiUQiUQiESiESiESiESiESiESiESiESiUQiUQiUQiUQiUQiUQiUQ"
        "iUQiESiESiESiESiESiESiESiESiUQiUQiUQiUQiUQiUQiUQiUQiESiESiESiESiESiESiESiESiUQiUQiUQiUQiUQiUQiUQiUQi"
        "ESiESiESiESiESiESiESiESiUQiUQiUQiUQiUQiUQiUQiUQiESiESiESiESiESiESiESiET/AP//2Q=="
    ),
    _STEM + "201": b64decode(
        "/0//UQApQAAAAAAQAAAAEAAAAAAAAAAAAAAAEAAAABAAAAAAAAAAAAABCwEB/1AACAACAAAAB/9SAAwAAgABAAIEBEAB/1wACiBw"
        "eHh4cHB4/2QAFgABT3BlbkpQSCBWZXIgMC45LjAu/5AACgAAAAAAsAAB/5PAAW6A/Z+73NW97pgvVa3ul4qZaiDiXvcy6wUtDIAH"
        "NwDAAKqAAVZkyJAh86pyAnUAZJIhQ+bAQgHstgDAAXRwAF00AAtMAAAAAAEBAAAAEBAAAAAAAQEAAAAQEBOA1OA1OA0MLFStvQAA"
        "AAAAAAAAEAAQABAAEAAQABAAEAAQAxgAgjGADHAGgBoqVK2wAQAAAAAAAAAAAAGgBoAaKlStuwD/2Q=="
    ),
    _STEM + "202": b64decode(
        "/0//UQApQAAAAAAQAAAAEAAAAAAAAAAAAAAAEAAAABAAAAAAAAAAAAABCwEB/1AACAACAAAAB/9SAAwAAgABAAIEBEAB/1wACiBw"
        "eHh4cHB4/2QAFgABT3BlbkpQSCBWZXIgMC45LjAu/5AACgAAAAAAsAAB/5PAAW6A/Z+73NW97pgvVa3ul4qZaiDiXvcy6wUtDIAH"
        "NwDAAKqAAVZkyJAh86pyAnUAZJIhQ+bAQgHstgDAAXRwAF00AAtMAAAAAAEBAAAAEBAAAAAAAQEAAAAQEBOA1OA1OA0MLFStvQAA"
        "AAAAAAAAEAAQABAAEAAQABAAEAAQAxgAgjGADHAGgBoqVK2wAQAAAAAAAAAAAAGgBoAaKlStuwD/2Q=="
    ),
    _STEM + "203": b64decode(
        "/0//UQApQAAAAAAQAAAAEAAAAAAAAAAAAAAAEAAAABAAAAAAAAAAAAABCwEB/1AACAACAAAAJ/9SAAwAAgABAAIEBEAA/1wAESKE"
        "uIUhhSGFjXz2fPZ8mf9kABYAAU9wZW5KUEggVmVyIDAuOS4wLv+QAAoAAAAAAOQAAf+TwABdII2NcnW5ege5J0x/RRVYsycUVdMf"
        "WAOJINfINcD4DlSdAAM3AMAAW5AAFuD27TU0ilMc17jG3l5DozjFcY1r/gBnByBAWZgA9hr2GvYa9hrFcU1xXFMc1xTHNQMYAMcI"
        "QNC5AMAAungAF1cAAtOmpjx5iBAxmebJQ4SIyTRPHiJETKZ58hAh8lwSV/JX8lfkCsQLfQCmJpPJZDKZ8hCZB5F5iOQhMg+RPETm"
        "IZKHyB9CEAp0yEApugABrQAAajEBAAAAAAAAAAAAAaAGgBoqVK27AP/Z"
    ),
}
DAMAGED = {
    "segmentation fault": b64decode(
        "/9hGSUYAAQEAAAEAAQAA/8MAC/8AEAAQAQERAP/EABYAAQEBAAAAAAAAAAAAAAAAAAMHEP/aAAgBAQABAADO7u7u7u7u73B3d3d3"
        "dnd3e4O7u7u7u7u73B3d3d3d3d3e4O7u7u7u7u73B3d3d3d3d3e4O7u7u7u9f93d3d3d3d3uDu7u7u7u7u9wd3d3d3d3d3uDu7u7"
        "u7u7u9wd3d3d3d3d3uDu7u7u7u7u9wd3d3d3d3d3ADu7u7u7u7u9wd3d3d3d3d3/AP/Z"
    ),
    "uncaught exception in gdcm": b64decode(
        "/9j/4AAQSkZJRgAAAQAAAQABAAD/wwALEAAQABABAREA/8QAFgABAQEAAAAAAAAAAAAAAAAAAwcQ/9oACAEBAAEAAM7u7u7uAO7v"
        "cHd3d3d3d3d7g7u73B3d3d3d3d3e4O7u7u7u7u73B3d3d3d3d3e4O7v/u7u7u73B3d3d3d3d3e4O7u7u7u7u73B3d3d3d3e7u7u7"
        "u9wd3d3d3d3d3uDu7m7u7u7u9wd3d3d3d3d3uDu7u7q7u7u9wd3d/wD/2Q=="
    ),
}
"""Lossless JPEG (.70) of 16 x 16 pixels: the first crashes ITK and gdcm, the second ends a program that uses gdcm."""


def frame(uid: str, stream: bytes) -> CompressedFrame:
    """A stream with what a file would say about it."""
    return CompressedFrame(uid, stream, rows=16, columns=16, bits_allocated=16, bits_stored=12, is_signed=False)


def write_compressed(path: Path, uid: str, stream: bytes, *, position_mm: float = 0.0) -> Path:
    """A CT slice of one series with a stream as its pixels."""
    dataset = ct_slice(position_mm, values=PICTURE, BitsStored=12, HighBit=11, PixelData=encapsulate([stream]))
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return write(dataset, path, transfer_syntax=uid)
