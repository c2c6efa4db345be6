"""From folders of DICOM, volumes or pictures to slices that a network can be trained on."""

from monai_ext.data.cached_images import CachedImages
from monai_ext.data.ingestion.ingest import IngestFilter, IngestOptions, IngestReport, ingest
from monai_ext.data.labelled.images import LabelledImages
from monai_ext.data.labelled.labelled_sections import LabelledSections, open_labelled_images, open_labelled_sections
from monai_ext.data.labelled.sets import open_labelled_sets
from monai_ext.data.open_slices import SliceSections, load_size_for, open_sections, open_slices
from monai_ext.data.phantoms.sample import embedded_sample
from monai_ext.data.sampling import SliceLoader, StreamSampler, endless_loader, slice_loader
from monai_ext.data.segmented.images import SegmentedImages
from monai_ext.data.segmented.sections import SegmentedSections, open_segmented_sections
from monai_ext.data.slice_images import SliceImages
from monai_ext.data.sources.open import open_source
from monai_ext.data.splits.items import open_split_source
from monai_ext.data.splits.making import make_splits, official_splits
from monai_ext.data.splits.splits import Splits, read_splits
from monai_ext.data.store.reader import SliceStore, SliceStoreWriter
from monai_ext.data.volumes.patches import VolumePatches
from monai_ext.data.volumes.sections import VolumeSections, open_volume_sections, open_volumes

__all__ = [
    "CachedImages",
    "IngestFilter",
    "IngestOptions",
    "IngestReport",
    "LabelledImages",
    "LabelledSections",
    "SegmentedImages",
    "SegmentedSections",
    "SliceImages",
    "SliceLoader",
    "SliceSections",
    "SliceStore",
    "SliceStoreWriter",
    "Splits",
    "StreamSampler",
    "VolumePatches",
    "VolumeSections",
    "embedded_sample",
    "endless_loader",
    "ingest",
    "load_size_for",
    "make_splits",
    "official_splits",
    "open_labelled_images",
    "open_labelled_sections",
    "open_labelled_sets",
    "open_sections",
    "open_segmented_sections",
    "open_slices",
    "open_source",
    "open_split_source",
    "open_volume_sections",
    "open_volumes",
    "read_splits",
    "slice_loader",
]
