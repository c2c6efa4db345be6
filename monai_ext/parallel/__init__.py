"""The processes, devices and random streams of a run. What is trained on them lives in ``engines``."""
