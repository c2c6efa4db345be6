"""Explain a folder of images, of any kind that is read here: a picture and a row of a table for each."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from monai_ext.data.slice_images import SliceImages
from monai_ext.data.sources.open import open_source
from monai_ext.errors import DatasetError, public_text
from monai_ext.files import write_durably
from monai_ext.foreign_text import csv_text, listed
from monai_ext.sharing.infer.answering import Network
from monai_ext.sharing.infer.explanation import draw_explanation, explain
from monai_ext.sharing.trained_classifier import TrainedClassifier

__all__ = ["TABLE", "evenly_spaced", "explain_images", "open_images"]

TABLE = "explanations.csv"


def open_images(data: str | Path, model: TrainedClassifier) -> SliceImages:
    """What lies at a path, each image at its own size, in the window that the model was trained with.

    Raises:
        DatasetError: there is no image.
    """
    source = open_source(data)
    low, high = sorted(model.settings["window_hu"])
    is_picture = source.dtype.kind == "u"
    window = "full" if is_picture else [(low + high) / 2, high - low]
    return SliceImages(source, indices=range(len(source)), load_size=None, window=window)


def evenly_spaced(count: int, limit: int) -> list[int]:
    """Numbers of at most ``limit`` of ``count`` images, from the first to the last.

    >>> evenly_spaced(9, 3), evenly_spaced(2, 3)
    ([0, 4, 8], [0, 1])
    """
    return np.linspace(0, count - 1, min(count, limit)).round().astype(int).tolist()


def explain_images(
    network: Network,
    images: SliceImages,
    output: Path,
    *,
    limit: int = 100,
    class_name: str | None = None,
    file_names: bool = True,
) -> Iterator[str]:
    """Write ``output/00001.png`` and so on, and :data:`TABLE`, which says what each shows.

    Args:
        network: the classifier.
        images: of :func:`open_images`.
        output: folder, made; files of these names are replaced, the table first of all is removed.
        limit: at most so many images, evenly spaced.
        class_name: of which class; the one that is called when omitted.
        file_names: whether the table names images; else it numbers them, since names often hold a patient's.

    Yields:
        The name of each image when it is done; the table is written at the end.

    Raises:
        ValueError: the class is none of the model's.
        OSError: the folder cannot be written to.
    """
    names = network.model.class_names
    if class_name is not None and class_name not in names:
        raise ValueError(f"The model knows no class {class_name!r}; its classes are {listed(names)}.")
    output.mkdir(parents=True, exist_ok=True)
    (output / TABLE).unlink(missing_ok=True)  # of an earlier time: if this ends early, it would tell wrong images
    rows: list[list[object]] = []
    for number, index in enumerate(evenly_spaced(len(images), limit), start=1):
        name, picture = images.source.name(index), f"{number:05d}.png"
        image_label = name if file_names else index + 1
        try:
            image = images[index]
        except DatasetError as error:
            reason = str(error) if file_names else public_text(error)
            rows.append(["", image_label, "", *[""] * len(names), reason])
            yield name
            continue
        probabilities = _probabilities(network, image)
        called = _called(network.model, probabilities)
        shown = called if class_name is None else names.index(class_name)
        drawn = draw_explanation(
            image[0].numpy(), explain(network, image, shown), _caption(network.model, probabilities, shown, called)
        )
        with io.BytesIO() as buffer:
            Image.fromarray(drawn).save(buffer, format="PNG")
            write_durably(output / picture, buffer.getvalue())
        rows.append([picture, image_label, names[shown], *(f"{value:.6f}" for value in probabilities), ""])
        yield name
    header = ["picture", "image", "class", *names, "reason"]
    write_durably(output / TABLE, csv_text(header, rows).encode())


def _probabilities(network: Network, image: torch.Tensor) -> list[float]:
    with torch.no_grad():
        values: list[float] = network.network(network.inputs([image])).softmax(dim=1)[0].tolist()
    return values


def _called(model: TrainedClassifier, probabilities: list[float]) -> int:
    """The class that is called: of two by the threshold of validation, else the likeliest."""
    if model.is_binary and model.threshold is not None:
        return model.positive if probabilities[model.positive] >= model.threshold else 1 - model.positive
    return int(np.argmax(probabilities))


def _caption(model: TrainedClassifier, probabilities: list[float], shown: int, called: int) -> list[str]:
    """Class and probability, what is called, and what the heat is."""
    call = f"called {model.class_names[called]}"
    if model.is_binary and model.threshold is not None:
        call += f"; {model.class_names[model.positive]} from {model.threshold:.3f} on"
    return [
        f"{model.class_names[shown]}: probability {probabilities[shown]:.3f}",
        call,
        "right: what spoke for it (Grad-CAM)",
        "research use only",
    ]
