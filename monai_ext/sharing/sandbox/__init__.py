"""Run a bundle from somebody else without network and without any folder but those that it needs."""

from monai_ext.sharing.sandbox.safe_run import SafeRun, run_safely

__all__ = ["SafeRun", "run_safely"]
