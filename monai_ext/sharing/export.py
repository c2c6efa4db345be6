"""Export a bundle's classifier to formats that run without MONAI, and make sure that nothing changed on the way."""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import Tensor, nn

from monai_ext.bundle import latest_model, load_model
from monai_ext.errors import BundleAuditError, WeightsError
from monai_ext.files import write_atomically
from monai_ext.networks.exported_program import export_program
from monai_ext.networks.weights import read_model_metadata
from monai_ext.sharing.torchscript_places import program_without_places

__all__ = ["FORMATS", "export_bundle", "export_network"]

logger = logging.getLogger(__name__)

TOLERANCE = 1e-4
"""Largest difference of a probability between the exported and the original network."""


def export_bundle(
    bundle: str | Path,
    *,
    formats: Sequence[str] = ("torchscript",),
    model: str | None = None,
    output_dir: str | Path | None = None,
) -> dict[str, Path]:
    """Write the trained classifier of a bundle in other formats.

    Each takes images (B, C, S, S) in [0, 1], prepared as ``inference.json`` does, for any B, and gives probabilities
    (B, K). What training wrote about the model (classes, window, threshold) is kept in the file. Every file is read
    again and compared with the original network, on a batch of another size than it was exported with.

    Args:
        bundle: its folder, with ``configs/inference.json``.
        formats: of :data:`FORMATS`.
        model: file that training wrote; ``models/model.pt`` of the bundle when omitted.
        output_dir: folder for the files; that of the model when omitted.

    Returns:
        The file of each format.

    Raises:
        ValueError: an unknown format, a package that a format needs is missing, or a folder that is no bundle.
        WeightsError: there is no model, or it does not fit the bundle, or is no classifier.
        BundleAuditError: a format gives other probabilities than the network, or the folder cannot be written to.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise ValueError(f"A bundle is exported to {', '.join(FORMATS)}; received {unknown[0]!r}.")
    path = model or latest_model(str(bundle))
    network, metadata = _open(Path(bundle), path)
    folder = Path(path).parent if output_dir is None else Path(output_dir)
    written = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in formats:
            written[name] = export_network(network, name, folder / Path(path).stem, metadata=metadata)
            logger.info("%s: the same probabilities as %s.", written[name], path)
    except OSError as error:
        raise BundleAuditError(
            "Exporting to {folder}: {reason}. Free space, or name another folder.", folder=folder, reason=error
        ) from error
    return written


def export_network(network: nn.Module, name: str, stem: Path, *, metadata: Mapping[str, Any]) -> Path:
    """Write one network in one format, in one step, after making sure that it gives the same numbers.

    Args:
        network: gives probabilities, in evaluation mode.
        name: of :data:`FORMATS`.
        stem: of the file, without ending.
        metadata: with ``in_channels`` and ``image_size``; kept in the file.

    Raises:
        ValueError: a package that the format needs is missing.
        BundleAuditError: the format gives other probabilities than the network.
        OSError: the disk refuses.
    """
    size = (metadata["in_channels"], metadata["image_size"], metadata["image_size"])
    generator = torch.Generator().manual_seed(0)
    example, other = (torch.rand(count, *size, generator=generator) for count in (2, 3))
    ending, write, read = FORMATS[name]
    file = stem.with_name(f"{stem.name}{ending}")
    content = write(network, example, json.dumps(metadata))
    _compare(network, read(content), other, file)
    write_atomically(file, lambda stream: stream.write(content))
    return file


def _open(bundle: Path, model: str) -> tuple[nn.Module, dict[str, Any]]:
    """The network with softmax behind it, and what its file says."""
    config = bundle / "configs" / "inference.json"
    if not config.is_file():
        raise ValueError(f"{bundle} is no bundle that can be exported: it has no configs/inference.json.")
    parser = ConfigParser(ConfigParser.load_config_file(config))
    parser.update({"model_path": model})
    metadata = read_model_metadata(model)
    if "class_names" not in metadata:
        raise WeightsError(
            f"{model} is no classifier with class names: exported are the models of classification bundles. Encoders of"
            " pre-training are plain weights, which need no export (docs/weights.md)."
        )
    network = load_model(parser.get_parsed_content("network_def"), model=model)
    return nn.Sequential(network, nn.Softmax(dim=1)).eval(), metadata


def _compare(network: nn.Module, exported: Callable[[Tensor], Tensor], images: Tensor, file: Path) -> None:
    with torch.no_grad():
        difference = float((network(images) - exported(images)).abs().max())
    if not difference <= TOLERANCE:
        raise BundleAuditError(
            f"{file} would give probabilities that differ by {difference:.2g} from the network's, at most {TOLERANCE:g}"
            " is accepted; it was not written. Try another format, or another version of torch."
        )


def _write_torchscript(network: nn.Module, example: Tensor, metadata: str) -> bytes:
    with io.BytesIO() as content, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit", category=DeprecationWarning)
        traced = torch.jit.trace(network, example)
        torch.jit.save(traced, content, _extra_files={"metadata.json": metadata})
        return program_without_places(content.getvalue())


def _read_torchscript(content: bytes) -> Callable[[Tensor], Tensor]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit", category=DeprecationWarning)
        return torch.jit.load(io.BytesIO(content))


def _write_program(network: nn.Module, example: Tensor, metadata: str) -> bytes:
    with io.BytesIO() as content:
        torch.export.save(export_program(network, example), content, extra_files={"metadata.json": metadata})
        return content.getvalue()


def _read_program(content: bytes) -> Callable[[Tensor], Tensor]:
    return torch.export.load(io.BytesIO(content)).module()


def _write_onnx(network: nn.Module, example: Tensor, metadata: str) -> bytes:
    _need("onnx", "onnxscript", "onnxruntime")
    program: Any = torch.onnx.export(
        export_program(network, example),
        input_names=["images"],
        output_names=["probabilities"],
        dynamo=True,
        verbose=False,
    )
    program.model.metadata_props["metadata.json"] = metadata
    return bytes(program.model_proto.SerializeToString())


def _read_onnx(content: bytes) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def _need(*packages: str) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"ONNX needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed: pip install"
            " 'monai-ext[export]', or export to another format."
        )


FORMATS: dict[str, tuple[str, Callable[..., bytes], Callable[[bytes], Callable[[Tensor], Tensor]]]] = {
    "torchscript": (".ts", _write_torchscript, _read_torchscript),
    "onnx": (".onnx", _write_onnx, _read_onnx),
    "torch_export": (".pt2", _write_program, _read_program),
}
"""Ending of the file, what writes and what reads each format."""
