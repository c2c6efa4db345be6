"""Hostile bundles by somebody who knows how MONAI's parser, its components and weights files are read; one a trick."""

from __future__ import annotations

import io
import json
import zipfile
from collections import OrderedDict
from collections.abc import Callable

import numpy
import onnx
import torch

from helpers.hostile_bundles import METADATA, Canary, Files, config_with, json_bytes, logging_file, torch_file


def in_grammar(c: Canary) -> dict[str, Files]:
    """Tricks with what MONAI's grammar of configs means, each with the files that it adds or replaces."""
    shell = f"__import__('os').system('{c.touch}')"
    quoted = shell.replace("'", '"')
    parser = {"_target_": "monai.bundle.ConfigParser"}
    return {
        "reference in a string makes it a format": config_with({"f": 1, "x": f"$'@f{{{quoted}}}'"}),
        "the same in bytes": config_with({"f": 1, "x": f"$b'@f{{{quoted}}}'"}),
        "comment that is none": config_with({"x": f"$[][ # ] or {shell} or [0][\n 0 ]"}),
        "key that flows into an expression": config_with(
            {"a": 1, f"a] or open('{c.file}', 'w') or [0][": {"y": "$[0, @::1]"}}
        ),
        "relative id of an import": config_with({"a": {"o": "$import os", "x": f"$@::o.system('{c.touch}')"}}),
        "overlay that changes what a macro means": {
            **config_with({"x": {"_target_": "%name"}, "name": "Dataset"}),
            "configs/evaluate.json": json_bytes({"name": "eval"}),
        },
        "overlay that changes it by an id": {
            **config_with({"x": {"_target_": "%a::name"}, "a": {"name": "Dataset"}}),
            "configs/evaluate.json": json_bytes({"a#name": "eval"}),
        },
        "macro of two files": {
            **config_with({"x": {"_target_": "%a.json::t"}}),
            "a.json": json_bytes({"t": "Dataset"}),
            "configs/a.json": json_bytes({"t": "eval"}),
        },
        "merged target": config_with({"+network_def": {"_target_": "os.system"}}, "evaluate"),
        "target of the whole": config_with({"+_target_": "os.system"}),
        "mode by an overlay's leaf": config_with({"network_def::_mode_": "debug"}, "evaluate"),
        "config in a text": config_with(
            {
                "imports": ["$import json"],
                "p": parser | {"config": f"$json.loads({json.dumps(json.dumps({'name': '$' + shell}))})"},
                "x": "$@p.name",
            }
        ),
        "config in an expression": config_with({"x": f"$monai.bundle.ConfigParser({{'name': '$' + {shell!r}}}).name"}),
        "config handed to a parser": config_with({"p": parser | {"config": {"name": "$'$' + 'x'"}}, "x": "$@p.name"}),
        "value put into a parser": config_with(
            {
                "read": {"_target_": "monai.bundle.ConfigParser.load_config_file", "filepath": "models/model.json"},
                "p": parser | {"config": "@read"},
                "run": [f"$@p.get('a').append('$' + {shell!r})", "$@p.a"],
            }
        ),
        "another config for a parser, by an overlay": {
            **config_with(
                {
                    "read": {"_target_": "monai.bundle.ConfigParser.load_config_file", "filepath": "models/model.json"},
                    "p": parser | {"config": "@read"},
                }
            ),
            "configs/evaluate.json": json_bytes({"p::config": "$json.loads(@text)", "imports": ["$import json"]}),
        },
        "component that is an expression": config_with(
            {"p": {"_target_": "monai.bundle.ConfigExpression", "config": "$'$' + 'x'"}, "x": "$@p.evaluate()"}
        ),
        "reader that is a function of Python's": config_with(
            {"x": {"_target_": "monai.transforms.LoadImage", "reader": "open", "file": str(c.file), "mode": "w"}}
        ),
        "reader in a list": config_with({"x": {"_target_": "LoadImage", "reader": ["breakpoint"]}}),
        "reader by reference": config_with({"r": "open", "x": {"_target_": "LoadImage", "reader": "@r"}}),
        "reader put together": config_with({"x": {"_target_": "LoadImage", "reader": "$'op' + 'en'"}}),
        "writer that is a function of Python's": config_with({"x": {"_target_": "SaveImage", "writer": "exec"}}),
        "merger that is a function of Python's": config_with(
            {"x": {"_target_": "monai.inferers.PatchInferer", "merger_cls": "exec"}}
        ),
        "loss that fetches code": config_with({"x": {"_target_": "PerceptualLoss", "spatial_dims": 3}}),
        "network that fetches weights": config_with({"x": {"_target_": "DenseNet121", "pretrained": True}}),
        "pickles by a dictionary of arguments": config_with({"x": "$monai.data.NumpyReader(**{'allow_pickle': True})"}),
        "pickles by arguments that are computed": config_with(
            {"x": "$monai.data.ITKReader(**dict([('allow_pickle', True)]))"}
        ),
        "questioned class in an expression": config_with({"x": "$monai.data.PersistentDataset([], None, 'cache')"}),
        "assignment by a loop": config_with({"x": "$[0 for torch.nn.functional.relu in [print]]"}),
        "assignment to an item by a loop": config_with({"d": {}, "x": "$[0 for @d['a'] in [print]]"}),
        "the parser's own references": config_with({"x": "$__local_refs['imports::0'].close(1)"}),
        "letters of full width": config_with({"x": f"$\uff45\uff56\uff41\uff4c({c.call!r})"}),
        "format that writes private names": config_with({"x": "$'{0.__class__}'.format(@network_def)"}),
        "file opened behind a module": config_with({"imports": ["$from csv import io"], "x": "$io.open('a', 'w')"}),
        "star import": config_with({"imports": ["$from os import *"], "x": "$system('a')"}),
        "built-ins replaced": config_with({"imports": ["$import subprocess as __builtins__"]}),
        "payload in a description": config_with({"x": {"_target_": "Dataset", "data": [], "_desc_": f"${shell}"}}),
        "payload in _meta_": config_with({"_meta_": {"x": f"${shell}"}}),
        "environment of another name": config_with({"imports": ["$import os"], "x": "$os.environ['HOME']"}),
        "target in metadata": {"configs/metadata.json": json_bytes(METADATA | {"x": {"_target_": "os.system"}})},
        "options written into arguments of the logging file": {
            "configs/logging.conf": logging_file(f"class=StreamHandler\nx=',{quoted},'\nargs=('%(x)s',)")
        },
        "class in the defaults of the logging file": {
            "configs/logging.conf": b"[DEFAULT]\nclass=" + shell.encode() + b"\n" + logging_file("args=()")
        },
        "half a letter as a key": {"configs/train.json": b'{"a\\ud800": {"_target_": "os.system"}}'},
        "UTF-16": {"configs/train.json": json.dumps({"x": {"_target_": "os.system"}}).encode("utf-16")},
        "byte order mark": {"configs/train.json": b"\xef\xbb\xbf" + json_bytes({"x": {"_target_": "os.system"}})},
        "merged mapping in YAML": {"configs/train.yaml": b"x:\n  <<: {_target_: os.system}\n"},
        "key that is a mapping in YAML": {"configs/train.yaml": b"? {a: b}\n: 1\n"},
        "name in base 64 in YAML": {"configs/train.yaml": b"x:\n  !!binary X3RhcmdldF8=: os.system\n"},
        "a thousand levels in JSON": {"configs/train.json": b"[" * 100_000 + b"]" * 100_000},
        "a number of ten thousand digits": {"configs/train.json": b'{"x": ' + b"9" * 10_000 + b"}"},
    }


def in_weights(c: Canary) -> dict[str, Files]:
    """Tricks of weights files, each with the files that it adds."""
    return {
        "safetensors with a header of many levels": _safetensors(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "safetensors with three offsets": _safetensors(_header([1], [0, 4, 4])),
        "safetensors larger than their bytes": _safetensors(_header([10**12], [0, 4])),
        "safetensors with a header beyond the file": {"models/model.safetensors": b"\xff" * 8 + bytes(8)},
        "bomb in torch's zip": {"models/model.pt": _rewritten_zip(b"\0" * 2**20)},
        "damage in torch's zip": {"models/model.pt": _damaged(_rewritten_zip(b""))},
        "encrypted entry in torch's zip": {"models/model.pt": _encrypted(torch_file({"w": torch.zeros(4)}))},
        "tensor larger than its storage": {"models/model.pt": torch_file({"w": _Oversized()})},
        "numpy array larger than the machine": {"models/x.npy": _npy(10**12)},
        "numpy arrays that unpack without end": {"models/x.npz": _npz()},
        "ONNX weights elsewhere": _onnx(lambda model: model.graph.initializer.add()),
        "ONNX weights elsewhere, in a function": _onnx(
            lambda model: model.functions.add().node.add().attribute.add().t
        ),
        "ONNX weights elsewhere, sparse": _onnx(lambda model: model.graph.sparse_initializer.add().values),
        "ONNX weights elsewhere, of training": _onnx(
            lambda model: model.training_info.add().algorithm.initializer.add()
        ),
        "extension module": {"docs/helper.pyd": b"MZ"},
    }


def _safetensors(header: bytes) -> Files:
    return {"models/model.safetensors": len(header).to_bytes(8, "little") + header + bytes(4)}


def _header(shape: list[int], offsets: list[int]) -> bytes:
    return json_bytes({"w": {"dtype": "F32", "shape": shape, "data_offsets": offsets}})


def _rewritten_zip(behind: bytes) -> bytes:
    source, changed = io.BytesIO(torch_file({"w": torch.zeros(4)})), io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + behind)
    return changed.getvalue()


def _damaged(content: bytes) -> bytes:
    start = content.find(b"data.pkl") + len(b"data.pkl")
    return content[:start] + bytes(byte ^ 0xFF for byte in content[start : start + 8]) + content[start + 8 :]


def _encrypted(content: bytes) -> bytes:
    changed = bytearray(content)
    for mark, flags in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = changed.find(mark)
        while at >= 0:
            changed[at + flags] |= 1
            at = changed.find(mark, at + 1)
    return bytes(changed)


class _Oversized:
    def __reduce__(self) -> tuple:
        storage = torch.storage.TypedStorage(
            wrap_storage=torch.zeros(1).untyped_storage(), dtype=torch.float32, _internal=True
        )
        return torch._utils._rebuild_tensor_v2, (storage, 0, (10**11,), (1,), False, OrderedDict())


def _npy(length: int) -> bytes:
    buffer = io.BytesIO()
    numpy.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (length,)})
    return buffer.getvalue()


def _npz() -> bytes:
    buffer = io.BytesIO()
    numpy.savez_compressed(buffer, a=numpy.zeros(10**6))
    return buffer.getvalue()


def _onnx(place: Callable[[onnx.ModelProto], onnx.TensorProto]) -> Files:
    model = onnx.ModelProto()
    entry = place(model).external_data.add()
    entry.key, entry.value = "location", "../../../etc/passwd"
    return {"models/model.onnx": model.SerializeToString()}
