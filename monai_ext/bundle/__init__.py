"""What a bundle's config calls: where it lies, where its results go, what was chosen, and whether that makes sense."""

from monai_ext.bundle.locate import locate_bundle
from monai_ext.bundle.output_dir import prepare_output_dir
from monai_ext.bundle.overrides import check_overrides
from monai_ext.bundle.settings import chosen_settings
from monai_ext.bundle.trained_model import TrainedModel, latest_model, load_model
from monai_ext.parallel.process_group import join_process_group, leave_process_group

__all__ = [
    "TrainedModel",
    "check_overrides",
    "chosen_settings",
    "join_process_group",
    "latest_model",
    "leave_process_group",
    "load_model",
    "locate_bundle",
    "prepare_output_dir",
]
