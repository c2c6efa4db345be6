"""Importing this module imports what cells need; the server that processes are forked from does it once."""

from monai_ext.study.executors.child import preload

preload()
