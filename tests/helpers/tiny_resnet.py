"""A MONAI ResNet of thousands of weights as part of a bundle's config, in place of the bundle's own network."""

TINY_WIDTH = 32
"""Features of the encoder."""

_TINY = {
    "_target_": "monai.networks.nets.ResNet",
    "block": "basic",
    "layers": [1, 1, 1, 1],
    "block_inplanes": [8, 8, 16, TINY_WIDTH],
    "spatial_dims": 2,
    "n_input_channels": "@in_channels",
    "conv1_t_stride": 2,
    "bias_downsample": False,
}

TINY_RESNET = {**_TINY, "feed_forward": False}
"""An encoder of total stride 32."""

TINY_SEGMENTER = {**TINY_RESNET, "block_inplanes": [8, 16, 32, 64]}
"""An encoder for segmentation, whose widths double from stage to stage as in every ResNet."""

TINY_CLASSIFIER = {**_TINY, "num_classes": "$len(@class_names)"}
"""A classifier."""
