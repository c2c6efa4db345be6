"""Judge files by names and first bytes: what bundles have, what runs, and what is something else than its name."""

from __future__ import annotations

import ast
import configparser
import re
from pathlib import PurePosixPath

from monai_ext.sharing.audit.findings import Reporter
from monai_ext.sharing.audit.weights import WEIGHTS_CHECKS

__all__ = ["judge_file", "own_modules_of"]

PYTHON = {".py", ".pyc", ".pyi", ".pyw", ".pyx", ".pth.py", ".ipynb"}
PROGRAMS = {
    ".ts": "torch.jit.load runs what a TorchScript file contains",
    ".pt2": "torch.export.load falls back to a reader that runs code",
    **dict.fromkeys(
        (".pkl", ".pickle", ".joblib", ".dill", ".mmap", ".lmdb", ".mdb"), "pickles run code when they are read"
    ),
    **dict.fromkeys((".so", ".pyd", ".dll", ".dylib", ".exe", ".bin", ".jar", ".class", ".wasm"), "it is a program"),
    **dict.fromkeys(
        (".sh", ".bat", ".cmd", ".ps1", ".js", ".vbs", ".command", ".desktop", ".lnk", ".url"), "it is a script"
    ),
    **dict.fromkeys((".html", ".htm", ".svg", ".xml", ".xhtml", ".pdf"), "viewers run scripts in it"),
    **dict.fromkeys((".toml", ".cfg", ".ini", ".env"), "tools take their settings from it"),
}
TEXTS = {".md", ".txt", ".csv", ".rst", ".sig", ".bib", ".cff"}
TEXTS_BY_NAME = {"LICENSE", "NOTICE", "VERSION", "README", "COPYING"}
PICTURES = {".png": b"\x89PNG\r\n\x1a\n", ".jpg": b"\xff\xd8\xff", ".jpeg": b"\xff\xd8\xff", ".gif": b"GIF8"}
MAGIC = {
    b"\x7fELF": "a program for Linux",
    b"MZ": "a program for Windows",
    b"\xca\xfe\xba\xbe": "a program for macOS or Java",
    b"\xcf\xfa\xed\xfe": "a program for macOS",
    b"#!": "a script",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"%PDF": "a PDF file",
}
_EVALUATED = {"class", "args", "kwargs", "validate", "defaults"}
_LOGGING_CLASSES = {
    "StreamHandler",
    "logging.StreamHandler",
    "NullHandler",
    "logging.NullHandler",
    "logging.Formatter",
    "Formatter",
}


def own_modules_of(names: list[str]) -> set[str]:
    """Names of the Python modules that travel in a bundle: importable, since MONAI puts its folder on the path."""
    python = [PurePosixPath(name) for name in names if PurePosixPath(name).suffix in (".py", ".pyc", ".so", ".pyd")]
    return {path.parts[0].split(".")[0] for path in python} | {path.stem.split(".")[0] for path in python}


def judge_file(name: str, content: bytes) -> Reporter:
    """What is to be said of a file that is no config."""
    reporter = Reporter(name)
    path = PurePosixPath(name)
    ending = path.suffix.lower()
    if ending in PYTHON:
        reporter.refuse("own-code", "Python code of its own: nothing here can vouch for what it does; read it")
    elif ending in PROGRAMS:
        reporter.refuse("program", PROGRAMS[ending])
    elif ending in WEIGHTS_CHECKS:
        WEIGHTS_CHECKS[ending](content, reporter)
    elif path.name.lower().startswith("logging") and ending == ".conf":
        _judge_logging(content, reporter)
    elif ending in PICTURES:
        if not content.startswith(PICTURES[ending]):
            reporter.refuse("disguised", "its content is none of a picture", text=_kind(content))
    elif ending == ".whl":
        reporter.question(
            "wheel", "a Python package, whose code runs once it is installed: compare its hash with a known one"
        )
    elif ending in TEXTS or (not ending and path.name in TEXTS_BY_NAME):
        _judge_text(content, reporter)
    else:
        reporter.question("unknown-file", "a kind of file that bundles do not need", text=_kind(content))
    return reporter


def _kind(content: bytes) -> str:
    return next((kind for magic, kind in MAGIC.items() if content.startswith(magic)), "")


def _judge_text(content: bytes, reporter: Reporter) -> None:
    kind = _kind(content)
    if kind:
        reporter.refuse("disguised", f"it is named as a text and is {kind}")
        return
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        reporter.refuse("disguised", "it is named as a text and is none")
        return
    if re.search("[\x00\u202a-\u202e\u2066-\u2069]", text):
        reporter.refuse(
            "disguised", "characters that change the direction of reading, or a zero byte, hide what stands there"
        )


def _judge_logging(content: bytes, reporter: Reporter) -> None:
    """Python evaluates classes and arguments of such a file; MONAI applies it before it reads any config."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(content.decode("utf-8"))
    except (configparser.Error, UnicodeDecodeError) as error:
        reporter.refuse("config-unreadable", f"the file cannot be read ({str(error).splitlines()[0]})")
        return
    for section in parser.sections():
        for option, value in parser.items(section):
            place = f"{section}::{option}"
            if option == "class" and value not in _LOGGING_CLASSES:
                reporter.refuse(
                    "logging-class",
                    "the class is evaluated as code, and is none that only prints",
                    place=place,
                    text=value,
                )
            if option in _EVALUATED and "%(" in value:
                reporter.refuse(
                    "logging-arguments",
                    "other options are written into it before it is evaluated as code",
                    place=place,
                    text=value,
                )
            if option in _EVALUATED and option != "class" and not _is_literal(value):
                reporter.refuse(
                    "logging-arguments", "evaluated as code, and more than plain values", place=place, text=value
                )


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(re.sub(r"\bsys\.std(out|err)\b", "None", text))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False
    return True
