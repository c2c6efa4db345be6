"""Public data sets: a catalogue, a downloader that survives bad connections, and what makes the data ready."""

from monai_ext.data.public.catalog import CATALOG, PublicDataset, RemoteFile, find_dataset
from monai_ext.data.public.downloading import download
from monai_ext.data.public.get import get_collection, get_files

__all__ = ["CATALOG", "PublicDataset", "RemoteFile", "download", "find_dataset", "get_collection", "get_files"]
