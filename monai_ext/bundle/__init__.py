"""What a bundle's config calls: where it lies, where its results go, and whether its overrides make sense."""

from monai_ext.bundle.locate import locate_bundle
from monai_ext.bundle.overrides import check_overrides

__all__ = ["check_overrides", "locate_bundle"]
