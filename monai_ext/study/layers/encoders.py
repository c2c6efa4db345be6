"""The encoders that are compared: opened all together, named, each with the images it was made for."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets.resnet import ResNet

from monai_ext.errors import WeightsError
from monai_ext.files import file_sha256
from monai_ext.foreign_text import listed, printable
from monai_ext.networks.encoder import build_encoder, encoder_stride
from monai_ext.networks.weights import open_encoder

__all__ = ["UNTRAINED", "OpenedEncoder", "open_encoders"]

logger = logging.getLogger(__name__)

UNTRAINED = {"scratch": False, "start": True}
"""Words for random weights: as a fine-tuning without pre-training begins, and as a pre-training does, whose residual
branches are closed (``zero_init_last_norm``). What both have in common, training did not bring."""
_RANDOM = re.compile(rf"({'|'.join(UNTRAINED)})(?::(\d{{1,9}}))?")
_NAMED = re.compile(r"([^=/\\]{1,60})=(.+)", re.DOTALL)
_SIZE, _WINDOW = 224, "full"
_LONGEST_NAME = 60


@dataclass(frozen=True)
class OpenedEncoder:
    """An encoder ready to be looked into.

    Attributes:
        name: for people, unlike all others.
        network: in evaluation mode, without gradients of its weights.
        architecture: such as ``"2D resnet18"``.
        trained: False for random weights, whose batch normalisations take the statistics of the images.
        image_size, window, channels: of its input.
        about: what its file says, as plain values.
    """

    name: str
    network: ResNet
    architecture: str
    trained: bool
    image_size: int
    window: Any
    channels: int
    about: dict[str, Any] = field(default_factory=dict)


def open_encoders(
    sources: Sequence[str], *, image_size: int | None = None, window: Any = None, seed: int = 0
) -> list[OpenedEncoder]:
    """Open encoders of 2D ResNets, and two of random weights for each kind of them.

    Args:
        sources: what :func:`~monai_ext.networks.weights.open_encoder` takes, with ``NAME=`` before it for a name of
            one's own; or a word of ``UNTRAINED``, or ``scratch:SEED``, for random weights of the first encoder's
            architecture and input. Those of both words that are not there are added.
        image_size: side of the input; else each file's own, else that of the first file that says it, else 224.
        window: for Hounsfield units; else each file's own, as the size.
        seed: of random weights without a seed of their own, where no file says with which it began.

    Returns:
        In the order of ``sources``, added random weights last.

    Raises:
        WeightsError: there is none but random weights; or some cannot be opened, are 3D, or take smaller images than
            they halve: all of these are named at once.
    """
    asked = [_split(source) for source in sources]
    drawn = {place: found for place, (_, source) in enumerate(asked) if (found := _RANDOM.fullmatch(source))}
    if len(drawn) == len(asked):
        raise WeightsError(
            "No encoder was given to explain: name at least one file, output folder of a training, or MLflow run"
            f" (runs:/ID). Random weights ({', '.join(UNTRAINED)}) are what they are compared with."
        )
    files, problems = dict[int, OpenedEncoder](), []
    for place, (name, source) in enumerate(asked):
        if place not in drawn:
            try:
                files[place] = _open(name, source, image_size=image_size, window=window)
            except (ValueError, OSError) as error:
                problems.append(str(error))
    if problems:
        count = len(asked) - len(drawn)
        raise WeightsError(f"{len(problems)} of {count} encoders cannot be explained:\n" + "\n".join(problems))
    files = dict(zip(files, _with_settings(list(files.values())), strict=True))
    first, *others = files.values()
    seed = next((int(e.about["seed"]) for e in files.values() if str(e.about.get("seed", "")).isdigit()), seed)
    ordered = [
        _random(first, drawn[place][1], name=name, seed=int(drawn[place][2] or seed))
        if place in drawn
        else files[place]
        for place, (name, _) in enumerate(asked)
    ]
    kinds = {(like.architecture, like.channels, like.image_size): like for like in [first, *others][::-1]}
    for like in list(kinds.values())[::-1]:
        there = {match[1] for match in drawn.values()} if like is first else set()
        ordered += [_random(like, word, name="", seed=seed) for word in UNTRAINED if word not in there]
    return _named_apart(ordered)


def _split(source: str) -> tuple[str, str]:
    """Name and place; a path that has the sign and is there is a path."""
    named = None if Path(source).expanduser().exists() else _NAMED.fullmatch(source)
    return (named[1].strip(), named[2]) if named else ("", source)


def _open(name: str, source: str, *, image_size: int | None, window: Any) -> OpenedEncoder:
    network, report, settings = open_encoder(source)
    if not report.architecture.startswith("2D"):
        raise WeightsError(
            f"{source} is a {report.architecture}: slices and pictures have two dimensions. Give 2D encoders."
        )
    own_size = settings.get("image_size")
    size = image_size or (own_size if isinstance(own_size, int) else 0)
    if size and size < 2 * encoder_stride(network):
        raise WeightsError(
            f"{source} halves images to 1/{encoder_stride(network)}, so that its last map has fewer than 2 x 2 units"
            f" for images of {size} pixels. Choose an image size of at least {2 * encoder_stride(network)}."
        )
    plain = {key: value for key, value in settings.items() if isinstance(value, str | int | float | bool)}
    path = Path(source).expanduser()
    about = plain | {"source": source, "layout": report.layout}
    if path.is_file():
        about["sha256"] = file_sha256(path)
    return OpenedEncoder(
        name=name or _short(settings.get("method")) or _short(path.stem if path.suffix else path.name) or "encoder",
        network=network.eval().requires_grad_(False),
        architecture=report.architecture,
        trained=True,
        image_size=size,
        window=window or settings.get("window") or "",
        channels=int(network.conv1.in_channels),
        about=about,
    )


def _with_settings(encoders: list[OpenedEncoder]) -> list[OpenedEncoder]:
    """Those whose file does not say how its images were made take what the first that does says."""
    size = next((encoder.image_size for encoder in encoders if encoder.image_size), _SIZE)
    window = next((encoder.window for encoder in encoders if encoder.window), _WINDOW)
    silent = [encoder.name for encoder in encoders if not encoder.image_size or not encoder.window]
    if silent:
        logger.warning(
            "%s: the file does not say how its images were made; image size %d and window %s are used. Give"
            " --image-size and --window if that is wrong.",
            listed(silent),
            size,
            window,
        )
    return [replace(e, image_size=e.image_size or size, window=e.window or window) for e in encoders]


def _random(like: OpenedEncoder, word: str, *, name: str, seed: int) -> OpenedEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_encoder(
            like.architecture.partition(" ")[2], in_channels=like.channels, zero_init_last_norm=UNTRAINED[word]
        )
    return replace(
        like,
        name=name or word,
        network=network.eval().requires_grad_(False),
        trained=False,
        about={"seed": seed, "layout": f"random weights, {'branches closed' if UNTRAINED[word] else 'branches open'}"},
    )


def _short(text: Any) -> str:
    return printable(str(text or "")).strip()[:_LONGEST_NAME]


def _named_apart(encoders: list[OpenedEncoder]) -> list[OpenedEncoder]:
    """Equal names get what their files are called, or the architecture or seed of random weights; then numbers."""
    for more in (_file, _what):
        counts = Counter(encoder.name for encoder in encoders)
        encoders = [replace(e, name=f"{e.name} ({more(e)})") if counts[e.name] > 1 and more(e) else e for e in encoders]
    counts, seen, named = Counter(encoder.name for encoder in encoders), Counter[str](), []
    for encoder in encoders:
        seen[encoder.name] += 1
        again = counts[encoder.name] > 1
        named.append(replace(encoder, name=f"{encoder.name} {seen[encoder.name]}") if again else encoder)
    return named


def _file(encoder: OpenedEncoder) -> str:
    return _short(Path(str(encoder.about["source"])).stem) if encoder.trained else ""


def _what(encoder: OpenedEncoder) -> str:
    """Of random weights all that tells them apart; of trained ones, the file has told what it can."""
    if encoder.trained:
        return ""
    return f"{encoder.architecture.partition(' ')[2]}, {encoder.image_size} px, seed {encoder.about['seed']}"
