"""Life of an isolated process: it calls what it is asked to call, until the other side is gone or it crashes."""

from __future__ import annotations

import faulthandler
import importlib
import logging
import os
import resource
import signal
import sys
import warnings
from typing import Any

from monai_ext.decoders.failure import DecodingFailed
from monai_ext.decoders.pipe import read_from, receive, send, write_to

__all__ = ["become_harmless", "serve"]


def serve(memory_bytes: int) -> None:
    """Answer calls that come in by standard input, on what standard output was.

    Args:
        memory_bytes: what may be allocated besides what is in use (Linux).
    """
    read, write = read_from(os.dup(0)), write_to(os.dup(1))
    become_harmless(memory_bytes)
    try:
        while True:
            content, payload = receive(read)
            answer, values = _answer(content, payload)
            send(write, answer, values)
            del payload, values
    except (EOFError, BrokenPipeError):
        os._exit(0)


def become_harmless(memory_bytes: int) -> None:
    """Make this process, which reads hostile files, print nothing, dump no core, and stay within its memory.

    Decoders print values of elements, and cores hold them.

    Args:
        memory_bytes: what may be allocated besides what is in use (Linux).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    faulthandler.disable()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as stream:
            in_use = int(stream.read().split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        limit = in_use + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit if most < 0 else min(limit, most), most))


def _answer(content: dict[str, Any], payload: bytearray) -> tuple[dict[str, Any], Any]:
    module, _, name = content["function"].partition(":")
    try:
        values, buffer = getattr(importlib.import_module(module), name)(content["arguments"], payload)
    except DecodingFailed as failure:
        return {"failed": failure.reason, "detail": failure.detail}, b""
    except MemoryError:
        return {"failed": "out_of_memory", "detail": ""}, b""
    except OSError as error:
        return {"failed": "unreadable", "detail": error.strerror or type(error).__name__}, b""
    except Exception as error:  # whatever a hostile file provokes ends this call only
        return {"failed": "undecodable", "detail": type(error).__name__}, b""
    return {"values": values}, buffer
