"""Volumes at one spacing: prepared once into brick files, read by patches, for networks in three dimensions."""
