"""Judge plain strings of configs: addresses, paths out of the bundle, and names of code that readers would look up."""

from __future__ import annotations

import re
import sys
from pathlib import PurePosixPath

from monai_ext.sharing.audit.allowed import Allowed
from monai_ext.sharing.audit.findings import Level
from monai_ext.sharing.audit.judging_names import Verdict, judge_target

__all__ = ["judge_string", "judge_suffix", "urls_in"]

URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]+|\b(?:javascript|data):[^\s]+|\\\\\\\\[\w.-]+\\\\", re.IGNORECASE)
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
_LIBRARIES = {
    "torch",
    "monai",
    "monai_ext",
    "numpy",
    "ignite",
    "PIL",
    "nibabel",
    "pydicom",
    "scipy",
    "pandas",
    "builtins",
}
_FILE_ENDINGS = {"json", "yaml", "yml", "csv", "tsv", "txt", "md", "pt", "pth", "ts", "onnx", "png", "jpg", "gz", "nii"}
_SENSITIVE = re.compile(
    r"(^|/)(\.ssh|\.bashrc|\.profile|\.netrc|\.aws|\.gnupg|\.config|authorized_keys|crontab|site-packages)(/|$)"
    r"|^/(etc|proc|sys|dev|root|boot|var|usr|bin|lib)(/|$)|^~|\$HOME|%APPDATA%",
    re.IGNORECASE,
)
_PLACEHOLDERS = {"dataset_dir", "data_root", "data_dir", "dataset_dirs", "data_list_file_path", "data_file_base_dir"}
_FREE_TEXT = {"_desc_", "description", "_comment_"}


def urls_in(text: str) -> list[str]:
    """Addresses that a text names."""
    return URL.findall(text)


def judge_string(key: str, text: str, allowed: Allowed) -> Verdict:
    """What is to be said of a string that is no expression, macro or reference.

    Args:
        key: the last part of its id.
        text: the string.
        allowed: what passes as the name of something that is called.
    """
    if key in _FREE_TEXT:
        return None
    if urls_in(text):
        return Level.UNKNOWN, "url", "an address on the network; a bundle that runs offline needs none"
    return _judge_path(key, text) or _judge_hidden_target(text, allowed)


def judge_suffix(text: str) -> Verdict:
    """What is to be said of a string that is put behind another one, such as a file's name behind its folder."""
    if urls_in(text):
        return Level.UNKNOWN, "url", "an address on the network; a bundle that runs offline needs none"
    return _judge_way_out(text)


def _judge_path(key: str, text: str) -> Verdict:
    if "\n" in text or len(text) > 400:
        return None
    if _SENSITIVE.search(text):
        return Level.REFUSED, "sensitive-path", "a place where systems keep programs, keys or settings"
    way_out = _judge_way_out(text)
    if way_out is not None:
        return way_out
    if re.match(r"/\w|[A-Za-z]:[\\/]", text):
        if key in _PLACEHOLDERS:
            return Level.NOTE, "placeholder-path", "a folder of its author's machine; give your own with --" + key
        return Level.UNKNOWN, "outside-path", "the path is absolute: files outside of the bundle are read or written"
    return None


def _judge_way_out(text: str) -> Verdict:
    if ".." in PurePosixPath(text.replace("\\", "/")).parts:
        return Level.UNKNOWN, "outside-path", "the path leads out of the folder that the bundle is run in"
    return None


def _judge_hidden_target(text: str, allowed: Allowed) -> Verdict:
    """Some components look up a name that they are given, such as LoadImage its reader, and call what they find."""
    if not _DOTTED.fullmatch(text):
        return None
    root, leaf = text.split(".")[0], text.rpartition(".")[2]
    if leaf.lower() in _FILE_ENDINGS or (root not in _LIBRARIES and root not in sys.stdlib_module_names):
        return None
    verdict = judge_target(text, allowed)
    return verdict and (
        verdict[0],
        "hidden-target",
        "it names code, which components such as LoadImage look up and call",
    )
