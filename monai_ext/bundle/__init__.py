"""What a bundle's config calls: where it lies, where its results go, and whether its overrides make sense."""

from monai_ext.bundle.locate import locate_bundle
from monai_ext.bundle.output_dir import prepare_output_dir
from monai_ext.bundle.overrides import check_overrides
from monai_ext.bundle.process_group import join_process_group, leave_process_group

__all__ = ["check_overrides", "join_process_group", "leave_process_group", "locate_bundle", "prepare_output_dir"]
