"""Where the bundle that is being run lies."""

from __future__ import annotations

from pathlib import Path

from monai_ext.running_config import refusal, running_config_folder

__all__ = ["locate_bundle"]


def locate_bundle(name: str) -> str:
    """Root folder of a bundle, wherever the command is given and wherever the bundle was unpacked.

    The bundle of the config file that is being run or exported; only where nothing tells its place, because code has
    parsed the config by itself, the working directory or ``bundles/<name>`` below it. MONAI's own templates take the
    working directory always, which puts checkpoints in the repository root when the config is named from there.

    Args:
        name: folder name of the bundle in the repository, for example ``"spark_pretrain"``.

    Returns:
        The absolute path, as text so that config expressions can append to it.

    Raises:
        FileNotFoundError: none of the places holds a bundle.
    """
    configs = running_config_folder()
    candidates = [Path.cwd(), Path.cwd() / "bundles" / name] if configs is None else [configs.parent]
    for folder in candidates:
        if (folder / "configs" / "metadata.json").is_file():
            return str(folder.resolve())
    looked = ", ".join(str(folder) for folder in candidates)
    raise refusal(
        FileNotFoundError(
            f"Looking for the bundle {name}: no configs/metadata.json in any of {looked}. "
            "Run from the repository root or from inside the bundle, or name the folder with --bundle_root."
        )
    )
