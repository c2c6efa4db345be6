"""Weights files judged without unpickling or running them: safetensors, torch's zip files, ONNX and numpy arrays."""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import numpy

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
LONGEST_HEADER = 100_000_000
"""Of a safetensors file, in bytes; its own reader takes no longer one."""
LEGACY = "it is no zip file as torch.save writes it since version 1.6; older files are bare pickles, which run code"


def check_torch(content: bytes, reporter: Reporter) -> None:
    """A file by ``torch.save``: tensors and plain values pass; code, and names that a load would import, do not."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        reporter.refuse("pickle", LEGACY)
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_torch_zip(archive, reporter)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError, RuntimeError) as error:
        reporter.refuse("weights-damaged", f"the weights cannot be read ({error})")


def _check_torch_zip(archive: zipfile.ZipFile, reporter: Reporter) -> None:
    names = archive.namelist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
        reporter.refuse("weights-packed", "torch.save compresses nothing; what is compressed can grow without bound")
        return
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
    for count in pickled.oversized:
        reporter.refuse(
            "weights-size", "a tensor is larger than what is stored of it", text=f"{count} elements too many"
        )
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
        if len(content) < 8 or length > min(len(content) - 8, LONGEST_HEADER):
            raise ValueError("the header is longer than the file, or than readers take")
        header = json.loads(content[8 : 8 + length])
        tensors = [value for name, value in header.items() if name != "__metadata__"]
        spans = sorted(_span(tensor) for tensor in tensors)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reporter.refuse("weights-damaged", f"it is no safetensors file ({error})")
        return
    ends = [0, *(end for _, end in spans)]
    if [start for start, _ in spans] != ends[:-1] or 8 + length + ends[-1] != len(content):
        reporter.refuse("weights-damaged", "its tensors overlap or leave bytes between or behind them")


def _span(tensor: dict[str, Any]) -> tuple[int, int]:
    """First byte and the one behind the last of a tensor, of which there are as many as its type and shape need."""
    start, end = tensor["data_offsets"]
    bits = int(re.sub(r"\D+", " ", tensor["dtype"]).split()[0]) if tensor["dtype"] != "BOOL" else 8
    if end - start != math.prod(tensor["shape"]) * bits // 8:
        raise ValueError(f"a tensor of shape {tensor['shape']} has {end - start} bytes")
    return start, end


def check_numpy(content: bytes, reporter: Reporter) -> None:
    """A ``.npy`` or ``.npz`` file: arrays of numbers pass, arrays of objects are pickles; headers are read only."""
    try:
        if not zipfile.is_zipfile(io.BytesIO(content)):
            _check_array(io.BytesIO(content), len(content))
            return
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist():
                if entry.file_size > RATIO_COUNTS_FROM and entry.file_size > LARGEST_RATIO * entry.compress_size:
                    raise ValueError(f"{entry.filename} unpacks to over {LARGEST_RATIO} times its size")
                with archive.open(entry) as file:
                    _check_array(file, entry.file_size)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        reporter.refuse("pickle", f"it holds Python objects, or is damaged ({error})")


def _check_array(file: Any, size: int) -> None:
    version = numpy.lib.format.read_magic(file)
    if version > (2, 0):
        raise ValueError(f"format {version}")
    read = numpy.lib.format.read_array_header_1_0 if version == (1, 0) else numpy.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("an array of objects")
    if file.tell() + math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"an array of shape {shape} has another size")


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
    for tensor in _messages(model, onnx.TensorProto):
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
            reporter.refuse("onnx-outside", "it reads its weights from another file", text=tensor.name)
    own = {function.domain for function in model.functions}
    domains = {entry.domain for entry in _messages(model, onnx.OperatorSetIdProto)}
    for domain in sorted(domains - own - {"", "ai.onnx", "ai.onnx.ml"}):
        reporter.question("onnx-operators", "it uses operators that are not part of ONNX", text=domain)


def _messages(message: Any, kind: type) -> Iterator[Any]:
    """Every message of one kind, wherever the format has a place for it."""
    waiting = [message]
    while waiting:
        message = waiting.pop()
        if isinstance(message, kind):
            yield message
        for field, value in message.ListFields():
            if field.message_type is not None:
                waiting += [value] if hasattr(value, "ListFields") else list(value)


WEIGHTS_CHECKS = {
    **dict.fromkeys((".pt", ".pth", ".ckpt"), check_torch),
    ".safetensors": check_safetensors,
    **dict.fromkeys((".npy", ".npz"), check_numpy),
    ".onnx": check_onnx,
}
"""What judges a weights file, by its ending."""
