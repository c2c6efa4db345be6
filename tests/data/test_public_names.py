"""What `monai_ext.data` offers, and what it costs to import it."""

from __future__ import annotations

import subprocess
import sys

import monai_ext.data

HEAVY = ("blosc2", "matplotlib", "mlflow", "monai", "nibabel", "pandas", "pyarrow", "pydicom", "requests", "sklearn")


def test_every_public_name_is_there() -> None:
    missing = [name for name in monai_ext.data.__all__ if not hasattr(monai_ext.data, name)]
    assert not missing
    assert {"SliceStore", "ingest", "make_splits", "read_splits"} <= set(monai_ext.data.__all__)


def test_importing_them_imports_no_heavy_library() -> None:
    code = f"import sys, monai_ext.data; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
