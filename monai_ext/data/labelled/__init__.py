"""Images with labels, by section. Pixels come from ``sources``, who is in which section from ``splits``."""
