"""Images with masks, by section. Pixels come from ``sources``, who is in which section from ``splits``."""
