"""From folders of DICOM, NIfTI or pictures to slices that a network can be trained on."""

from monai_ext.data.ingestion.ingest import IngestFilter, IngestOptions, IngestReport, ingest
from monai_ext.data.labelled.images import LabelledImages, open_labelled_images
from monai_ext.data.labelled.slices import LabelledSlices, open_labelled_sets, open_labelled_slices
from monai_ext.data.open_slices import load_size_for, open_slices
from monai_ext.data.phantoms.sample import embedded_sample, sample_epochs_limit
from monai_ext.data.sampling import SliceLoader, StreamSampler, slice_loader
from monai_ext.data.slice_images import SliceImages
from monai_ext.data.sources.store import SliceDataset
from monai_ext.data.splits.items import open_split_source
from monai_ext.data.splits.making import make_splits, official_splits
from monai_ext.data.splits.splits import Splits, read_splits
from monai_ext.data.store.reader import SliceStore, SliceStoreWriter

__all__ = [
    "IngestFilter",
    "IngestOptions",
    "IngestReport",
    "LabelledImages",
    "LabelledSlices",
    "SliceDataset",
    "SliceImages",
    "SliceLoader",
    "SliceStore",
    "SliceStoreWriter",
    "Splits",
    "StreamSampler",
    "embedded_sample",
    "ingest",
    "load_size_for",
    "make_splits",
    "official_splits",
    "open_labelled_images",
    "open_labelled_sets",
    "open_labelled_slices",
    "open_slices",
    "open_split_source",
    "read_splits",
    "sample_epochs_limit",
    "slice_loader",
]
