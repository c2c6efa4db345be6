"""One page a series, for viewers that do not show reports: the slice that decided, where it looked, and the answer."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from monai_ext.data.dicom.intensity import SliceReader
from monai_ext.sharing.infer.answering import Network, windowed
from monai_ext.sharing.infer.answers import SeriesAnswer, Warned
from monai_ext.sharing.infer.dicom_file import as_bytes
from monai_ext.sharing.infer.explanation import SCALE_WIDTH, draw_scale, explain, overlay
from monai_ext.sharing.infer.structured_report import MANUFACTURER

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["compose_page", "draw_page", "page_object", "text_lines"]

Colour = tuple[int, int, int]

MARGIN, LINE, LEAST_WIDTH = 16, 24, 1072
TITLE = "RESEARCH USE ONLY - NOT FOR DIAGNOSIS"
_BACKGROUND, _TEXT, _ALERT = (16, 20, 26), (225, 230, 235), (255, 176, 60)


def draw_page(answer: SeriesAnswer, network: Network) -> np.ndarray:
    """The page as uint8 (H, W, 3): the slice in the model's window, under Grad-CAM with its scale, the answer in words.

    The slice has its own size: a pixel of it is a pixel of the page.
    """
    strongest = answer.slices[answer.strongest]
    hounsfield = SliceReader().hounsfield(strongest.slice)
    image = windowed(hounsfield, network.model.settings["window_hu"])
    shown = network.model.positive if network.model.is_binary else int(np.argmax(strongest.probabilities))
    gray = (image[0].numpy() * 255).round().astype(np.uint8)
    right = overlay(gray, explain(network, image, shown))
    return compose_page(gray, right, _lines(answer, network, shown), with_scale=True)


def compose_page(
    gray: np.ndarray, right: np.ndarray, lines: Sequence[tuple[str, Colour]], *, with_scale: bool = False
) -> np.ndarray:
    """Two pictures side by side at their own size under the title, and lines of text below: uint8 (H', W', 3).

    Args:
        gray: (H, W), uint8.
        right: (H, W, 3), uint8.
        lines: with their colours.
        with_scale: whether the scale of the heat stands at the right.
    """
    height, width = gray.shape
    page_width = max(2 * width + 4 * MARGIN + SCALE_WIDTH, LEAST_WIDTH)
    page = Image.new("RGB", (page_width, 3 * MARGIN + LINE + height + LINE * len(lines)), _BACKGROUND)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN), TITLE, fill=_ALERT, font=ImageFont.load_default(20))
    top = 2 * MARGIN + LINE
    page.paste(Image.fromarray(np.repeat(gray[..., None], 3, axis=2)), (MARGIN, top))
    page.paste(Image.fromarray(right), (2 * MARGIN + width, top))
    if with_scale:
        page.paste(draw_scale(height), (3 * MARGIN + 2 * width, top))
    for number, (text, colour) in enumerate(lines):
        place = (MARGIN, top + height + MARGIN // 2 + LINE * number)
        draw.text(place, text, fill=colour, font=ImageFont.load_default(16))
    return np.asarray(page)


def text_lines(sentences: Sequence[str], warnings: Sequence[Warned]) -> list[tuple[str, Colour]]:
    """Sentences and warnings as lines that fit on a page."""
    lines = [(line, _TEXT) for text in sentences for line in textwrap.wrap(text, 118)]
    for warning in warnings:
        lines += [(line, _ALERT) for line in textwrap.wrap(f"Warning: {warning.text}", 118)]
    return lines


def _lines(answer: SeriesAnswer, network: Network, shown: int) -> list[tuple[str, Colour]]:
    model = network.model
    finding = model.class_names[model.positive] if model.is_binary else answer.call
    call = "no threshold was chosen on validation" if answer.call is None else f"called {answer.call}"
    limit = (
        "" if model.call_threshold is None else f" (threshold {model.call_threshold:.3f}, {model.call_threshold_of})"
    )
    strongest = answer.slices[answer.strongest]
    position = strongest.slice.position_mm
    sentences = [
        f"{model.name} {model.version}, weights {model.sha256[:12]}",
        f"{finding}: probability {answer.probability:.3f}, 95 % interval {answer.low:.3f} to {answer.high:.3f}; "
        f"{call}{limit}",
        f"Shown: slice at {position:.1f} mm of {len(answer.slices)} slices, {model.class_names[shown]} with probability"
        f" {strongest.probabilities[shown]:.3f}; right: what spoke for it (Grad-CAM, 1 is the strongest place)",
    ]
    return text_lines(sentences, answer.warnings)


def page_object(page: np.ndarray, name: str, source: Dataset, *, series_number: int) -> bytes:
    """A page (H, W, 3) as a DICOM Secondary Capture image of the same study; ``name`` is the model's."""
    from highdicom import UID
    from highdicom.sc import SCImage

    image: Any = SCImage.from_ref_dataset(
        ref_dataset=source,
        pixel_array=page,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        series_instance_uid=UID(),
        series_number=series_number,
        sop_instance_uid=UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        patient_orientation=("L", "P"),
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )
    image.SeriesDescription = f"Answer of {name}, research use only"[:64]
    image.BurnedInAnnotation = "YES"
    return as_bytes(image)
