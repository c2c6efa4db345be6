"""Weights files judged without unpickling or running them: safetensors, torch's zip files, ONNX and numpy arrays."""

from __future__ import annotations

import io
import zipfile
from pathlib import PurePosixPath
from typing import Any

import numpy

from monai_ext.files import parse_json
from monai_ext.sharing.audit.findings import Reporter
from monai_ext.sharing.audit.pickle_text import follow_pickle
from monai_ext.sharing.bundle_files import LARGEST_RATIO, RATIO_COUNTS_FROM

__all__ = ["WEIGHTS_CHECKS"]

HARMLESS = {
    *("collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"),
    *("torch._utils._rebuild_tensor", "torch.Size", "torch.device", "torch.serialization._get_layout"),
}
ELEMENT_BYTES = {
    **dict.fromkeys(("DoubleStorage", "LongStorage", "ComplexFloatStorage"), 8),
    **dict.fromkeys(("FloatStorage", "IntStorage"), 4),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("ByteStorage", "CharStorage", "BoolStorage"), 1),
}
LEGACY = "it is no zip file as torch.save writes it since version 1.6; older files are bare pickles, which run code"


def check_torch(content: bytes, reporter: Reporter) -> None:
    """A file by ``torch.save``: tensors and plain values pass; code, and names that a load would import, do not."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        reporter.refuse("pickle", LEGACY)
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if not _is_bomb(archive, content, reporter):
                _check_torch_zip(archive, reporter)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
        reporter.refuse("weights-damaged", f"the weights cannot be read ({error})")


def _is_bomb(archive: zipfile.ZipFile, content: bytes, reporter: Reporter) -> bool:
    """Whether what is packed in a file is far larger than the file; nothing of it is unpacked then."""
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked <= RATIO_COUNTS_FROM or unpacked <= LARGEST_RATIO * len(content):
        return False
    reporter.refuse("zip-bomb", f"what is packed in it has over {LARGEST_RATIO} times its size")
    return True


def _check_torch_zip(archive: zipfile.ZipFile, reporter: Reporter) -> None:
    names = archive.namelist()
    inner = {name: PurePosixPath(name).parts[1:] for name in names}
    if any(
        "code" in parts or parts[-1:] == ("constants.pkl",) or "archive_format" in parts for parts in inner.values()
    ):
        reporter.refuse("program", "it is a TorchScript or torch.export program, which torch runs when it loads it")
        return
    pickles = [name for name, parts in inner.items() if parts and parts[-1].endswith((".pkl", ".pickle"))]
    if len(pickles) != 1 or len(set(names)) != len(names):
        reporter.refuse("pickle", f"it has {len(pickles)} pickles and {len(names)} entries; one pickle is usual")
        return
    pickled = follow_pickle(archive.read(pickles[0]))
    for name in sorted(pickled.names - HARMLESS):
        if name.removeprefix("torch.") not in ELEMENT_BYTES:
            reporter.refuse("pickle", "loading it without weights_only would import and call this", text=name)
    if pickled.problem:
        reporter.refuse("pickle", f"the pickle cannot be followed: {pickled.problem}", text=pickles[0])
    _check_storages(archive, pickles[0].rpartition("/")[0], pickled.storages, reporter)


def _check_storages(
    archive: zipfile.ZipFile, folder: str, storages: dict[str, tuple[str, int]], reporter: Reporter
) -> None:
    """A storage that is shorter than announced lets old versions of torch write beyond it (CVE-2026-24747)."""
    sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    for key, (element, count) in storages.items():
        announced = count * ELEMENT_BYTES.get(element.removeprefix("torch."), 0)
        if sizes.get(f"{folder}/data/{key}") != announced:
            reporter.refuse(
                "weights-size", f"a tensor of {announced} bytes is announced, and has another size", text=key
            )


def check_safetensors(content: bytes, reporter: Reporter) -> None:
    """A safetensors file: a header in JSON, then nothing but the announced tensors."""
    try:
        length = int.from_bytes(content[:8], "little")
        if len(content) < 8 or length > len(content) - 8:
            raise ValueError("the header is longer than the file")
        header = parse_json(content[8 : 8 + length])
        spans = sorted(value["data_offsets"] for name, value in header.items() if name != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reporter.refuse("weights-damaged", f"it is no safetensors file ({error})")
        return
    ends = [0, *(end for _, end in spans)]
    if [start for start, _ in spans] != ends[:-1] or 8 + length + ends[-1] != len(content):
        reporter.refuse("weights-damaged", "its tensors overlap or leave bytes between or behind them")


def check_numpy(content: bytes, reporter: Reporter) -> None:
    """A ``.npy`` or ``.npz`` file: arrays of numbers pass, arrays of objects are pickles."""
    try:
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if _is_bomb(archive, content, reporter):
                    return
        loaded = numpy.load(io.BytesIO(content), allow_pickle=False)
        if hasattr(loaded, "files"):
            for name in loaded.files:
                loaded[name]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        reporter.refuse("pickle", f"it holds Python objects, or is damaged ({error})")


def check_onnx(content: bytes, reporter: Reporter) -> None:
    """An ONNX file: a description of arithmetic, unless it names files beside it or operators from elsewhere."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        reporter.question(
            "onnx-unchecked", "looking into ONNX files needs the package onnx: pip install 'monai-ext[export]'"
        )
        return
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        reporter.refuse("weights-damaged", f"it is no ONNX file ({error})")
        return
    for tensor in _tensors(model.graph):
        if tensor.external_data:
            reporter.refuse("onnx-outside", "it reads its weights from another file", text=tensor.name)
    for domain in sorted({entry.domain for entry in model.opset_import} - {"", "ai.onnx", "ai.onnx.ml"}):
        reporter.question("onnx-operators", "it uses operators that are not part of ONNX", text=domain)


def _tensors(graph: Any) -> list[Any]:
    found = list(graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            found += [attribute.t, *attribute.tensors]
            for inner in (attribute.g, *attribute.graphs):
                found += _tensors(inner) if inner.node or inner.initializer else []
    return found


WEIGHTS_CHECKS = {
    **dict.fromkeys((".pt", ".pth", ".ckpt"), check_torch),
    ".safetensors": check_safetensors,
    **dict.fromkeys((".npy", ".npz"), check_numpy),
    ".onnx": check_onnx,
}
"""What judges a weights file, by its ending."""
