"""Slice stores: read, write, check, describe and draw them. What fills them lives in ``ingestion`` and ``labelled``."""
