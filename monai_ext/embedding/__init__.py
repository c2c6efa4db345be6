"""Features of whole data sets: as a table, and as a map to look at."""

from monai_ext.embedding.feature_map import draw_map_page, draw_map_picture, map_points
from monai_ext.embedding.feature_table import FeatureRows, FeatureTable, read_feature_table, write_feature_table
from monai_ext.embedding.slices import KeptFeatures, SlicesToEmbed, encode_slices, open_slices_to_embed

__all__ = [
    "FeatureRows",
    "FeatureTable",
    "KeptFeatures",
    "SlicesToEmbed",
    "draw_map_page",
    "draw_map_picture",
    "encode_slices",
    "map_points",
    "open_slices_to_embed",
    "read_feature_table",
    "write_feature_table",
]
