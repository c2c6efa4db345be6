"""The optional library MinkowskiEngine, imported on first use in the way that its last release needs."""

from __future__ import annotations

import collections
import collections.abc
import functools
import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

__all__ = ["minkowski_engine"]

_INSTALL = "bash scripts/install_minkowski.sh"


@functools.cache
def minkowski_engine() -> ModuleType:
    """Import MinkowskiEngine (Choy, Gwak, Savarese, 2019, section 4), and give the module.

    Its last release, 0.5.4, takes ``Sequence`` from ``collections``, where Python has not had it since 3.10. The name
    is lent for the time of the import. What the import leaves behind in the process is taken back: the entry in
    ``sys.path``, the top-level module ``diagnostics``, the variable ``OMP_NUM_THREADS``.

    Raises:
        ModuleNotFoundError: When it is not installed.
        ImportError: When it is installed and cannot be loaded, for example because it was built for another torch.
    """
    if importlib.util.find_spec("MinkowskiEngine") is None:
        raise ModuleNotFoundError(
            'The backend "minkowski" was asked for, and MinkowskiEngine is not installed in this environment. '
            f'Build it with `{_INSTALL}`, or use backend="active_blocks", which gives the same numbers.',
            name="MinkowskiEngine",
        )
    try:
        with _borrowed_names():
            return importlib.import_module("MinkowskiEngine")
    except ImportError as error:
        raise ImportError(
            f"MinkowskiEngine is installed and cannot be loaded: {error}. It was built for another version of torch, "
            f"or the BLAS library it was linked with is gone. Build it again with `{_INSTALL} --rebuild`."
        ) from error


@contextmanager
def _borrowed_names() -> Iterator[None]:
    lends_sequence = not hasattr(collections, "Sequence")
    path, threads = list(sys.path), os.environ.get("OMP_NUM_THREADS")
    diagnostics = sys.modules.pop("diagnostics", None)
    if lends_sequence:
        collections.Sequence = collections.abc.Sequence  # type: ignore[attr-defined]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a build without CUDA: said where a CUDA tensor comes
            yield
    finally:
        if lends_sequence:
            del collections.Sequence  # type: ignore[attr-defined]
        sys.path[:] = path
        sys.modules.pop("diagnostics", None)
        if diagnostics is not None:
            sys.modules["diagnostics"] = diagnostics
        if threads is None:
            os.environ.pop("OMP_NUM_THREADS", None)
