"""One page a series, for viewers that do not show reports: the slice that decided, where it looked, and the answer."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from monai_ext.data.dicom.intensity import SliceReader
from monai_ext.sharing.infer.answering import Network, windowed
from monai_ext.sharing.infer.answers import SeriesAnswer
from monai_ext.sharing.infer.structured_report import MANUFACTURER

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["draw_page", "page_object"]

SIDE, MARGIN, LINE = 512, 16, 24
WIDTH = 2 * SIDE + 3 * MARGIN
TITLE = "RESEARCH USE ONLY - NOT FOR DIAGNOSIS"
_BACKGROUND, _TEXT, _ALERT = (16, 20, 26), (225, 230, 235), (255, 176, 60)
_HEAT_SHARE = 0.45


def draw_page(answer: SeriesAnswer, network: Network) -> np.ndarray:
    """The page as uint8 (H, W, 3): the slice in the model's window, under Grad-CAM, and the answer in words."""
    strongest = answer.slices[answer.strongest]
    hounsfield = SliceReader().hounsfield(strongest.slice)
    image = windowed(hounsfield, network.model.settings["window_hu"])
    gray = _squared(image[0].numpy())
    shown = network.model.positive if network.model.is_binary else int(np.argmax(strongest.probabilities))
    heat = _squared(_grad_cam(network, image, shown))
    lines = _lines(answer, network)
    page = Image.new("RGB", (WIDTH, 3 * MARGIN + LINE + SIDE + LINE * len(lines)), _BACKGROUND)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN), TITLE, fill=_ALERT, font=ImageFont.load_default(20))
    top = 2 * MARGIN + LINE
    page.paste(Image.fromarray(np.repeat(gray[..., None], 3, axis=2)), (MARGIN, top))
    page.paste(Image.fromarray(_overlay(gray, heat)), (2 * MARGIN + SIDE, top))
    for number, (text, colour) in enumerate(lines):
        place = (MARGIN, top + SIDE + MARGIN // 2 + LINE * number)
        draw.text(place, text, fill=colour, font=ImageFont.load_default(16))
    return np.asarray(page)


def _squared(values: np.ndarray) -> np.ndarray:
    """Values in [0, 1] as uint8 (SIDE, SIDE), the shorter side filled with black."""
    picture = Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8))
    scale = SIDE / max(picture.size)
    picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    square = Image.new("L", (SIDE, SIDE))
    square.paste(picture, ((SIDE - picture.width) // 2, (SIDE - picture.height) // 2))
    return np.asarray(square)


def _grad_cam(network: Network, image: torch.Tensor, class_number: int) -> np.ndarray:
    """Where the network looked for a class (Selvaraju et al. 2017): (H, W) in [0, 1]."""
    from monai.transforms import ScaleIntensity
    from monai.visualize import GradCAM

    # MONAI's own scaling would turn the map upside down: 0 where the network looked.
    scaled = ScaleIntensity(minv=0.0, maxv=1.0)
    explained = GradCAM(nn_module=network.network, target_layers="layer4", postprocessing=scaled)
    heat = explained(network.inputs([image]), class_idx=class_number)
    heat = torch.nn.functional.interpolate(heat, size=tuple(image.shape[-2:]), mode="bilinear")[0, 0]
    return np.nan_to_num(heat.detach().cpu().numpy())


def _overlay(gray: np.ndarray, heat: np.ndarray) -> np.ndarray:
    from matplotlib import colormaps

    colours = colormaps["inferno"](heat)[..., :3] * 255
    weight = _HEAT_SHARE * (heat[..., None] / 255.0) + 0.15
    return np.clip((1 - weight) * gray[..., None] + weight * colours, 0, 255).astype(np.uint8)


def _lines(answer: SeriesAnswer, network: Network) -> list[tuple[str, tuple[int, int, int]]]:
    model = network.model
    finding = model.class_names[model.positive] if model.is_binary else answer.call
    call = "no threshold was chosen on validation" if answer.call is None else f"called {answer.call}"
    limit = "" if model.threshold is None else f" (threshold {model.threshold:.3f})"
    position = answer.slices[answer.strongest].slice.position_mm
    told = [
        f"{model.metadata.get('name', 'model')} {model.version}, weights {model.sha256[:12]}",
        f"{finding}: probability {answer.probability:.3f}, 95 % interval {answer.low:.3f} to {answer.high:.3f}; "
        f"{call}{limit}",
        f"Shown: slice at {position:.1f} mm of {len(answer.slices)} slices; right: Grad-CAM",
    ]
    lines = [(line, _TEXT) for text in told for line in textwrap.wrap(text, 118)]
    for warning in answer.warnings:
        lines += [(line, _ALERT) for line in textwrap.wrap(f"Warning: {warning.text}", 118)]
    return lines


def page_object(answer: SeriesAnswer, network: Network, source: Dataset, *, series_number: int) -> bytes:
    """The page as a DICOM Secondary Capture image of the same study."""
    from highdicom import UID
    from highdicom.sc import SCImage

    name = str(network.model.metadata.get("name", "a model"))
    image: Any = SCImage.from_ref_dataset(
        ref_dataset=source,
        pixel_array=draw_page(answer, network),
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
    with io.BytesIO() as buffer:
        image.save_as(buffer)
        return buffer.getvalue()
