"""What leaves the place where a model was trained."""

from monai_ext.sharing.export import FORMATS, export_bundle

__all__ = ["FORMATS", "export_bundle"]
