"""What ``python -m monai_ext bundle`` does: one file a command, with ``add_options`` and ``main``."""
