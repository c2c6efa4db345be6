"""Hostile bundles, one a trick: each would touch a canary file or call a canary port if anything of it were run."""

from __future__ import annotations

import io
import json
import os
import pickle
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy
import torch

HONEST = {
    "imports": ["$import glob"],
    "bundle_root": ".",
    "images": "$sorted(glob.glob(@bundle_root + '/images/*.png'))",
    "network_def": {"_target_": "monai.networks.nets.ResNet", "spatial_dims": 2},
}
METADATA = {"version": "0.1.0", "monai_version": "1.6.1", "schema": "https://example.org/schema.json"}

Files = dict[str, bytes]


class Canary:
    """What an executed payload leaves behind: a file, or a call on a port of this machine."""

    def __init__(self, file: Path, port: int) -> None:
        self.file = file
        self.port = port
        self.touch = f"touch {file}"
        self.call = f"__import__('socket').create_connection(('127.0.0.1', {port}))"


def honest_files() -> Files:
    """A small bundle that passes."""
    return {
        "configs/inference.json": json_bytes(HONEST),
        "configs/metadata.json": json_bytes(METADATA),
        "docs/README.md": b"# A bundle\n",
        "LICENSE": b"Apache-2.0\n",
    }


def json_bytes(content: object) -> bytes:
    """A value as a JSON file."""
    return json.dumps(content).encode()


def config_with(change: dict, name: str = "inference") -> Files:
    """The honest config with other values."""
    return {f"configs/{name}.json": json_bytes(HONEST | change)}


def _pickle_of(canary: Canary) -> object:
    class Payload:
        def __reduce__(self) -> tuple:
            return os.system, (canary.touch,)

    return Payload()


def torch_file(content: object, **options: object) -> bytes:
    """What ``torch.save`` writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def _short_storage() -> bytes:
    source, changed = io.BytesIO(torch_file({"weight": torch.zeros(64)})), io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"\0" if name.endswith("data/0") else old.read(name))
    return changed.getvalue()


def _two_pickles(canary: Canary) -> bytes:
    changed = io.BytesIO(torch_file({"weight": torch.zeros(1)}))
    with zipfile.ZipFile(changed, "a") as archive:
        archive.writestr("archive/other.pkl", pickle.dumps(_pickle_of(canary)))
    return changed.getvalue()


def _torchscript() -> bytes:
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        archive.writestr("model/code/__torch__.py", "class M(Module):\n  pass\n")
        archive.writestr("model/constants.pkl", pickle.dumps(()))
        archive.writestr("model/data.pkl", pickle.dumps(()))
    return changed.getvalue()


def _numpy_objects(canary: Canary) -> bytes:
    buffer = io.BytesIO()
    numpy.save(buffer, numpy.array([_pickle_of(canary)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def _safetensors(gap: int) -> bytes:
    header = json_bytes({"w": {"dtype": "F32", "shape": [1], "data_offsets": [gap, gap + 4]}})
    return len(header).to_bytes(8, "little") + header + bytes(gap + 4)


def logging_file(line: str) -> bytes:
    """A logging file with a line of a handler."""
    sections = (
        "[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=f\n[logger_root]\nhandlers=h\n[formatter_f]\n"
    )
    return f"{sections}[handler_h]\n{line}\n".encode()


def in_files(c: Canary) -> dict[str, Files]:
    """Tricks that need nothing but what a file contains, each with the files that it adds or replaces."""
    shell = {"_target_": "os.system", "command": c.touch}
    deep: object = shell
    for _ in range(200):
        deep = [deep]
    return {
        "target os.system": config_with({"x": shell}),
        "target subprocess.run": config_with({"x": {"_target_": "subprocess.run", "args": ["touch", str(c.file)]}}),
        "bare built-in as target": config_with({"x": {"_target_": "eval", "source": c.call}}),
        "bare function of MONAI as target": config_with(
            {"x": {"_target_": "run_cmd", "cmd_list": ["touch", str(c.file)]}}
        ),
        "os reached through a module of MONAI": config_with({"x": {"_target_": "monai.transforms.io.array.os.system"}}),
        "target through a private name": config_with({"x": {"_target_": "monai.data.Dataset.__init__.__globals__"}}),
        "target of look-alike letters": config_with({"x": {"_target_": "\u043es.system", "command": c.touch}}),
        "computed target": config_with({"x": {"_target_": "$'o' + 's.system'", "command": c.touch}}),
        "target by reference": config_with({"y": "os.system", "x": {"_target_": "@y", "command": c.touch}}),
        "target by macro": config_with({"y": "os.system", "x": {"_target_": "%y", "command": c.touch}}),
        "target by macro of a macro": config_with({"z": "os.system", "y": "%z", "x": {"_target_": "%y"}}),
        "target by relative macro": config_with({"a": {"y": "os.system", "x": {"_target_": "%::::y"}}}),
        "target that is a component": config_with(
            {"x": {"_target_": {"_target_": "operator.attrgetter", "attr": "system"}}}
        ),
        "target set by an overlay's leaf": config_with({"network_def::_target_": "os.system"}, "evaluate"),
        "target set by an overlay's leaf, old separator": config_with(
            {"network_def#_target_": "os.system"}, "evaluate"
        ),
        "debugger by mode": config_with({"x": {"_target_": "monai.data.Dataset", "_mode_": "debug", "data": []}}),
        "debugger by argument": config_with({"x": {"_target_": "monai.data.Dataset", "_debug_": True, "data": []}}),
        "reader that is looked up": config_with(
            {"x": {"_target_": "monai.transforms.LoadImage", "reader": "subprocess.Popen", "args": c.touch}}
        ),
        "payload in _requires_": config_with({"x": {"_target_": "monai.data.Dataset", "_requires_": f"${c.call}"}}),
        "payload in _disabled_": config_with({"x": {"_target_": "monai.data.Dataset", "_disabled_": f"${c.call}"}}),
        "__import__": config_with({"x": f"$__import__('os').system('{c.touch}')"}),
        "eval of a text": config_with({"x": f'$eval("{c.call}")'}),
        "exec": config_with({"x": f'$exec("{c.call}")'}),
        "open for writing": config_with({"x": f"$open('{c.file}', 'w')"}),
        "subclasses of object": config_with({"x": "$().__class__.__base__.__subclasses__()"}),
        "getattr with a joined name": config_with(
            {"imports": ["$import os"], "x": f"$getattr(os, 'sys' + 'tem')('{c.touch}')"}
        ),
        "os.system of an ordinary import": config_with({"imports": ["$import os"], "x": f"$os.system('{c.touch}')"}),
        "import under an innocent name": config_with(
            {"imports": ["$import subprocess as glob"], "x": "$glob.run(['id'])"}
        ),
        "function imported under an innocent name": config_with(
            {"imports": ["$from os import system as first"], "x": "$first('id')"}
        ),
        "module reached by reference": config_with(
            {"imports": ["$import os"], "x": f"$@imports::0.system('{c.touch}')"}
        ),
        "function taken, called elsewhere": config_with(
            {"imports": ["$import os"], "f": "$os.system", "x": f"$@f('{c.touch}')"}
        ),
        "function handed to map": config_with(
            {"imports": ["$import os"], "x": f"$list(map(os.system, ['{c.touch}']))"}
        ),
        "module behind a module": config_with({"x": f"$glob.os.system('{c.touch}')"}),
        "modules of the interpreter": config_with(
            {"imports": ["$import sys"], "x": f"$sys.modules['os'].system('{c.touch}')"}
        ),
        "in a lambda": config_with({"x": f"$lambda x=__import__('os').system('{c.touch}'): x"}),
        "in a comprehension that hides a name": config_with({"x": f'$[eval for eval in [eval("{c.call}")]]'}),
        "in a formatted string": config_with({"x": f'$f\'{{__import__("os").system("{c.touch}")}}\''}),
        "write by pathlib": config_with(
            {"imports": ["$import pathlib"], "x": f"$pathlib.Path('{c.file}').write_text('x')"}
        ),
        "rename by pathlib": config_with({"imports": ["$import pathlib"], "x": "$pathlib.Path('a').replace('b')"}),
        "unsafe torch.load": config_with({"x": "$torch.load(@bundle_root + '/models/a.pt', weights_only=False)"}),
        "torch.load handed over": config_with({"x": "$list(map(torch.load, ['models/a.pt']))"}),
        "torch.hub": config_with({"x": "$torch.hub.load('someone/something', 'model')"}),
        "numpy reading objects": config_with({"x": {"_target_": "monai.data.NumpyReader", "allow_pickle": True}}),
        "exhausting power": config_with({"x": "$10 ** 10 ** 10"}),
        "statement after an import": config_with({"x": f"$import importlib; {c.call}"}),
        "import of its own code": {
            **config_with({"imports": ["$import scripts"]}),
            "scripts/__init__.py": c.call.encode(),
        },
        "payload in metadata": {"configs/metadata.json": json_bytes(METADATA | {"x": f"${c.call}"})},
        "payload in a shape of metadata": {
            "configs/metadata.json": json_bytes(METADATA | {"network_data_format": {"spatial_shape": [c.call]}})
        },
        "payload in a config that is not named": {"docs/extra.json": json_bytes({"x": shell})},
        "payload in YAML": {"configs/train.yaml": f"x:\n  _target_: os.system\n  command: {c.touch}\n".encode()},
        "object in YAML": {"configs/train.yaml": f"x: !!python/object/apply:os.system ['{c.touch}']\n".encode()},
        "alias bomb in YAML": {"configs/train.yaml": b"a: &a [1]\nb: [*a, *a]\n"},
        "key twice": {"configs/train.json": b'{"x": 1, "x": {"_target_": "monai.data.Dataset"}}'},
        "macro out of the bundle": config_with({"x": "%../../other/config.json::x"}),
        "macros in a circle": config_with({"x": "%y", "y": "%x"}),
        "macros that double": config_with({"m0": ["%m1"] * 90, "m1": ["%m2"] * 90, "m2": ["%m3"] * 90, "m3": [1] * 90}),
        "nested beyond reading": config_with({"x": deep}),
        "class of the logging file": {"configs/logging.conf": logging_file(f"class={c.call}\nargs=()")},
        "arguments of the logging file": {
            "configs/logging.conf": logging_file(f"class=StreamHandler\nargs=({c.call},)")
        },
        "pickle as weights": {"models/model.pt": pickle.dumps(_pickle_of(c))},
        "payload in torch's zip": {"models/model.pt": torch_file({"w": _pickle_of(c)})},
        "payload in torch's old format": {
            "models/model.pt": torch_file({"w": 1}, _use_new_zipfile_serialization=False)
        },
        "newer pickle in torch's zip": {"models/model.pt": torch_file({"w": 1}, pickle_protocol=4)},
        "second pickle in torch's zip": {"models/model.pt": _two_pickles(c)},
        "storage shorter than announced": {"models/model.pt": _short_storage()},
        "TorchScript": {"models/model.ts": _torchscript()},
        "TorchScript named .pt": {"models/model.pt": _torchscript()},
        "torch.export program": {"models/model.pt2": _torchscript()},
        "numpy array of objects": {"models/x.npy": _numpy_objects(c)},
        "safetensors with hidden bytes": {"models/model.safetensors": _safetensors(gap=8)},
        "Python beside the configs": {"configs/sitecustomize.py": c.call.encode()},
        "shell script": {"docs/install.sh": f"#!/bin/sh\n{c.touch}\n".encode()},
        "program named as a text": {"docs/README.txt": b"\x7fELF" + bytes(60)},
        "zip named as a picture": {"docs/figure.png": b"PK\x03\x04" + bytes(60)},
        "page with a script": {"docs/index.html": b"<script>fetch('http://127.0.0.1')</script>"},
        "text that reads backwards": {"docs/README.md": "safe \u202egnp.exe\n".encode()},
        "files fetched from elsewhere": {
            "large_files.yml": b"large_files:\n- url: http://127.0.0.1/x.pt\n  path: models/x.pt\n"
        },
        "address put together": config_with(
            {"x": {"_target_": "monai.handlers.MLFlowHandler", "tracking_uri": "$'ht' + 'tp:' + '/' + '/127.0.0.1'"}}
        ),
        "code behind a module of torch": config_with({"x": "$torch.serialization.pickle.loads(b'')"}),
        "reducing with getattr": config_with(
            {"imports": ["$import functools"], "x": "$functools.reduce(getattr, ['a'], 1)"}
        ),
        "address in a config": config_with({"x": "http://127.0.0.1:1/model.pt"}),
        "writes to the system's folders": config_with({"output_dir": "/etc/cron.d"}),
        "hidden git hook": {".git/hooks/post-checkout": c.touch.encode()},
    }


def write_folder(folder: Path, files: Files) -> Path:
    """Write a bundle as a folder."""
    for name, content in (honest_files() | files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def write_zip(path: Path, files: Files, *, deflated: bool = True) -> Path:
    """Write a bundle as a zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as archive:
        for name, content in (honest_files() | files).items():
            archive.writestr(f"bundle/{name}", content)
    return path


def _append(path: Path, name: str, content: bytes, mode: int = stat.S_IFREG | 0o644) -> Path:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry, content)
    return path


def _rewritten(path: Path, change: Callable[[bytes], bytes]) -> Path:
    path.write_bytes(change(path.read_bytes()))
    return path


def in_archives() -> dict[str, Callable[[Path], Path]]:
    """Tricks of the zip itself, each with what makes it from an honest one."""
    return {
        "zip slip": lambda p: _append(p, "bundle/../../evil.txt", b"x"),
        "absolute path": lambda p: _append(p, "/tmp/evil.txt", b"x"),
        "backslashes": lambda p: _append(p, "bundle/..\\..\\evil.txt", b"x"),
        "symbolic link": lambda p: _append(p, "bundle/docs/link.md", b"/etc/passwd", stat.S_IFLNK | 0o777),
        "device": lambda p: _append(p, "bundle/docs/pipe.md", b"", stat.S_IFIFO | 0o644),
        "bomb": lambda p: _append(p, "bundle/docs/bomb.txt", bytes(16 * 2**20)),
        "name twice": lambda p: _append(p, "bundle/LICENSE", b"other"),
        "names that differ in case": lambda p: _append(p, "bundle/license", b"other"),
        "names that look alike": lambda p: _append(p, "bundle/configs/lnference.json", json_bytes({})),
        "name with invisible letters": lambda p: _append(p, "bundle/docs/READ\u200bME.md", b"x"),
        "git attributes": lambda p: _append(p, "bundle/.gitattributes", b"x"),
        "hidden file": lambda p: _append(p, "bundle/.envrc", b"x"),
        "reserved name": lambda p: _append(p, "bundle/docs/aux.txt", b"x"),
        "program before the zip": lambda p: _rewritten(p, lambda content: b"#!/bin/sh\n" + content),
        "bytes behind the zip": lambda p: _rewritten(p, lambda content: content + b"hidden"),
    }
