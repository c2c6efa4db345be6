"""Self-supervised pre-training for medical imaging with few labels, delivered as MONAI Bundles.

Importing this package is cheap; every shelf (``monai_ext.networks``, ``monai_ext.data``, ...) is imported where it is
used.
"""

__version__ = "0.1.0"
