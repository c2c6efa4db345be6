"""Error texts that may leave the machine: nothing in them names a file, a folder, or a person."""

from __future__ import annotations

import re

__all__ = ["error_text", "without_paths"]

_LENGTH = 1000
_SUFFIX = (
    r"\.(?:dcm|dicom|ima|nii|gz|nrrd|mha|mhd|png|jpe?g|tiff?|bmp|gif|zip|tar|npz|npy|h5|b2nd|csv|tsv|parquet|json|jsonl"
    r"|txt|pt|pth)\b"
)
_QUOTED_PATH = re.compile(rf"""(['"`])[^'"`\n]*(?:[/\\]|{_SUFFIX})[^'"`\n]*\1""", re.IGNORECASE)
_ABSOLUTE_PATH = re.compile(r"""(?<![\w.<])(?:[A-Za-z]:[\\/]|~?/|\\\\)(?=[^\s/\\])[^"'`\n]*?(?=:\s|["'`\n]|$)""")
_RELATIVE_PATH = re.compile(r"[^\s:;\"'`()<>]*[^\s:;\"'`()<>/\\][/\\][^\s:;\"'`()<>]+")
_FILE_NAME = re.compile(rf"[^\s:;\"'`()<>]+{_SUFFIX}", re.IGNORECASE)


def without_paths(text: str) -> str:
    """The text with everything that looks like a path or a data file's name replaced by ``<path>``.

    Folders and files of images are often named after patients. It rather removes too much than too little: an absolute
    path ends only at a colon, a quote or the line's end, because names of folders contain spaces and commas.

    >>> without_paths("Reading /data/Doe, Jane/ct 1.dcm: truncated")
    'Reading <path>: truncated'
    >>> without_paths("the loss of iteration 12 is nan")
    'the loss of iteration 12 is nan'
    """
    for pattern in (_QUOTED_PATH, _ABSOLUTE_PATH, _RELATIVE_PATH, _FILE_NAME):
        text = pattern.sub("<path>", text)
    return text


def error_text(error: BaseException) -> str:
    """Kind and message of an error on one line, without paths, at most 1000 characters."""
    message = " ".join(without_paths(str(error)[: 2 * _LENGTH]).split())
    return f"{type(error).__name__}: {message}"[:_LENGTH].removesuffix(": ")
