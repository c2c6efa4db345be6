"""From folders of DICOM, NIfTI or pictures to slices that a network can be trained on."""

from monai_ext.data.open_slices import load_size_for, open_slices
from monai_ext.data.sample import embedded_sample, sample_epochs_limit
from monai_ext.data.sampling import SliceLoader, StreamSampler, slice_loader
from monai_ext.data.slice_images import SliceImages

__all__ = [
    "SliceImages",
    "SliceLoader",
    "StreamSampler",
    "embedded_sample",
    "load_size_for",
    "open_slices",
    "sample_epochs_limit",
    "slice_loader",
]
